"""The last hour of power in bounded memory [core]."""

from array import array
from typing import Final

STEP: Final = 10.0
"""Seconds of a slot."""
SLOTS: Final = 360
_NEVER: Final = -(2**62)

Point = tuple[float, float, float]
"""Least, mean and greatest power of a slot, in W."""


class PowerHistory:
    """Least, mean and greatest of each 10 s; 6 kB for an hour, whatever comes. Times in seconds of CLOCK_BOOTTIME."""

    __slots__ = ("_count", "_high", "_low", "_slot", "_sum")

    def __init__(self) -> None:
        self._slot = array("q", [_NEVER] * SLOTS)
        self._count = array("l", [0] * SLOTS)
        self._sum, self._low, self._high = (array("d", [0.0] * SLOTS) for _ in range(3))

    def add(self, power: float, now: float) -> None:
        """Take in one value."""
        slot = slot_of(now)
        at = slot % SLOTS
        if self._slot[at] != slot:
            self._slot[at], self._count[at], self._sum[at] = slot, 0, 0.0
            self._low[at] = self._high[at] = power
        self._count[at] += 1
        self._sum[at] += power
        self._low[at] = min(self._low[at], power)
        self._high[at] = max(self._high[at], power)

    def point(self, slot: int) -> Point | None:
        """What a slot holds; None if nothing came in it, or it is more than an hour ago."""
        at = slot % SLOTS
        if self._slot[at] != slot:
            return None
        return self._low[at], self._sum[at] / self._count[at], self._high[at]

    def points(self, now: float) -> list[Point | None]:
        """The finished slots of the last hour, the oldest first."""
        last = slot_of(now)
        return [self.point(slot) for slot in range(last - SLOTS + 1, last)]


def slot_of(now: float) -> int:
    """The number of the slot that `now` lies in."""
    return int(now // STEP)
