"""Makes one archive for a bug report, with what the services recorded at their last faults [shell].

Every text in it goes through `scrub`.
"""

import contextlib
import importlib.metadata
import io
import json
import os
import platform
import shutil
import stat
import subprocess
import tarfile
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from airbridge.doctor.facts import SettingsFacts
from airbridge.doctor.gather import Gathered
from airbridge.doctor.gather_host import known_ports
from airbridge.doctor.scrub import scrub, serial_texts, without_serial_registers
from ksem_contract.capture_file import CaptureHeader, CaptureRecord
from ksem_contract.message_fields import InvalidMessage, UnknownVersion

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


STATE: Final = Path("/var/lib")
"""Where systemd keeps a service's own folder (StateDirectory=)."""
MOST_FILES: Final = 2
"""The newest of each service."""
MOST_BYTES: Final = 32 * 1024 * 1024
"""A longer file is left out: the service writes a few megabytes."""
_ODD: Final = (OSError, InvalidMessage, UnknownVersion)


def fault_files(settings: Iterable[SettingsFacts], state: Path = STATE) -> dict[str, str]:
    """Names in the bundle, and texts. A folder that is missing or unreadable gives none."""
    texts = {}
    for one in settings:
        directory = one.tables.get("recorder", {}).get("directory")
        folder = Path(directory) if directory else state / one.service
        try:
            paths = sorted(folder.glob("*.jsonl"), key=lambda path: path.lstat().st_mtime, reverse=True)
        except OSError:
            continue
        kept = 0
        for path in paths:
            if kept == MOST_FILES:
                break
            with contextlib.suppress(*_ODD):  # not a file that the service has written
                texts[f"fault-{one.service}-{path.name}"] = _without_serial_numbers(path)
                kept += 1
    return texts


def _without_serial_numbers(path: Path) -> str:
    """The file's lines. The service leaves serial numbers out already; a file of another kind may lie there, too."""
    # The service's user owns the folder, root may run this: no links, and no waiting for a FIFO's writer.
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(opened, encoding="utf-8", errors="replace") as file:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_size > MOST_BYTES:
            raise InvalidMessage(f"{path}: not a file of the service")
        text = file.read(MOST_BYTES)
        first, *lines = text.splitlines(keepends=True) or [""]
        kept = [CaptureHeader.decode(first).encode() + "\n"]
        for line in lines:
            try:
                record = CaptureRecord.decode(line)
            except InvalidMessage:
                continue
            kept.append(record.without_serial_number().encode() + "\n")
    return "".join(kept)
