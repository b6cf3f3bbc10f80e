"""Gathers what this host has: settings of its services, their units and processes, and its serial ports [shell].

A service's own `--check`, run as a process, reads its settings. No port is opened: that would pull its control lines.
"""

import contextlib
import grp
import os
import pwd
import signal
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import attrs

from airbridge.doctor.facts import Holder, PortFacts, ServiceFacts, SettingsFacts
from service_runtime.common_settings import MqttSettings
from service_runtime.setting import setting
from service_runtime.settings import SettingsError, load

PLACES = {
    "ksem-publisher": ("ksem_publisher", Path("/etc/ksem-airbridge/publisher.toml"), "AIRBRIDGE_METER__"),
    "rtu-server": ("rtu_server", Path("/etc/ksem-airbridge/rtu-server.toml"), "AIRBRIDGE_LINE__"),
    "inverter-reader": ("inverter_reader", Path("/etc/ksem-airbridge/inverter-reader.toml"), "AIRBRIDGE_INVERTER__"),
    "ksem-dashboard": ("ksem_dashboard", Path("/etc/ksem-airbridge/dashboard.toml"), "AIRBRIDGE_DASHBOARD__"),
}
"""Service: its package, its settings file, the variables without which it has no settings."""
_PATIENCE = 20.0


@attrs.frozen(kw_only=True)
class _Mqtt:
    """The one table that the doctor needs with its secrets."""

    mqtt: MqttSettings = setting(factory=MqttSettings, help="the broker")


def gather_settings(service: str, path: Path | None) -> tuple[SettingsFacts, MqttSettings | None] | None:
    """What is in force for a service, and how it reaches the broker; None where it has no settings on this host."""
    module, default, needed = PLACES[service]
    file = path or default
    environ = {**env_file(file.with_suffix(".env")), **os.environ}
    if path is None and not _exists(default) and not any(name.startswith(needed) for name in environ):
        return None
    options = ["--config", str(file)] if path is not None or _exists(default) else []
    facts = _checked(service, module, str(file) if options else "the environment", options, environ)
    if facts.mistakes:
        return facts, None
    try:
        loaded = load(_Mqtt, path=file if options else None, environ=environ)
    except SettingsError as error:
        return replace(facts, mistakes=tuple(error.mistakes)), None
    return facts, loaded.mqtt


def gather_services() -> tuple[ServiceFacts, ...]:
    """The services of this host that are installed as systemd units; none where there is no systemd."""
    keys = ("Id", "LoadState", "ActiveState", "SubState", "Result", "UnitFileState")
    command = ["systemctl", "show", "--property", ",".join(keys), *PLACES]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    services = []
    for part in ran.stdout.split("\n\n"):
        unit = dict(line.split("=", 1) for line in part.splitlines() if "=" in line)
        if unit.get("LoadState") == "loaded" and keys[0] in unit:
            enabled = unit.get("UnitFileState") == "enabled"
            name = unit["Id"].removesuffix(".service")
            active, sub, result = (unit.get(key, "") for key in ("ActiveState", "SubState", "Result"))
            services.append(ServiceFacts(name, active, sub, result, enabled))
    return tuple(services)


def settings_of_this_host(config: Path | None = None) -> MqttSettings | None:
    """How a service of this host reaches the broker: one of these may read what all publish. None: there is none.

    ValueError where there are settings that can't be used.
    """
    places = (
        (config,) if config else tuple(PLACES[one][1] for one in ("ksem-dashboard", "ksem-publisher", "rtu-server"))
    )
    mistakes: list[str] = []
    for path in places:
        if not _exists(path):
            continue
        try:
            return load(_Mqtt, path=path, environ={**env_file(path.with_suffix(".env")), **os.environ}).mqtt
        except SettingsError as error:
            mistakes += error.mistakes
    if not mistakes:
        return None
    hint = "\nrun it with sudo, or give --broker, --user and --password-file" * any(
        "ermission" in one for one in mistakes
    )
    raise ValueError("\n".join(mistakes) + hint)


def _checked(service: str, module: str, origin: str, options: list[str], environ: Mapping[str, str]) -> SettingsFacts:
    # -P: what is installed, and nothing of the folder that somebody calls it from, with sudo.
    command = [sys.executable, "-P", "-m", module, *options, "--check"]
    try:
        ran = subprocess.run(command, env=dict(environ), capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return SettingsFacts(service, origin, (f"{service} --check did not end within {_PATIENCE:.0f} s",))
    if ran.returncode != 0:
        lines = [line for line in ran.stderr.splitlines() if line.strip()]
        reported = lines[:-1] if ran.returncode == 2 and len(lines) > 1 else lines[-1:]
        return SettingsFacts(service, origin, tuple(reported) or (f"{service} --check failed without a word",))
    return SettingsFacts(service, origin, text=ran.stdout, tables=tomllib.loads(ran.stdout))


def env_file(path: Path) -> dict[str, str]:
    """Lines NAME=value, as systemd's EnvironmentFile reads them (simple ones)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = [line.strip().partition("=") for line in lines if line.strip() and not line.strip().startswith(("#", ";"))]
    return {name: value.strip().strip("\"'") for name, equals, value in pairs if equals}


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return True  # this user may not look at it; --check then reports that


def find_processes(services: Iterable[str]) -> dict[int, str]:
    """Processes of these services by their ids, in containers of this host, too, as far as this user may see them."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            for service in services:
                is_script = any(Path(argument).name == service for argument in arguments[:3])
                if is_script or arguments[1:3] == ["-m", PLACES[service][0]]:
                    found[int(folder.name)] = service
    return found


def takes_signal(pid: int, number: signal.Signals, *masks: str) -> bool:
    """Whether a signal is in one of a process's `masks`: SigCgt (handled), SigBlk (blocked). It ends any other."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    found = (int(line.split()[1], 16) for line in lines if line.partition(":")[0] in masks)
    return any(mask >> (number - 1) & 1 for mask in found)


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
