"""Finds the meter's cycle in the run of its writes.

Nobody has published how a KSEM cuts a cycle into writes, so it is learned: the shortest run of writes that repeats
three times is a cycle's worth, and the longest silence in it is where a cycle ends. The silence alone can mislead: a
gap inside a cycle may be longer than the one between two cycles. So the silence counts only where it is the only one,
because all writes of a cycle follow one another at once. Else, or where the phases' power does not sum up to the
total's in the cycles so found, the cut counts in which it does. While the power stands still, nothing tells.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ksem_contract.reasons import Reason
from ksem_publisher.register_mask import mask_of

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
_STRAYS = 0.25
"""In this share of its cycles the sum may fail even so: a meter rounds."""
_UNEVEN = 1.5
"""Cycles that differ so much in length have to be seen more often: a meter that has just connected may be late."""
_ENOUGH_CYCLES = 6
_SHORTEST_PERIOD = 0.015
"""Seconds. Writes that repeat faster come out of a queue and tell nothing of the meter's pace."""


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

    `wanted` masks the registers that each cycle must bring once; `size` is the block's register count; `fits` tells
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
        told = misfits[best] <= _STRAYS * len(run) / length
        return best if told and all(misfits[p] - misfits[best] >= _MISFITS_NEEDED for p in others) else ambiguous
    if not trust_silence and max(misfits) < _MISFITS_NEEDED:
        return ambiguous
    fitting = [position for position in range(length) if misfits[position] == 0]
    if not fitting:
        return by_silence  # a sum that fits nowhere is the meter's own business; the silence is clear
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
    words: list[int | None] = [None] * size
    for i, write in enumerate(run):
        words[write.start : write.start + len(write.registers)] = write.registers
        if i >= length - 1:  # now the words are those of the cycle that ends here
            counts[(i + 1) % length] += not fits(words)
    return counts
