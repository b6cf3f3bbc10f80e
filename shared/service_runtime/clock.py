"""The clocks a service uses [shell].

Ages and limits count on CLOCK_BOOTTIME: monotonic, and it goes on while the host is suspended, so that a value can't
look young after a sleep. The wall clock appears in display strings only.
"""

import time
from functools import lru_cache


def boottime() -> float:
    """Seconds of CLOCK_BOOTTIME."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_ms() -> int:
    """Whole milliseconds of CLOCK_BOOTTIME, as messages carry it; rounded down."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wall_time() -> str:
    """The wall clock as RFC 3339 in UTC with milliseconds: `2026-11-22T10:00:00.123Z`."""
    second, ms = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_second(second)}.{ms:03}Z"


@lru_cache(maxsize=1)  # messages of one second share it
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
