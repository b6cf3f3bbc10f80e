"""Learns the order in which a meter writes its cycle, and the rhythm of the cycles [core].

No document describes how a KSEM cuts a cycle into writes, so it is learned: the shortest run of writes that repeats
three times is one cycle, and the longest silence in it marks the end of a cycle. The silence alone can mislead: a gap
inside a cycle may be longer than the one between two cycles. So the silence counts only where it is the only one,
because all writes of a cycle follow one another at once. Else, or where the phases' power does not sum to the total
in the cycles found that way, the cut where it does counts. While the power stands still, nothing shows the cut.

A cycle that arrives in its rhythm is as old as its first write. One that was held back (by the network, by a stall of
this process) arrives late, with others close behind it; it is dated to when it was due. After a silence the first cycle
can't be dated: it is left out, and the next one in rhythm counts.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from ksem_contract.reasons import Reason
from ksem_contract.registers import mask_of
from ksem_publisher.snapshot import AWAY_PERIODS, AWAY_SECONDS

Fits = Callable[[Sequence[int | None]], bool]
"""Whether a cycle's words, from the block's first register on, agree among themselves."""

CYCLES_SEEN = 3
"""So many equal cycles make a pattern."""
CYCLES_KEPT = 8
"""Over so many cycles evidence for a cut is gathered."""
MAX_WRITES = 160
"""More writes than this are no cycle: 148 registers, one at a time, are 148."""

_AMBIGUOUS = 0.6
"""A silence that once was at least this share of the longest may be the one between two cycles as well."""
_AT_ONCE = 0.02
"""So may one that usually is longer than this share of the period: no meter needs so long from write to write."""
_EVIDENCE_SECONDS = 2.0
"""Evidence goes back so far where that is more than CYCLES_KEPT: pushes may come faster than the meter measures."""
_MISFITS_NEEDED = 2
"""So much more often must the sum fail in each other cut before it decides."""
_MISFITS_ALLOWED = 0.25
"""In this share of its cycles the sum may fail even so: a meter rounds."""
_UNEVEN = 1.5
"""Cycles that differ so much in length have to be seen more often: a meter that has just connected may be late."""
_ENOUGH_CYCLES = 6
_SHORTEST_PERIOD = 0.015
"""Seconds. Writes that repeat faster come out of a queue and show nothing of the meter's pace."""


class Write(NamedTuple):
    """Registers the meter wrote, cut to the block they belong to. `start` counts from the block's first register."""

    start: int
    registers: tuple[int, ...]
    at: float

    @property
    def shape(self) -> tuple[int, int]:
        return self.start, len(self.registers)

    @property
    def mask(self) -> int:
        """One bit for each register written."""
        return mask_of(self.start, len(self.registers))


@dataclass(frozen=True, slots=True)
class CyclePattern:
    """The writes of one cycle in order, and the seconds from one cycle to the next."""

    shapes: tuple[tuple[int, int], ...]
    period: float


@dataclass(frozen=True, slots=True)
class Undecided:
    """No pattern (yet), and why. Another look makes sense after so many more writes."""

    reason: Reason
    retry: int = 1


def find_pattern(
    writes: Sequence[Write],
    wanted: int,
    size: int,
    fits: Fits | None,
    *,
    trust_silence: bool = True,
) -> CyclePattern | Undecided:
    """The pattern of the newest writes.

    `wanted` masks the registers that each cycle must bring once; `size` is the block's register count; `fits` checks
    whether a cycle's words agree among themselves (None: nothing to compare). Without `trust_silence` the longest
    silence counts only where the sum was seen to fail in another cut.
    """
    length = _cycle_length(writes)
    if length is None:
        return Undecided(Reason.of("cycle-not-repeated"))
    cycle = writes[-length:]
    seen = overlap = 0
    for write in cycle:
        overlap |= seen & write.mask & wanted
        seen |= write.mask
    if overlap:
        return Undecided(Reason.of("cycle-writes-twice"))
    run = _repeating_tail(writes, length)
    silences = [_silences_before(run, position, length) for position in range(length)]
    intervals = [run[i + length].at - run[i].at for i in range(len(run) - length)]
    period = _median(intervals)
    newest = intervals[-length * (CYCLES_SEEN - 1) :]
    if max(newest) > _UNEVEN * min(newest) and len(run) < _ENOUGH_CYCLES * length:
        return Undecided(Reason.of("cycle-pace-unclear"))
    if period < _SHORTEST_PERIOD:
        return Undecided(Reason.of("cycle-burst"))
    clear = _AT_ONCE * period
    first = _choose_cut(run, length, silences, clear, size, fits, trust_silence=trust_silence)
    if isinstance(first, Undecided):
        return first
    start = (first - len(run)) % length
    shapes = tuple(write.shape for write in cycle)
    return CyclePattern(shapes[start:] + shapes[:start], period)


