"""In which order writes or requests come within a cycle [core]."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeVar

from airbridge.capture.spread import Spread, quantile, spread

K = TypeVar("K", bound=Hashable)

FEWEST: Final = 3
"""Cycles below which nothing is said about their order."""


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
