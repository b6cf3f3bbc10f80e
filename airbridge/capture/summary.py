"""Summarises a capture record by record: counts, times, and the order of writes or requests in a cycle [core].

Flight files hold several captures, of push, poll and bus: each is summarised by itself.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Final, TypeVar

from ksem_contract.capture_file import CaptureRecord


@dataclass(frozen=True, slots=True)
class Spread:
    """Least, middle and greatest of some times, and their jitter; all in the unit of the times."""

    count: int
    least: float
    median: float
    greatest: float
    jitter: float
    """Half of the span in which the middle 90 % lie: "median +- jitter" holds for 9 of 10."""


def spread(times: Iterable[float]) -> Spread | None:
    """The figures, None without any time."""
    ordered = sorted(times)
    if not ordered:
        return None
    return Spread(
        len(ordered),
        ordered[0],
        quantile(ordered, 0.5),
        ordered[-1],
        (quantile(ordered, 0.95) - quantile(ordered, 0.05)) / 2,
    )


def quantile(ordered: list[float], share: float) -> float:
    """The value below which `share` of the ordered values lie, interpolated."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


K = TypeVar("K", bound=Hashable)

FEWEST: Final = 3
"""With fewer cycles the summary leaves out their order."""


@dataclass(frozen=True, slots=True)
class CycleOrder:
    """The usual order, how often it was kept, and when each part comes after the first."""

    parts: tuple[Any, ...]
    cycles: int
    kept: int
    """Cycles that were exactly like this."""
    offsets_ms: tuple[Spread | None, ...]
    period_ms: Spread | None


def cycle_order(sequence: Sequence[tuple[float, K]]) -> CycleOrder | None:
    """The order in a sequence of (time in seconds, what). None with fewer than three whole cycles.

    A cycle begins with what comes after the longest pauses, among those seen at least half as often as the most
    frequent. What comes once in a while, such as a detection at the start, makes an unlike cycle.
    """
    starts = _starts(sequence)
    cycles = [sequence[begin:end] for begin, end in pairwise(starts)]
    if len(cycles) < FEWEST:
        return None
    parts, kept = Counter(tuple(what for _, what in cycle) for cycle in cycles).most_common(1)[0]
    alike = [cycle for cycle in cycles if tuple(what for _, what in cycle) == parts]
    offsets = tuple(spread(1000 * (cycle[place][0] - cycle[0][0]) for cycle in alike) for place in range(len(parts)))
    times = [sequence[index][0] for index in starts]
    period = spread(1000 * (later - earlier) for earlier, later in pairwise(times))
    return CycleOrder(parts, len(cycles), kept, offsets, period)


def _starts(sequence: Sequence[tuple[float, K]]) -> list[int]:
    pauses: dict[K, list[float]] = defaultdict(list)
    for (earlier, _), (later, what) in pairwise(sequence):
        pauses[what].append(later - earlier)
    if not pauses:
        return []
    often = max(len(times) for times in pauses.values())
    # The upper quartile: what comes twice in a cycle has its long pause before every second one.
    long_pauses = {what: quantile(sorted(times), 0.75) for what, times in pauses.items() if 2 * len(times) >= often}
    first = max(long_pauses, key=lambda what: long_pauses[what])
    return [
        index
        for index, ((earlier, _), (later, what)) in enumerate(pairwise(sequence), 1)
        if what == first and later - earlier >= long_pauses[first] / 2
    ]


SAMPLES: Final = 100_000
"""Newest times that are kept of each row; a day of a 200 ms push is 432 000."""
ORDER_SAMPLES: Final = 20_000
ROWS: Final = 1_000
"""Different requests that are kept apart; garbage on a line can't grow the memory."""
TIMED_OUT_AFTER: Final = 1.0
"""Seconds after which the last request, that nothing follows, counts as unanswered."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What makes two writes or two requests the same."""

    function: int
    unit: int
    start: int | None
    count: int | None

    def __str__(self) -> str:
        if self.start is None or self.count is None:
            return f"function {self.function}"
        return f"{self.start}-{self.start + self.count - 1}" if self.count > 1 else f"{self.start}"


@dataclass(slots=True)
class Row:
    """All writes or requests of one kind."""

    key: Key
    what: str
    seen: int = 0
    answered: int = 0
    timeouts: int = 0
    exceptions: Counter[int] = field(default_factory=Counter)
    last: float | None = None
    periods: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    delays: deque[float] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    @property
    def period_ms(self) -> Spread | None:
        """Time from one to the next."""
        return spread(1000 * period for period in self.periods)

    @property
    def delay_ms(self) -> Spread | None:
        """Time from the request's end to the reply's begin."""
        return spread(self.delays)


