"""When a pushed cycle was measured, told from the rhythm in which cycles arrive.

A cycle that arrives in its rhythm is as old as its first write. One that was held back on its way (by the network, by a
stall of this process) arrives late, and others close behind it; it is dated to when it was due. After a silence nothing
can be said of the first cycle: it is left out, and the next one in rhythm counts.
"""

from collections import deque
from itertools import pairwise

AWAY_PERIODS = 3
AWAY_SECONDS = 0.6
"""The push is away after so many periods without a whole cycle, or after so many seconds, whichever is less."""

_LATE = 1.25
"""Cycles further apart than so many periods: the later one may have been held back."""
_EARLY = 0.5
"""Cycles closer together than so many periods come out of a queue."""
_ODD_CYCLES = 3
"""So many cycles in a row out of rhythm: the meter's pace has changed."""
_KEPT = 8
_ENOUGH = 5


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
        """When the cycle whose first write arrived at `first` was measured, at the earliest; None: can't be told."""
        previous = self._starts[-1] if self._starts else None
        self._starts.append(first)
        if previous is None:
            return None
        interval = first - previous
        if _EARLY * self.period <= interval <= _LATE * self.period:
            self._odd = 0
            self._dated = first
            self._adjust()
            return first
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
