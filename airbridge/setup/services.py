"""Finds the services that are installed on this host, restarts them, and examines them [shell]."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from airbridge.doctor.gather_host import gather_services
from airbridge.setup.settings_text import EMPTY, values
from airbridge.setup.wizard_input import FILES, ROLES, Existing

_EXAMPLES: Final = (Path("/usr/share/ksem-airbridge"), Path("/opt/ksem-airbridge/settings"))
"""Where the Debian package and install.sh put the example settings."""
_DROP_IN: Final = Path("/usr/local/lib/systemd/system/rtu-server.service.d/serial-port.conf")
"""install.sh's: the kinds of serial ports that rtu-server may open."""
_WITHIN: Final = 60.0


def look(folder: Path) -> Existing:
    """The settings folder as it is. OSError where it may not be read."""
    texts = {}
    for name in FILES.values():
        if (folder / name).exists():
            texts[name] = (folder / name).read_text(encoding="utf-8")
    return Existing(
        folder=folder,
        texts=texts,
        templates={name: _example(name) for name in FILES.values()},
        logins=frozenset(role for role in ROLES.values() if (folder / "logins" / role / "password").exists()),
        services=tuple(one.name for one in gather_services()) or tuple(s for s, name in FILES.items() if name in texts),
    )


def _example(name: str) -> str:
    example = next((one / name for one in _EXAMPLES if (one / name).exists()), None)
    return example.read_text(encoding="utf-8") if example else EMPTY[name]


def restart(services: Iterable[str], folder: Path) -> tuple[str, ...]:
    """Start services anew that are units of this host; returns what went wrong."""
    installed = {one.name for one in gather_services()}
    wanted = [service for service in services if service in installed]
    if not wanted or os.geteuid() != 0:
        return ()
    if "rtu-server" in wanted:
        _allow_port(folder)
    ran = _run(["systemctl", "enable", "--quiet", *wanted]) or _run(["systemctl", "restart", *wanted])
    return (ran,) if ran else ()


def run_doctor(folder: Path) -> bool:
    """`airbridge doctor` with these settings; it prints its findings itself."""
    command = [sys.executable, "-P", "-m", "airbridge", "doctor"]
    for option, service in (("publisher", "ksem-publisher"), ("server", "rtu-server"), ("dashboard", "ksem-dashboard")):
        if (folder / FILES[service]).exists():
            command += [f"--{option}-config", str(folder / FILES[service])]
    return subprocess.run(command, check=False).returncode == 0


def _allow_port(folder: Path) -> None:
    """Add the port's kind to those that install.sh allows the unit; without its drop-in the unit's own list counts."""
    if not _DROP_IN.exists():
        return
    port = values((folder / FILES["rtu-server"]).read_text(encoding="utf-8")).get(("line", "port"))
    if port is None or not Path(port).exists():
        return
    line = f"DeviceAllow=char-{os.major(Path(port).stat().st_rdev)} rw\n"
    text = _DROP_IN.read_text(encoding="utf-8")
    if line not in text:
        new = _DROP_IN.with_suffix(".new")
        new.write_text(text + line, encoding="utf-8")
        new.replace(_DROP_IN)
        _run(["systemctl", "daemon-reload"])


def _run(command: list[str]) -> str:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_WITHIN, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{' '.join(command)}: {error}"
    return "" if ran.returncode == 0 else f"{' '.join(command)}: {ran.stderr.strip()}"
