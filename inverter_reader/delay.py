"""Finds how far the inverter is behind the meter, from changes of power; keeps the measurements that this needs [core].

Each changed believed power is searched for among the measurements: where exactly one stretch of the last 20 s holds
it, the inverter shows what was measured when that stretch began. The inverter is read only now and then, so that each
change gives an interval and not a number. A value that was measured in two stretches, as a load that comes and goes
makes them, shows no delay and is left out.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from inverter_reader.registers import Believed
from ksem_contract.inverter_health import Delay, Sureness

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


LONGEST: Final = 20.0
"""The longest delay that is searched for, in seconds behind the meter."""
SURE: Final = 20
"""Changes from which on a delay is reported as good."""
FAIR: Final = 5
"""The same for fair."""
_LEAST_CHANGE: Final = 5.0
"""W that the believed power must have changed by."""
_EXACT: Final = 0.6
"""W within which a believed power is a measured one: the meter's resolution is 0.1 W."""
_ROUGH: Final = 0.02
"""Share of a change within which its end is reached, for an inverter that smooths what it reads."""
_WIDEST: Final = 2.5
"""Seconds that an interval may have."""
_KEPT: Final = 200
_RECENT: Final = 20


@dataclass(frozen=True, slots=True)
class Interval:
    """The inverter was between `low` and `high` seconds behind, found at `at`."""

    at: float
    low: float
    high: float

    @property
    def middle(self) -> float:
        """Seconds."""
        return (self.low + self.high) / 2


class DelayFinder:
    """Takes each read, gives the delay."""

    def __init__(self) -> None:
        self._before: Believed | None = None
        self._found: deque[Interval] = deque(maxlen=_KEPT)

    def forget(self) -> None:
        """Start over: later reads are unrelated to earlier ones."""
        self._before = None
        self._found.clear()

    def add(self, now: Believed, history: ServedHistory) -> None:
        """Take one read."""
        before, self._before = self._before, now
        if before is None or abs(now.power - before.power) < _LEAST_CHANGE:
            return
        begin = now.received - LONGEST
        if history.is_known(begin, now.received):
            found = find_interval(before, now, history.between(begin, now.received))
            if found is not None:
                self._found.append(found)

    @property
    def delay(self) -> Delay:
        """The delay as it is published."""
        if not self._found:
            return Delay()
        middles = sorted(one.middle for one in self._found)
        count = len(middles)
        sure: Sureness = "good" if count >= SURE else "fair" if count >= FAIR else "low"
        within = median((one.high - one.low) / 2 for one in self._found)
        p99 = middles[min(count - 1, int(0.99 * count))]
        return Delay(_ms(median(middles)), _ms(p99), count, _ms(within), sure)

    def recent(self, now: float, within: float = 300.0) -> float | None:
        """The usual delay of the last changes, s; None where they are too few or contradict one another."""
        middles = sorted([one.middle for one in self._found if one.at >= now - within][-_RECENT:])
        if len(middles) < FAIR:
            return None
        quarter = len(middles) // 4
        return median(middles) if middles[-1 - quarter] - middles[quarter] <= 2.0 else None


def find_interval(before: Believed, now: Believed, measured: Sequence[Served]) -> Interval | None:
    """The interval that one change of the believed power gives, or None."""
    tolerance = max(_EXACT, _ROUGH * abs(now.power - before.power))
    runs = _runs(measured, now.power, tolerance)
    if len(runs) != 1:
        return None
    first, last = runs[0]
    begin = measured[first].at
    end = measured[last + 1].at if last + 1 < len(measured) else now.received
    # The inverter showed it before `received`; it did not show it at the read before, nor before that read had ended.
    low, high = max(0.0, before.sent - begin, now.sent - end), now.received - begin
    return Interval(now.received, low, high) if low <= high <= low + _WIDEST else None


def _runs(measured: Sequence[Served], power: float, tolerance: float) -> list[tuple[int, int]]:
    """First and last index of each stretch that holds this power."""
    runs: list[tuple[int, int]] = []
    for place, one in enumerate(measured):
        if abs(one.power - power) > tolerance:
            continue
        if runs and runs[-1][1] == place - 1:
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
    return runs


def _ms(seconds: float) -> float:
    return round(1000 * seconds)
