"""The clocks a service uses [shell].

Ages and limits count on CLOCK_BOOTTIME: monotonic, and it goes on while the host is suspended, so that a value can't
look young after a sleep. The wall clock appears in display strings only.

A time service corrects the wall clock by making CLOCK_BOOTTIME, too, run faster or slower: chrony by up to 83333 ppm as
shipped, systemd-timesyncd by a quarter of the error each second. No allowance for drift that leaves data
fresh covers that, so it is taken out: CLOCK_MONOTONIC_RAW is the bare oscillator, which no service corrects.
"""

import time
from collections.abc import Callable
from functools import lru_cache


def without_slewing(read: Callable[[int], int] = time.clock_gettime_ns) -> Callable[[], float]:
    """Make a clock that begins as CLOCK_BOOTTIME and then follows the oscillator and the host's sleep.

    The sleep is what CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC, both of which are slewed alike. Read in this order, a
    stall between two reads makes a difference too small, never too great: so the greatest seen is the right one. The
    oscillator is read first: a sleep in between is then counted.
    """
    boot, monotonic, raw = time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC, time.CLOCK_MONOTONIC_RAW
    slept = max(read(boot) - read(monotonic) for _ in range(3))
    slewed = max(read(monotonic) - read(raw) for _ in range(3))

    def now() -> float:
        nonlocal slept
        awake = read(raw) + slewed
        ahead = read(boot) - read(monotonic)
        if ahead > slept:  # noqa: PLR1730  (max() costs as much as the rest: this runs with all that is done)
            slept = ahead
        return (awake + slept) * 1e-9

    return now


boottime = without_slewing()
"""Seconds of CLOCK_BOOTTIME, as it would be had no time service slewed it since this process began."""


def uptime() -> float:
    """Seconds of CLOCK_BOOTTIME as the kernel has it, slewed or not: to compare with other programs' readings."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def until_tick(period: float, now: float) -> float:
    """Seconds until the next whole multiple of `period`, or the one after it where that is at hand.

    All periodic work shares these ticks: one wake-up for all of it, where each at a time of its own would
    find a processor that has to be warmed again.
    """
    left = period - now % period
    return left if left > period / 10 else left + period


def wall_time() -> str:
    """The wall clock as RFC 3339 in UTC with milliseconds: `2026-11-22T10:00:00.123Z`."""
    second, ms = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_second(second)}.{ms:03}Z"


@lru_cache(maxsize=1)  # messages of one second share it
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
