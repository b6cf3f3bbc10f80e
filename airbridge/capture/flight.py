"""`airbridge capture flight`: makes the services on this host write their last minutes to files now [shell]."""

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from service_runtime.clock import boottime

SERVICES: Final = {"ksem-publisher": "ksem_publisher", "rtu-server": "rtu_server"}
"""Commands, and the modules that `python -m` starts them by."""
POLL_STEP: Final = 0.2


def find_services(proc: Path = Path("/proc")) -> dict[int, str]:
    """Return the running services by process id, as far as this user may see them."""
    services = {}
    for folder in proc.glob("[0-9]*"):
        try:
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        for name, module in SERVICES.items():
            is_it = any(Path(argument).name == name for argument in arguments[:3]) or arguments[1:3] == ["-m", module]
            if is_it and _waits_for_signal(folder):
                services[int(folder.name)] = name
    return services


def _waits_for_signal(folder: Path) -> bool:
    """Whether a process takes SIGUSR1: an earlier build would end by it. Ours blocks it, and waits for it."""
    try:
        status = (folder / "status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    masks = [line.split()[1] for line in status.splitlines() if line.startswith(("SigBlk:", "SigCgt:"))]
    return any(int(mask, 16) >> (signal.SIGUSR1 - 1) & 1 for mask in masks)


def request_files(processes: Iterable[int]) -> None:
    """Send SIGUSR1 to each. PermissionError where this user may not."""
    for process in processes:
        os.kill(process, signal.SIGUSR1)


def files_in(folders: Iterable[Path]) -> set[Path]:
    """Return the flight files there are."""
    return {path for folder in folders for path in folder.glob("*.jsonl")}


def await_files(folders: Iterable[Path], known: set[Path], count: int, within: float) -> list[Path]:
    """Return the files that were written since `known` was looked at, once there are `count` or the time is over."""
    folders, until = list(folders), boottime() + within
    while True:
        new = sorted(files_in(folders) - known)
        if len(new) >= count or boottime() > until:
            return new
        time.sleep(POLL_STEP)
