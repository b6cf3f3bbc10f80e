"""The meter's last measurements, as the inverter was served them [core]."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

KEPT: Final = 40.0
"""Seconds of measurements that are kept: twice the longest delay that is searched for."""
MAX_GAP: Final = 2.0
"""Seconds between two measurements at most, for a window to count as known throughout."""
_POWERS: Final = ("power", "power_l1", "power_l2", "power_l3")


@dataclass(frozen=True, slots=True)
class Served:
    """One measuring cycle; `at` in seconds of CLOCK_BOOTTIME, `powers` in W: total, L1, L2, L3."""

    at: float
    powers: tuple[float, float, float, float]

    @property
    def power(self) -> float:
        """W; plus is import."""
        return self.powers[0]


@dataclass(frozen=True, slots=True)
class Band:
    """Least and greatest of each power within a window: total, L1, L2, L3."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    def distance(self, value: float, place: int = 0) -> float:
        """How far `value` lies outside, W; 0 within."""
        return max(0.0, self.low[place] - value, value - self.high[place])


class ServedHistory:
    """The last measuring cycles, in the order in which they were measured."""

    def __init__(self) -> None:
        self._held: deque[Served] = deque()

    def add(self, values: Mapping[str, float], measured: float) -> None:
        """Take a message `values`; one that lacks a power, or is older than the last one, is left out."""
        if any(key not in values for key in _POWERS) or (self._held and measured <= self._held[-1].at):
            return
        total, first, second, third = (values[key] for key in _POWERS)
        self._held.append(Served(measured, (total, first, second, third)))
        while self._held[0].at < measured - KEPT:
            self._held.popleft()

    @property
    def newest(self) -> Served | None:
        """The last measurement."""
        return self._held[-1] if self._held else None

    def between(self, begin: float, end: float) -> list[Served]:
        """Measurements of this window, the oldest first."""
        return list(self._within(begin, end))

    def is_known(self, begin: float, end: float) -> bool:
        """Whether this window has no gap: it holds every measurement that the inverter may have read."""
        times = [begin, *(one.at for one in self._within(begin - MAX_GAP, end)), end]
        return len(times) > 3 and all(later - one <= MAX_GAP for one, later in pairwise(times))

    def band(self, begin: float, end: float) -> Band | None:
        """Least and greatest powers of this window, with those in force at its begin; None where a gap is in it."""
        if not self.is_known(begin, end):
            return None
        columns = list(zip(*(one.powers for one in self._within(begin - 1.0, end)), strict=True))
        return Band(tuple(map(min, columns)), tuple(map(max, columns)))

    def _within(self, begin: float, end: float) -> Iterator[Served]:
        return (one for one in self._held if begin <= one.at <= end)
