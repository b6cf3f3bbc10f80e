"""What a process costs, from outside: CPU time, memory, descriptors, threads."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads so far, to the microsecond (/proc/PID/stat counts in steps of 10 ms)."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def cpu_rate(pid: int, seconds: float) -> float:
    """CPU time per second over the next `seconds`."""
    before, begun = cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)  # what is measured is the rate over this time
    return (cpu_seconds(pid) - before) / (time.monotonic() - begun)


@dataclass(frozen=True)
class Footprint:
    """What a process holds."""

    rss_kb: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Self:
        status = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return cls(
            rss_kb=int(fields["VmRSS"].split()[0]),
            descriptors=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
            threads=int(fields["Threads"]),
        )

    def or_more(self, other: Self) -> Self:
        """The more of each."""
        return type(self)(
            max(self.rss_kb, other.rss_kb),
            max(self.descriptors, other.descriptors),
            max(self.threads, other.threads),
        )

    def __str__(self) -> str:
        return f"{self.rss_kb} kB, {self.descriptors} descriptors, {self.threads} threads"


def await_calm(pid: int, descriptors: int, threads: int, within: float = 5.0) -> Footprint:
    """Wait until a process holds no more descriptors and threads than before; return what it holds."""
    deadline = time.monotonic() + within
    while True:
        now = Footprint.of(pid)
        if now.descriptors <= descriptors and now.threads <= threads:
            return now
        assert time.monotonic() < deadline, f"{now}, but there were {descriptors} descriptors, {threads} threads"
        time.sleep(0.05)
