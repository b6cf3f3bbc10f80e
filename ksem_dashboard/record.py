"""What the history keeps of each minute and each day: rows for a store [core].

Nothing is kept by a clock that was never set: a host without a battery clock begins some years ago.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from ksem_dashboard.history import PowerHistory, slot_of
from ksem_dashboard.outages import Outage
from ksem_dashboard.picture import BridgeState

EARLIEST: Final = 2026
"""The year of the first version: a wall clock before it is not set."""
MINUTE: Final = 60
_MOST_SLOTS: Final = 12
"""Slots of 10 s that one row may sum up: two minutes, where a tick came late."""
_MOST_FINISHED: Final = 200
_MOST_METERS: Final = 16
"""Meters that are remembered though nothing comes of them, as before the first message."""
NIGHT_GAP: Final = 900.0
"""Seconds between the last reading of a day and the first of the next one up to which both days count as whole."""
_MOST_KW: Final = 200.0
"""More than any house takes: a counter that rises faster is that of another meter."""
_SLACK_KWH: Final = 1.0


@dataclass(frozen=True, slots=True)
class Minute:
    """Least, mean and greatest power of a minute, in W. `minute`: minutes since 1970."""

    meter: str
    minute: int
    low: int
    mean: int
    high: int


@dataclass(frozen=True, slots=True)
class Day:
    """Energy of a local day, in kWh."""

    meter: str
    day: str
    """`2026-11-30`."""
    imported: float
    exported: float
    is_whole: bool
    """Whether the counters were followed from midnight on, without a gap over the next midnight."""
    at: float
    """Of the last reading, seconds since 1970."""
    import_counter: float
    export_counter: float


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written at once. `minute`: the one that ended, in minutes since 1970."""

    minute: int
    is_watched: bool
    """Whether the broker was connected: what happened elsewhere was seen."""
    minutes: tuple[Minute, ...] = ()
    days: tuple[Day, ...] = ()
    current: tuple[Outage, ...] = ()
    finished: tuple[Outage, ...] = ()


class DayEnergy:
    """Follows the two counters of a meter from day to day."""

    def __init__(self, meter: str, last: Day | None = None) -> None:
        self._meter = meter
        self._last = last

    def on_reading(self, imported: float, exported: float, local: datetime) -> list[Day]:
        """Take in both counters (kWh), read at this local time; return the days that changed."""
        last, at, day = self._last, local.timestamp(), f"{local:%Y-%m-%d}"
        fresh = Day(self._meter, day, 0.0, 0.0, False, at, imported, exported)
        if last is None:
            return self._now(fresh)
        if at <= last.at:
            return []
        taken, fed = imported - last.import_counter, exported - last.export_counter
        most = _MOST_KW * (at - last.at) / 3600 + _SLACK_KWH
        is_same_meter = 0 <= taken <= most and 0 <= fed <= most
        if day == last.day:
            sums = replace(fresh, imported=last.imported, exported=last.exported)
            if not is_same_meter:
                return self._now(sums)
            return self._now(
                replace(sums, imported=sums.imported + taken, exported=sums.exported + fed, is_whole=last.is_whole)
            )
        if is_same_meter and at - last.at <= NIGHT_GAP:
            return self._now(replace(fresh, imported=taken, exported=fed, is_whole=True))
        # What was counted between the two readings belongs to either day, and nobody knows how much to which.
        return [replace(last, is_whole=False), *self._now(fresh)]

    def _now(self, day: Day) -> list[Day]:
        self._last = day
        return [day]


@dataclass(slots=True)
class Recorder:
    """Makes a batch at the end of each minute of the wall clock."""

    days: dict[str, DayEnergy] = field(default_factory=dict)
    """By meter; what was stored before is put in at the start."""
    finished: list[Outage] = field(default_factory=list)
    """Outages that are over and in no batch yet."""
    _minute: int | None = None
    _slot: int = 0

    def step(
        self, state: BridgeState, current: Sequence[Outage], finished: Iterable[Outage], now: float, local: datetime
    ) -> Batch | None:
        """Take in the present; return a batch where a minute has ended. `now`: CLOCK_BOOTTIME in seconds."""
        self.finished = [*self.finished, *finished][-_MOST_FINISHED:]
        minute = int(local.timestamp() // MINUTE)
        if self._minute is None:
            self._minute, self._slot = minute, slot_of(now)
        if minute == self._minute:
            return None
        return self._batch(state, current, minute - 1, slot_of(now), minute, local)

    def rest(self, state: BridgeState, current: Sequence[Outage], now: float, local: datetime) -> Batch | None:
        """Return what the unfinished minute holds, at the end of the service."""
        minute = int(local.timestamp() // MINUTE)
        return self._batch(state, current, minute, slot_of(now) + 1, minute, local)

    def _batch(
        self, state: BridgeState, current: Sequence[Outage], row: int, until: int, minute: int, local: datetime
    ) -> Batch | None:
        slots = range(max(self._slot, until - _MOST_SLOTS), until)
        self._minute, self._slot = minute, until
        if local.year < EARLIEST:
            return None
        found = [_minute(view.meter, view.history, slots, row) for view in state.meters.values()]
        finished, self.finished = tuple(self.finished), []
        return Batch(
            row, bool(state.link_up), tuple(one for one in found if one), self._days(state), tuple(current), finished
        )

    def _days(self, state: BridgeState) -> tuple[Day, ...]:
        changed: list[Day] = []
        for view in state.meters.values():
            reading = view.today.reading
            if reading is not None:
                energy = self.days.setdefault(view.meter, DayEnergy(view.meter))
                changed += energy.on_reading(reading.imported, reading.exported, reading.local)
        for meter in list(self.days.keys() - state.meters.keys())[_MOST_METERS:]:
            del self.days[meter]
        return tuple(changed)


def _minute(meter: str, history: PowerHistory, slots: range, minute: int) -> Minute | None:
    points = [point for slot in slots if (point := history.point(slot)) is not None]
    if not points:
        return None
    low, high = min(point[0] for point in points), max(point[2] for point in points)
    mean = sum(point[1] for point in points) / len(points)
    return Minute(meter, minute, round(low), round(mean), round(high))


def days_before(local: datetime, count: int) -> list[str]:
    """The last `count` local days, the oldest first, today last."""
    return [f"{local - timedelta(days=back):%Y-%m-%d}" for back in range(count - 1, -1, -1)]
