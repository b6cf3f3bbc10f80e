"""When a pushed cycle was measured, told from the rhythm in which cycles arrive.

A cycle that arrives in its rhythm is as old as its first write. One that was held back on its way (by the network, by a
stall of this process) arrives late, and others close behind it; it is dated to when it was due. After a silence nothing
can be said of the first cycle: it is left out, and the next one in rhythm counts.
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from ksem_contract.reasons import Reason

AWAY_PERIODS = 3
AWAY_SECONDS = 0.6
"""The push is away after so many periods without a whole cycle, or after so many seconds, whichever is less."""

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
        """When the cycle whose first write arrived at `first` was measured, at the earliest; None: can't be told."""
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

    A meter whose cycles wait in a queue pushes old ones, and nothing in them tells how old. Such a meter never rests
    though it is slower than it measures; or it is faster, with new values each time. Times are CLOCK_BOOTTIME seconds.
    """

    def __init__(self) -> None:
        self._writes: deque[float] = deque(maxlen=_WRITES_KEPT)
        self._words: Sequence[int | None] = ()
        self._changes: deque[bool] = deque(maxlen=_CHANGES_KEPT)

    def wrote(self, at: float) -> None:
        """The meter wrote something."""
        self._writes.append(at)

    def why_queued(self, words: Sequence[int | None], period: float, interval: float | None) -> Reason | None:
        """Why this whole cycle may have waited in the meter; None if there is no reason to think so.

        `interval`: seconds, from the meter's register 8244; None while it is unknown.
        """
        self._changes.append(words != self._words)
        self._words = words
        if interval is None:
            return None
        times = {"interval": f"{interval * 1000:.0f}", "period": f"{period * 1000:.0f}"}
        if period > _SLOWER * interval and not self._rests(period):
            return Reason.of("push-queued-slow", **times)
        if period < _FASTER * interval and all(self._changes):
            return Reason.of("push-queued-fast", **times)
        return None

    def _rests(self, period: float) -> bool:
        """Whether most of the last cycles were followed by a rest."""
        newest = self._writes[-1]
        writes = [at for at in self._writes if newest - at <= _KEPT * period]
        rests = sum(later - earlier >= _REST * period for earlier, later in pairwise(writes))
        return 2 * rests * period >= newest - writes[0]


def is_off_pace(period: float, interval: float | None) -> bool:
    """Whether cycles come slower than the meter measures, `interval` seconds, so that polling is newer."""
    return interval is not None and period > _SLOWER * interval
