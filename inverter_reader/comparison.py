"""Judges whether the inverter believes what was measured [core].

A believed power counts as explained if it lies between the least and the greatest power that was measured in the 5 s
before the read, with a tolerance: so no delay below 5 s, no smoothing and no slow read makes a false alarm, and a load
that stays constant makes none either. What is not explained is explained otherwise, by sign, factor, order of the
phases, or age, and only if it happens in most of the last reads.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Final

from inverter_reader.delay import Band, DelayFinder, ServedHistory
from inverter_reader.registers import Believed
from ksem_contract.inverter_health import Delay
from ksem_contract.reasons import Reason

WINDOW: Final = 5.0
"""Seconds before a read within which the inverter may have read its value. KOSTAL's reaction takes 0.4 s (HTW storage
inspection 2025)."""
LATE: Final = 2.0
"""Seconds behind the meter from which on the inverter is reported as late."""
LEAST: Final = 20.0
"""W below which a difference does not count."""
SHARE: Final = 0.02
"""Share of the power below which a difference does not count."""
JUDGED: Final = 20
"""Reads that are looked at together."""
TOO_MANY: Final = 8
"""Unexplained reads among them that make an alarm."""
FEW: Final = 2
"""So many unexplained reads, or fewer, end the alarm."""
MOST: Final = 0.8
"""Share of the unexplained reads that another explanation must fit."""
STILL: Final = 15.0
"""Seconds without a change of any register after which values stand still, if the meter's have moved meanwhile."""
EMPTY: Final = 3
"""Reads of nothing but zeros in a row that mean that the inverter has no meter."""

_IDENTITY: Final = (0, 1, 2)
_ORDERS: Final = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


@dataclass(frozen=True, slots=True)
class Compared:
    """One read beside the measurements before it; powers in W."""

    believed: float
    middle: float
    """The middle of the measurements."""
    explained: bool
    by_sign: bool
    phases_explained: bool
    orders: frozenset[tuple[int, int, int]]
    """Orders of the meter's phases that explain the inverter's L1, L2, L3."""
    span: float
    """W between the least and the greatest measured."""


class Comparison:
    """Takes measurements and reads, gives reasons. Times in seconds of CLOCK_BOOTTIME."""

    def __init__(self) -> None:
        self.served = ServedHistory()
        self._delay = DelayFinder()
        self._compared: deque[Compared] = deque(maxlen=JUDGED)
        self._empty = 0
        self._registers: tuple[int, ...] = ()
        self._still_since = 0.0
        self._now = 0.0
        self._alarms: set[str] = set()

    @property
    def delay(self) -> Delay:
        """How far the inverter is behind."""
        return self._delay.delay

    @property
    def has_begun(self) -> bool:
        """Whether reads could be compared lately."""
        return len(self._compared) >= FEW

    def interrupted(self) -> None:
        """The inverter was not read for a while: start over, and keep the delay that was found."""
        self._compared.clear()
        self._registers, self._empty = (), 0

    def add(self, read: Believed) -> None:
        """Take one read."""
        self._now = read.received
        self._empty = self._empty + 1 if read.is_empty else 0
        if read.registers != self._registers:
            self._registers, self._still_since = read.registers, read.sent
        if read.is_empty:
            self._compared.clear()
            return
        self._delay.add(read, self.served)
        band = self.served.band(read.sent - WINDOW, read.received)
        if band is not None:
            self._compared.append(_compare(read, band))

    def reasons(self) -> list[Reason]:
        """What is wrong with what the inverter believes; empty while it agrees, or can't be compared."""
        if self._empty >= EMPTY:
            return [Reason.of("inverter-without-meter")]
        if self._stands_still():
            return [Reason.of("inverter-stands-still", seconds=round(self._now - self._still_since))]
        late = self._delay.recent(self._now)
        if late is not None and late > LATE:
            return [Reason.of("inverter-lags", seconds=f"{late:.1f}")]
        return self._power_reasons() or self._phase_reasons()

    def _stands_still(self) -> bool:
        """The same registers for long, while measured powers no longer explain them."""
        if self._now - self._still_since < STILL or not self._registers:
            return False
        moved = self.served.between(self._still_since, self._now - WINDOW)
        if len(moved) < FEW:
            return False
        columns = zip(*(one.powers for one in moved), strict=True)
        return any(max(powers) - min(powers) > _tolerance(median(powers)) for powers in columns)

    def _power_reasons(self) -> list[Reason]:
        odd = [one for one in self._compared if not one.explained]
        if not self._is_alarm("power", len(odd)):
            return []
        last = odd[-1]
        powers = {"believed": round(last.believed), "served": round(last.middle)}
        if _share(one.by_sign for one in odd) >= MOST:
            return [Reason.of("inverter-wrong-sign", **powers)]
        ratios = [one.believed / one.middle for one in odd if abs(one.middle) > 10 * LEAST and one.span < LEAST * 10]
        percent = f"{100 * (median(ratios) - 1):+.1f}" if ratios else "?"
        return [Reason.of("inverter-other-power", **powers, percent=percent)]

    def _phase_reasons(self) -> list[Reason]:
        odd = [one for one in self._compared if one.explained and not one.phases_explained]
        if not self._is_alarm("phases", len(odd)):
            return []
        for order in _ORDERS:
            if _share(order in one.orders for one in odd) >= MOST:
                return [Reason.of("inverter-phases-swapped", order=", ".join(f"L{place + 1}" for place in order))]
        return []

    def _is_alarm(self, kind: str, odd: int) -> bool:
        """With hysteresis, so that a single read does not end what eight began."""
        if odd >= TOO_MANY:
            self._alarms.add(kind)
        elif odd <= FEW:
            self._alarms.discard(kind)
        return kind in self._alarms and odd > 0


def _compare(read: Believed, band: Band) -> Compared:
    middle = (band.low[0] + band.high[0]) / 2
    tolerance = _tolerance(max(abs(band.low[0]), abs(band.high[0])))
    fits = [
        [band.distance(power, place) <= _tolerance(band.high[place]) for place in (1, 2, 3)] for power in read.phases
    ]
    return Compared(
        believed=read.power,
        middle=middle,
        explained=band.distance(read.power) <= tolerance,
        by_sign=band.distance(-read.power) <= tolerance,
        phases_explained=all(fits[phase][phase] for phase in _IDENTITY),
        orders=frozenset(order for order in _ORDERS if all(fits[phase][order[phase]] for phase in _IDENTITY)),
        span=band.high[0] - band.low[0],
    )


def _tolerance(power: float) -> float:
    return max(LEAST, SHARE * abs(power))


def _share(fitting: Iterable[bool]) -> float:
    held = list(fitting)
    return sum(held) / len(held) if held else 0.0
