"""The clocks a service uses [shell].

Ages and limits count on CLOCK_BOOTTIME: monotonic, and it goes on while the host is suspended, so that a value can't
look young after a sleep. The wall clock appears in display strings only.
"""

import time
from datetime import UTC, datetime


def boottime() -> float:
    """Seconds of CLOCK_BOOTTIME."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_ms() -> int:
    """Whole milliseconds of CLOCK_BOOTTIME, as messages carry it; rounded down."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wall_time() -> str:
    """The wall clock as RFC 3339 in UTC with milliseconds: `2026-11-22T10:00:00.123Z`."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
