"""Finds the running rtu-server and sends it signals [shell]."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_PATIENCE: Final = 10.0


class NoServer(Exception):
    """There is no rtu-server that can be drilled; the text has the remedy."""


class ServerProcess:
    """One process. It is held by a file descriptor, so that no other one can take its place."""

    def __init__(self, pid: int) -> None:
        try:
            self._fd = os.pidfd_open(pid)
        except OSError as error:
            raise NoServer(f"process {pid}: {error.strerror}") from None
        self.pid = pid
        if not _catches(pid, signal.SIGUSR2):
            raise NoServer(f"process {pid} is no rtu-server that knows drills: upgrade it, and start it again")

    def withhold(self) -> bool:
        """Withhold data for another second; False where the process has ended."""
        try:
            signal.pidfd_send_signal(self._fd, signal.SIGUSR2)
        except ProcessLookupError:
            return False
        except PermissionError:
            raise NoServer("only root and the user of rtu-server may do this: run it with sudo") from None
        return True


def find_server(pid: int | None) -> ServerProcess:
    """The rtu-server of this host. NoServer where there is none, or more than one."""
    if pid is not None:
        return ServerProcess(pid)
    pids = [unit] if (unit := _main_pid()) else _processes()
    if not pids:
        raise NoServer("no rtu-server runs on this host: run this where the inverter's RS485 port is")
    if len(pids) > 1:
        raise NoServer(f"several rtu-servers run here, give one of them as --pid: {', '.join(map(str, pids))}")
    return ServerProcess(pids[0])


def _main_pid() -> int:
    """The main process of the unit; 0 where there is none."""
    command = ["systemctl", "show", "--value", "--property", "MainPID", "rtu-server"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return int(ran.stdout) if ran.stdout.strip().isdigit() else 0


def _processes() -> list[int]:
    """Processes started as `rtu-server` or `python -m rtu_server`, in a container of this host, too."""
    pids = []
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            is_script = any(Path(argument).name == "rtu-server" for argument in arguments[:3])
            if is_script or arguments[1:3] == ["-m", "rtu_server"]:
                pids.append(int(folder.name))
    return pids


def _catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler for the signal: it would be ended by one that it does not expect."""
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return False
    mask = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")), 0)
    return bool(mask >> (number - 1) & 1)
