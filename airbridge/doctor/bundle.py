"""One archive for a bug report [shell]. Every text in it goes through `scrub`."""

import importlib.metadata
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from airbridge.doctor.fault_files import fault_files
from airbridge.doctor.gather import Gathered
from airbridge.doctor.gather_port import known_ports
from airbridge.doctor.scrub import scrub, serial_texts, without_serial_registers

LOG_LINES: Final = 1000
_UNITS: Final = ("ksem-publisher", "rtu-server", "inverter-reader", "ksem-dashboard", "mosquitto")
_LIBRARIES: Final = ("ksem-airbridge", "paho-mqtt", "pymodbus", "pyserial", "attrs", "rich", "typer")
_README: Final = """\
What `airbridge doctor --bundle` found. Passwords and serial numbers (the meter's and the adapters') were taken out;
addresses in your network and the meter's values are in it. Look through it before you publish it.
"""


def write_bundle(path: Path, gathered: Gathered, findings_text: str, findings_json: str) -> None:
    """Write the archive; OSError where that fails. It is readable for its owner only."""
    secrets = gathered.secrets | serial_texts(gathered.retained)
    files = {
        "README.txt": _README,
        "doctor.txt": findings_text,
        "doctor.json": findings_json,
        "versions.txt": _versions(),
        "ports.txt": _ports(gathered),
        "retained.txt": "".join(
            f"{topic} {without_serial_registers(payload)}\n" for topic, payload in sorted(gathered.retained.items())
        ),
    }
    for one in gathered.facts.settings:
        files[f"settings-{one.service}.txt"] = one.text or "\n".join(one.mistakes)
    for unit in _UNITS:
        files[f"log-{unit}.txt"] = _log(unit)
    files |= fault_files(gathered.facts.settings)
    own = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(own, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, text in files.items():
            if text:
                _add(archive, name, scrub(text, secrets))


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode()
    entry = tarfile.TarInfo(f"airbridge-doctor/{name}")
    entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o644
    archive.addfile(entry, io.BytesIO(data))


def _versions() -> str:
    lines = [f"python {platform.python_version()}", f"kernel {platform.release()} {platform.machine()}"]
    try:
        lines.append(f"system {platform.freedesktop_os_release().get('PRETTY_NAME', '?')}")
    except OSError:
        lines.append("system ?")
    for name in _LIBRARIES:
        try:
            lines.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{name} not installed")
    mosquitto = shutil.which("mosquitto", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if mosquitto:
        lines.append(_output([mosquitto, "-h"]).partition("\n")[0])
    return "\n".join(lines) + "\n"


def _ports(gathered: Gathered) -> str:
    shown = [json.dumps(asdict(port), indent=2) for port in gathered.facts.ports]
    return "\n".join((*shown, "there are:", *known_ports())) + "\n"


def _log(unit: str) -> str:
    if shutil.which("journalctl") is None:
        return ""
    return _output(["journalctl", "--no-pager", "--output=short-iso", f"--lines={LOG_LINES}", f"--unit={unit}"])


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{command[0]}: {error}\n"