def _cycle_length(writes: Sequence[Write]) -> int | None:
    """The smallest number of writes after which the newest ones repeat, three times over."""
    shapes = [write.shape for write in writes[-MAX_WRITES * CYCLES_SEEN :]]
    for length in range(1, min(MAX_WRITES, len(shapes) // CYCLES_SEEN) + 1):
        if shapes[-1] != shapes[-1 - length]:
            continue
        span = length * (CYCLES_SEEN - 1)
        if shapes[-span:] == shapes[-span - length : -length]:
            return length
    return None


def _repeating_tail(writes: Sequence[Write], length: int) -> Sequence[Write]:
    """The newest writes as far back as they repeat and count as evidence."""
    start = len(writes) - length
    newest = writes[-1].at
    while start > 0:
        if len(writes) - start >= length * CYCLES_KEPT and newest - writes[start - 1].at > _EVIDENCE_SECONDS:
            break
        if writes[start - 1].shape != writes[start - 1 + length].shape:
            break
        start -= 1
    return writes[start:]


def _silences_before(run: Sequence[Write], position: int, length: int) -> list[float]:
    """The silences before the writes at `position`, counted from the run's first write; newest first."""
    newest = len(run) - 1 - (len(run) - 1 - position) % length
    return [run[i].at - run[i - 1].at for i in range(newest, 0, -length)]


def _choose_cut(
    run: Sequence[Write],
    length: int,
    silences: Sequence[Sequence[float]],
    clear: float,
    size: int,
    fits: Fits | None,
    *,
    trust_silence: bool,
) -> int | Undecided:
    """The position in the run where its first whole cycle begins. Silences of up to `clear` seconds are none."""
    ambiguous = Undecided(Reason.of("cycle-ambiguous"), length)
    by_silence = _longest(range(length), silences)
    rivals = _rivals(range(length), by_silence, silences, clear)
    if fits is None:
        return by_silence if not rivals else ambiguous
    misfits = _misfits(run, length, size, fits)
    if trust_silence and not rivals and not misfits[by_silence]:
        return by_silence
    if rivals:
        best, *others = sorted((by_silence, *rivals), key=lambda position: misfits[position])
        sum_fits = misfits[best] <= _MISFITS_ALLOWED * len(run) / length
        return best if sum_fits and all(misfits[p] - misfits[best] >= _MISFITS_NEEDED for p in others) else ambiguous
    if not trust_silence and max(misfits) < _MISFITS_NEEDED:
        return ambiguous
    fitting = [position for position in range(length) if misfits[position] == 0]
    if not fitting:
        return by_silence  # the sum fits nowhere, whatever the meter does; the silence is clear
    best = _longest(fitting, silences)
    return best if not _rivals(fitting, best, silences, clear) else ambiguous


def _median(values: Sequence[float]) -> float:
    # The module statistics would bring decimal and fractions along, half a megabyte.
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _longest(positions: Sequence[int], silences: Sequence[Sequence[float]]) -> int:
    return max(positions, key=lambda position: _median(silences[position]))


def _rivals(positions: Sequence[int], best: int, silences: Sequence[Sequence[float]], clear: float) -> list[int]:
    """Positions other than `best` where a cycle may begin as well."""
    return [
        position
        for position in positions
        if position != best
        and (
            _median(silences[position]) > clear
            or any(
                gap >= _AMBIGUOUS * longest for gap, longest in zip(silences[position], silences[best], strict=False)
            )
        )
    ]


def _misfits(run: Sequence[Write], length: int, size: int, fits: Fits) -> list[int]:
    """For each position: in how many of the cycles that begin there the words disagree."""
    counts = [0] * length
    registers: list[int | None] = [None] * size
    for i, write in enumerate(run):
        registers[write.start : write.start + len(write.registers)] = write.registers
        if i >= length - 1:  # now the words are those of the cycle that ends here
            counts[(i + 1) % length] += not fits(registers)
    return counts


_LATE = 1.25
"""Cycles further apart than so many periods: the later one may have been held back."""
_SOON = 0.85
"""Cycles closer together than so many periods may come out of a queue: they are dated by the rhythm of before."""
_EARLY = 0.5
"""Cycles closer together than so many periods come out of one."""
_ODD_CYCLES = 3
"""So many cycles in a row out of rhythm: the meter's pace has changed."""
_KEPT = 8
_ENOUGH = 5
_SLOWER = 1.1
"""Cycles further apart than so many measuring intervals do not come each time the meter measures."""
_FASTER = 0.9
"""Cycles closer together than this share of it come more often."""
_REST = 0.5
"""A silence of this share of a period is a rest: who rests has nothing waiting."""
_LAG = 0.25
"""Cycles that have fallen behind the measuring interval by this share of it, bit by bit, wait in a queue that grows."""
_CYCLES_COMPARED = 64
_CHANGES_KEPT = 16
_WRITES_KEPT = 1024


class PushRhythm:
    """The starts of the cycles of one pattern. Times are CLOCK_BOOTTIME seconds."""

    def __init__(self, period: float) -> None:
        self.period = period
        """Seconds from cycle to cycle; follows the meter."""
        self._starts: deque[float] = deque(maxlen=_KEPT)
        self._dated: float | None = None
        self._odd = 0

    @property
    def lost(self) -> bool:
        """True if the cycles no longer come in this period."""
        return self._odd >= _ODD_CYCLES

    def note(self, first: float) -> float | None:
        """When the cycle whose first write arrived at `first` was measured, at the earliest; None: unknown."""
        previous = self._starts[-1] if self._starts else None
        self._starts.append(first)
        if previous is None:
            return None
        interval = first - previous
        if _EARLY * self.period <= interval <= _LATE * self.period:
            self._odd = 0
            if interval >= _SOON * self.period:
                self._dated = first
            elif self._dated is not None:
                self._dated = min(first, self._dated + self.period)
            self._adjust()
            return self._dated
        self._odd += 1
        if interval > max(_LATE * self.period, min(AWAY_PERIODS * self.period, AWAY_SECONDS)):
            self._dated = None
        elif self._dated is not None:
            self._dated = min(first, self._dated + self.period)
        return self._dated

    def _adjust(self) -> None:
        starts = self._starts
        if len(starts) >= _ENOUGH:
            intervals = sorted([later - earlier for earlier, later in pairwise(starts)])
            # The median, or the lesser of the two in the middle: a part of a millisecond less makes no difference.
            self.period = intervals[(len(intervals) - 1) // 2]


class PushPace:
    """Compares the pace of the cycles with the measuring interval that the meter itself names.

    A meter whose cycles wait in a queue pushes old ones, and nothing in them shows their age. Such a meter never rests
    though it is slower than it measures; or it is faster, with new values each time. Times are CLOCK_BOOTTIME seconds.
    """

    def __init__(self) -> None:
        self._writes: deque[float] = deque(maxlen=_WRITES_KEPT)
        self._registers: Sequence[int | None] = ()
        self._cycles: deque[float] = deque(maxlen=_CYCLES_COMPARED)
        self._changes: deque[bool] = deque(maxlen=_CHANGES_KEPT)

    def wrote(self, at: float) -> None:
        """The meter wrote something."""
        self._writes.append(at)

    def why_queued(self, registers: Sequence[int | None], period: float, interval: float | None) -> Reason | None:
        """Why this whole cycle may have waited in the meter; None if nothing indicates that.

        `interval`: seconds, from the meter's register 8244; None while it is unknown.
        """
        self._changes.append(registers != self._registers)
        self._registers = registers
        if interval is None:
            return None
        times = {"interval": f"{interval * 1000:.0f}", "period": f"{period * 1000:.0f}"}
        slower = period > _SLOWER * interval or self._falls_behind(interval)
        if slower and not self._rests(period):
            return Reason.of("push-queued-slow", **times)
        if period < _FASTER * interval and all(self._changes):
            return Reason.of("push-queued-fast", **times)
        return None

    def _falls_behind(self, interval: float) -> bool:
        """Whether cycles come so little slower than the meter measures that only many of them show it."""
        newest = self._writes[-1]
        if self._cycles and newest - self._cycles[-1] > _UNEVEN * interval:
            self._cycles.clear()  # some were left out
        self._cycles.append(newest)
        return newest - self._cycles[0] > (len(self._cycles) - 1 + _LAG) * interval

    def _rests(self, period: float) -> bool:
        """Whether most of the last cycles were followed by a rest."""
        newest = self._writes[-1]
        writes = [at for at in self._writes if newest - at <= _KEPT * period]
        rests = sum(later - earlier >= _REST * period for earlier, later in pairwise(writes))
        return 2 * rests * period >= newest - writes[0]


def is_off_pace(period: float, interval: float | None) -> bool:
    """Whether cycles come slower than the meter measures, `interval` seconds, so that polling is newer."""
    return interval is not None and period > _SLOWER * interval
