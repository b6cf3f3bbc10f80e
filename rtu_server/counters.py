"""Counts what happened on a line, for health [core]."""

from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import accumulate
from math import ceil, inf
from typing import NamedTuple

from ksem_contract.blocks import LIVE
from ksem_contract.health import AGE_BOUNDS_MS, TURNAROUND_BOUNDS_MS, Histogram, Percentiles
from ksem_contract.registers import RegisterRange
from modbus_codec.pdu import FunctionCode

SAMPLES = 1024
"""Answers whose times are kept for p50, p99 and max: about 80 s of a Plenticore's requests."""
MAX_REQUESTED = 64
"""Different requests kept apart; a new one replaces the one requested longest ago."""
RATE_WINDOW = 10.0
LEAST_GAP = 1.0
"""Seconds without data, or without a request, that are a pause worth keeping."""
MAX_GAPS = 16
"""Pauses kept: many more than there can be between two looks at them."""
MAX_SILENCES = 64
"""Times without a request that are kept: all those of `AWAKE_FOR`, and more."""
AWAKE_FOR = 60.0
"""Seconds without a request after which the inverter counts as asleep: no inverter restarts for longer. As many before
a shorter silence show whether it is usually as silent."""
LEAST_RHYTHM = 2.0
"""Seconds since it woke, or since the first request, from which on they show it."""
UNSENT = "unsent"
"""The outcome of a request whose answer did not leave the port."""


