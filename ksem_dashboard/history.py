"""Keeps the last hour of power in bounded memory, and the energy since midnight [core]."""

from array import array
from dataclasses import dataclass
from datetime import date, datetime
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


@dataclass(frozen=True, slots=True)
class Energy:
    """In kWh, since a local time of day."""

    imported: float
    exported: float
    since: str
    """`00:00`, or later if the first reading of the day came later."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Both counters in kWh, and when they came."""

    imported: float
    exported: float
    local: datetime


class EnergyToday:
    """Follows the meter's two counters from midnight on, or from the first reading that was seen."""

    __slots__ = ("_base", "_day", "_last", "_since", "reading")

    def __init__(self) -> None:
        self._day: date | None = None
        self._base = self._last = (0.0, 0.0)
        self._since = ""
        self.reading: Reading | None = None
        """The last one."""

    def note(self, imported: float, exported: float, local: datetime) -> None:
        """Take in a fresh reading of both counters (kWh) at this local time."""
        reading = (imported, exported)
        stepped_back = any(new < old for new, old in zip(reading, self._last, strict=True))
        if self._day is None or stepped_back:
            # The first reading, or another meter: what was before is not known.
            self._base, self._since = reading, f"{local:%H:%M}"
        elif local.date() != self._day:
            # The last reading of yesterday, unless it lies further back than the night.
            yesterday = (local.date() - self._day).days == 1
            self._base, self._since = (self._last, "00:00") if yesterday else (reading, f"{local:%H:%M}")
        self._day, self._last = local.date(), reading
        self.reading = Reading(imported, exported, local)

    @property
    def energy(self) -> Energy | None:
        """None before the first reading."""
        if self._day is None:
            return None
        return Energy(self._last[0] - self._base[0], self._last[1] - self._base[1], self._since)
