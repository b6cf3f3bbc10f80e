"""Measures from /proc what processes cost, and keeps a core busy [shell]."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of all threads that these processes have now, to the nanosecond (schedstat, not the 10 ms ticks)."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError):
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def memory_mb(pid: int) -> tuple[float, float]:
    """Peak RSS and present PSS in MB (10^6 bytes)."""
    status = Path(f"/proc/{pid}/status").read_text()
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return _kilobytes(status, "VmHWM:"), _kilobytes(rollup, "Pss:")


def _kilobytes(text: str, key: str) -> float:
    return next(int(line.split()[1]) * 1024 / 1e6 for line in text.splitlines() if line.startswith(key))


def stolen_share(before: tuple[int, int], after: tuple[int, int]) -> float:
    """The share of CPU time that the host took away between two readings of `steal`."""
    return (after[0] - before[0]) / max(1, after[1] - before[1])


def steal() -> tuple[int, int]:
    """Ticks stolen by the host, and all ticks."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[7], sum(ticks)


@contextmanager
def busy_core() -> Iterator[None]:
    """The last core has something else to do for as long as this lasts."""
    last = max(os.sched_getaffinity(0))
    spinner = subprocess.Popen(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, [{last}])\nwhile True: pass"]
    )
    try:
        yield
    finally:
        spinner.kill()
        spinner.wait()