class CaptureSummary:
    """Rows, order and counts of the records added so far."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Records by their `what`."""
        self.peers: Counter[str] = Counter()
        """Writes and reads by address, without the port."""
        self.last: float = 0.0
        self.first: float | None = None
        self._rows: dict[tuple[str, Key], Row] = {}
        self._sequence: deque[tuple[float, Key]] = deque(maxlen=ORDER_SAMPLES)
        self._open: tuple[Row, float] | None = None

    def add(self, record: CaptureRecord) -> None:
        """Count one record."""
        self.counts[record.what] += 1
        self.first = record.t if self.first is None else self.first
        self.last = max(self.last, record.t)
        if record.what in ("write", "read"):
            row = self._row(record)
            self._seen(row, record.t)
            if record.peer:
                self.peers[record.peer.rpartition(":")[0]] += 1
            if record.code is None:
                row.answered += 1
            else:
                row.exceptions[record.code] += 1
        elif record.what == "request":
            self._close()
            row = self._row(record)
            self._seen(row, record.t)
            self._open = (row, record.t)
        elif record.what in ("reply", "exception"):
            self._answer(record)

    @property
    def rows(self) -> list[Row]:
        """Every kind of write or request, the most frequent first."""
        return sorted(self._rows.values(), key=lambda row: (-row.seen, row.key.start or 0))

    @property
    def order(self) -> CycleOrder | None:
        """In which order they come within a cycle; None where none repeats."""
        return cycle_order(list(self._sequence))

    @property
    def duration(self) -> float:
        """Seconds between the first and the last record."""
        return self.last - self.first if self.first is not None else 0.0

    def finish(self, now: float) -> None:
        """Call at the end: a request that still waits has timed out, if it waited long."""
        if self._open is not None and now - self._open[1] >= TIMED_OUT_AFTER:
            self._close()

    def _row(self, record: CaptureRecord) -> Row:
        key = Key(record.function or 0, record.unit or 0, record.start, record.count)
        place = (record.what, key)
        row = self._rows.get(place)
        if row is None:
            if len(self._rows) >= ROWS:
                rarest = min(self._rows, key=lambda known: self._rows[known].seen)
                del self._rows[rarest]
            row = self._rows[place] = Row(key, record.what)
        return row

    def _seen(self, row: Row, t: float) -> None:
        if row.last is not None:
            row.periods.append(t - row.last)
        row.last = t
        row.seen += 1
        self._sequence.append((t, row.key))

    def _answer(self, record: CaptureRecord) -> None:
        if self._open is None or record.unit != self._open[0].key.unit or record.function != self._open[0].key.function:
            self.counts["unasked"] += 1
            return
        row, _ = self._open
        self._open = None
        if record.delay_ms is not None:
            row.delays.append(record.delay_ms)
        if record.what == "reply":
            row.answered += 1
        else:
            row.exceptions[record.code or 0] += 1

    def _close(self) -> None:
        if self._open is not None:
            self._open[0].timeouts += 1
            self._open = None


PUSH: Final = frozenset({"connected", "closed", "write", "read", "refused"})
BUS: Final = frozenset({"request", "reply", "exception", "noise"})
POLL: Final = {"poll": "request", "poll-reply": "reply", "poll-exception": "exception"}
"""A poll has requests and replies, as the bus has."""


class BridgeSummary:
    """Pushes, polls and buses, by whose they are."""

    def __init__(self) -> None:
        self.parts: dict[tuple[str, str], CaptureSummary] = {}
        """By kind (push, poll, bus) and where."""
        self.notes: list[CaptureRecord] = []
        """What is none of these: faults, states, losses; the newest hundred."""

    def add(self, record: CaptureRecord) -> None:
        """Count one record."""
        what = record.what
        if what in PUSH:
            self._part("push", record).add(record)
        elif what in POLL:
            self._part("poll", record).add(replace(record, what=POLL[what]))
        elif what in BUS:
            self._part("bus", record).add(record)
        elif what not in ("held", "poll-failed", "session", "clock"):
            self.notes = [*self.notes[-99:], record]

    def finish(self, now: float) -> None:
        """Call at the end."""
        for part in self.parts.values():
            part.finish(now)

    def count(self, kind: str, what: str) -> int:
        """Records of one kind, wherever they come from."""
        return sum(part.counts[what] for (of, _), part in self.parts.items() if of == kind)

    def _part(self, kind: str, record: CaptureRecord) -> CaptureSummary:
        key = (kind, record.where or "")
        part = self.parts.get(key)
        if part is None:
            part = self.parts[key] = CaptureSummary()
        return part
