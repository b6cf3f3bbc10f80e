"""Gathers what this host knows about a serial port, without opening it: that would pull its control lines [shell]."""

import grp
import os
import pwd
import stat
from pathlib import Path

from airbridge.doctor.facts import Holder, PortFacts

BY_ID = Path("/dev/serial/by-id")
DEVICES = ("ttyUSB*", "ttyACM*", "ttyAMA*")
_OURS = ("rtu-server", "rtu_server")


def gather_port(path: str) -> PortFacts:
    """Look at one port."""
    try:
        status = os.stat(path)  # noqa: PTH116  the path of a setting, links followed
    except OSError:
        return PortFacts(path, there=False, others=known_ports())
    user = _name(pwd.getpwuid, os.geteuid())
    real = os.path.realpath(path)
    return PortFacts(
        path,
        there=True,
        is_device=stat.S_ISCHR(status.st_mode),
        may_open=os.access(path, os.R_OK | os.W_OK),
        as_root=os.geteuid() == 0,
        user=user,
        owner=_name(pwd.getpwuid, status.st_uid),
        group=_name(grp.getgrgid, status.st_gid),
        mode=stat.S_IMODE(status.st_mode),
        holders=holders(real, status),
        latency_ms=_latency(Path(real).name),
        stable_path=next((str(link) for link in _links() if os.path.realpath(link) == real), None),
    )


def known_ports() -> tuple[str, ...]:
    """Serial adapters of this host, by their stable paths where they have one."""
    links = _links()
    named = {os.path.realpath(link) for link in links}
    bare = [str(one) for pattern in DEVICES for one in sorted(Path("/dev").glob(pattern)) if str(one) not in named]
    return (*map(str, links), *bare)


def holders(real: str, status: os.stat_result) -> tuple[Holder, ...]:
    """Processes that have the device open: by their descriptors, and by its lock where these may not be seen."""
    pids = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _has_open(entry, real)}
    pids |= _lock_holders(status)
    pids.discard(os.getpid())
    return tuple(Holder(pid, *_command(pid)) for pid in sorted(pids))


def _has_open(process: Path, real: str) -> bool:
    try:
        opened = {os.readlink(one) for one in (process / "fd").iterdir()}  # noqa: PTH115  compared as bare strings
    except OSError:  # it is gone, or another user's
        return False
    # Who made a pseudo-terminal (socat, a simulator) often keeps its own port open, and takes nothing from it.
    return real in opened and not (real.startswith("/dev/pts/") and "/dev/ptmx" in opened)


def _lock_holders(status: os.stat_result) -> set[int]:
    """From /proc/locks, which everybody may read: our services lock a port while they hold it."""
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return set()
    rows = [line.split() for line in lines]
    return {int(row[4]) for row in rows if len(row) > 5 and row[5] == place and row[4].isdigit() and row[4] != "0"}


def _command(pid: int) -> tuple[str, bool]:
    """Program of a process without its arguments, which may hold secrets, and whether it is an rtu-server."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return "unknown", False
    program = Path(arguments[0]).name
    if program.startswith("python"):  # what it runs is the program: a script, or `-m module`
        script = next((argument for argument in arguments[1:] if argument and not argument.startswith("-")), "")
        program = Path(script).name or program
    return program or "unknown", program in _OURS


def _latency(device: str) -> int | None:
    """The latency timer in ms that FTDI's driver has."""
    try:
        return int(Path(f"/sys/bus/usb-serial/devices/{device}/latency_timer").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _links() -> list[Path]:
    try:
        return sorted(BY_ID.iterdir())
    except OSError:
        return []


def _name(of: "object", number: int) -> str:
    try:
        return str(of(number)[0])  # type: ignore[operator]
    except KeyError:
        return str(number)