@dataclass(slots=True)
class RequestStats:
    """How one request (its frame) was answered, and how often."""

    count: int = 0
    last: float = 0.0
    outcome: str = ""
    window: int = 0
    """Which window of `RATE_WINDOW` seconds, counted from the clock's zero, `window_count` belongs to."""
    window_count: int = 0
    before: int = 0
    """Requests in the window before that one."""

    def note(self, outcome: str, now: float) -> None:
        """Count one more occurrence of it."""
        self._move_to(now)
        self.count += 1
        self.window_count += 1
        self.last, self.outcome = now, outcome

    def rate(self, now: float) -> float:
        """Return requests a second over the last whole window, and over this one where that is the first."""
        window = int(now // RATE_WINDOW)
        if window > self.window + 1:
            return 0.0
        return (self.window_count if window > self.window else self.before or self.window_count) / RATE_WINDOW

    def _move_to(self, now: float) -> None:
        window = int(now // RATE_WINDOW)
        if window > self.window:
            self.before = self.window_count if window == self.window + 1 else 0
            self.window, self.window_count = window, 0


class DurationCounts:
    """Durations since the start, counted by bounds (ms): some hundred ns each, and no more memory with time."""

    __slots__ = ("_bounds", "_bounds_ms", "_counts", "_total")

    def __init__(self, bounds_ms: tuple[float, ...]) -> None:
        self._bounds_ms = bounds_ms
        self._bounds = tuple(bound / 1000 for bound in bounds_ms)
        self._counts = [0] * (len(bounds_ms) + 1)
        self._total = 0.0

    def note(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._total += seconds

    def histogram(self) -> Histogram:
        """The histogram as the health message holds it."""
        counts = self._counts.copy()  # in one step, so a line that goes on answering does no harm
        return Histogram(self._bounds_ms, tuple(accumulate(counts)), round(1000 * self._total, 3))


class Gap(NamedTuple):
    """A pause between two answers with data. Seconds of CLOCK_BOOTTIME; `since` is -inf before the first."""

    since: float
    until: float
    is_refused: bool
    """A request in it got no data."""


class Silence(NamedTuple):
    """A time without a request. Seconds of CLOCK_BOOTTIME; `since` is -inf before the first."""

    since: float
    until: float
    is_usual: bool
    """The inverter is silent for most of the time, for it requests seldom; or nobody knows yet."""


@dataclass(slots=True)
class UnitCounters:
    """One unit's requests, their answers, and how long these took."""

    requests: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    last_request: float | None = None
    last_data: float | None = None
    is_refused: bool = False
    """A request since `last_data` got no data."""
    gaps: deque[Gap] = field(default_factory=lambda: deque(maxlen=MAX_GAPS))
    silences: deque[Silence] = field(default_factory=lambda: deque(maxlen=MAX_SILENCES))
    requested: dict[bytes, RequestStats] = field(default_factory=dict)
    turnarounds: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    ages: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    turnaround_counts: DurationCounts = field(default_factory=lambda: DurationCounts(TURNAROUND_BOUNDS_MS))
    age_counts: DurationCounts = field(default_factory=lambda: DurationCounts(AGE_BOUNDS_MS))

    def note(self, request: bytes, outcome: str, now: float) -> None:
        """Count a request of ours."""
        self.requests += 1
        self.outcomes[outcome] += 1
        self._note_silence(now)
        self._note_gap(outcome == "data", now)
        requested = self.requested.get(request)
        if requested is None:
            if len(self.requested) >= MAX_REQUESTED:
                del self.requested[min(self.requested, key=lambda frame: self.requested[frame].last)]
            requested = self.requested[request] = RequestStats(window=int(now // RATE_WINDOW))
        requested.note(outcome, now)

    def _note_silence(self, now: float) -> None:
        last, self.last_request = self.last_request, now
        if last is None:
            self.silences.append(Silence(-inf, now, is_usual=True))
        elif now - last > LEAST_GAP:
            self.silences.append(Silence(last, now, self._is_usual(last)))

    def _is_usual(self, now: float) -> bool:
        """Whether silences took most of the time before this moment, since the inverter woke."""
        begin = max([now - AWAKE_FOR, *(one.until for one in self.silences if one.until - one.since > AWAKE_FOR)])
        silent = sum(max(0.0, one.until - max(one.since, begin)) for one in self.silences)
        return now - begin < LEAST_RHYTHM or silent > (now - begin) / 2

    def _note_gap(self, is_data: bool, now: float) -> None:
        if not is_data:
            self.is_refused = True
            return
        since = -inf if self.last_data is None else self.last_data
        if now - since > LEAST_GAP:
            self.gaps.append(Gap(since, now, self.is_refused))
        self.last_data, self.is_refused = now, False

    def note_times(self, turnaround: float, age: float | None) -> None:
        """Keep how long an answer took and, with data, how old it was (seconds)."""
        self.turnarounds.append(turnaround)
        self.turnaround_counts.note(turnaround)
        if age is not None:
            self.ages.append(age)
            self.age_counts.note(age)


@dataclass(slots=True)
class LineCounters:
    """One line's units, and what else was received on it."""

    units: dict[int, UnitCounters] = field(default_factory=dict)
    foreign: int = 0
    noise: int = 0
    """Bytes that were no frame."""
    unsent: int = 0
    """Answers that did not leave the port."""
    unsent_since: float | None = None
    """Since when no answer has left the port, though some were due; None: the last one left."""
    stalls: int = 0
    """Stalls of the process in which a request, or bytes on the port, had to be thrown away."""
    listening_since: float = -inf
    """When the port was opened, or the process stalled last."""


def percentiles_ms(samples: deque[float]) -> Percentiles:
    """Return p50, p99 and max of durations given in seconds."""
    ordered = sorted(samples)  # copied in one step, so a line that goes on answering does no harm
    if not ordered:
        return Percentiles()
    return Percentiles(
        p50=round(1000 * ordered[(len(ordered) - 1) // 2], 2),
        p99=round(1000 * ordered[ceil(0.99 * len(ordered)) - 1], 2),
        max=round(1000 * ordered[-1], 2),
    )


def is_live(request: bytes) -> bool:
    """Whether a read request is for live values; the age of a block that is read once a minute would hide theirs."""
    return int.from_bytes(request[2:4]) < LIVE.stop


def requested_range(request: bytes) -> tuple[int, RegisterRange | None]:
    """Return function and range of a request frame; no range where it is not a well-formed read."""
    if len(request) == 8 and request[1] in (FunctionCode.READ_HOLDING_REGISTERS, FunctionCode.READ_INPUT_REGISTERS):
        try:
            return request[1], RegisterRange(int.from_bytes(request[2:4]), int.from_bytes(request[4:6]))
        except ValueError:
            return request[1], None
    return request[1], None
