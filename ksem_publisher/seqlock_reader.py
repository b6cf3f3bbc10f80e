"""Reads `live` in pieces without ever mixing two cycles of the meter.

Totals and phases are read in turn. If a piece is unchanged from one reading to the next, no cycle went by in between,
and the other piece, read in the middle, belongs to the same one.
"""

from collections.abc import Callable, Sequence

from ksem_contract.blocks import LIVE, SEQLOCK_BODY, SEQLOCK_HEAD
from ksem_contract.register_range import RegisterRange
from ksem_publisher.snapshot import Snapshot, Words

MAX_READS = 6

_PIECES = (SEQLOCK_HEAD, SEQLOCK_BODY)


class SeqlockReader:
    """One attempt: read `wanted`, hand over the reply with `take`, until `done`."""

    def __init__(self, fits: Callable[[Words], bool]) -> None:
        self._fits = fits
        self._replies: list[tuple[tuple[int, ...], float]] = []
        self.snapshot: Snapshot | None = None

    @property
    def wanted(self) -> RegisterRange:
        """The piece to read next."""
        return _PIECES[len(self._replies) % 2]

    @property
    def done(self) -> bool:
        """True once there is a snapshot, or no more hope for one."""
        return self.snapshot is not None or len(self._replies) >= MAX_READS

    @property
    def retries(self) -> int:
        """How many more reads than three it took so far."""
        return max(0, len(self._replies) - 3)

    def take(self, registers: Sequence[int], sent: float) -> None:
        """The reply to a read of `wanted` that was sent at `sent`."""
        self._replies.append((tuple(registers), sent))
        if len(self._replies) < len(_PIECES) + 1:
            return
        (before, since), (middle, _), (after, _) = self._replies[-3:]
        if before != after:
            return
        head, body = (after, middle) if len(self._replies) % 2 else (middle, after)
        words: list[int | None] = [None] * LIVE.count
        words[SEQLOCK_HEAD.start : SEQLOCK_HEAD.stop] = head
        words[SEQLOCK_BODY.start : SEQLOCK_BODY.stop] = body
        cycle = tuple(words)
        if self._fits(cycle):
            self.snapshot = Snapshot(cycle, since)


class OverlapReader:
    """For a meter that is too slow for three reads in a cycle: two, which have 80 words in common.

    Where those agree, both reads met the same cycle. Each read is compared with the one before, without end.
    """

    PIECES = (RegisterRange(0, 120), SEQLOCK_BODY)

    def __init__(self, fits: Callable[[Words], bool]) -> None:
        self._fits = fits
        self._last: tuple[tuple[int, ...], float] | None = None
        self._next = 0

    @property
    def wanted(self) -> RegisterRange:
        """The piece to read next."""
        return self.PIECES[self._next]

    def take(self, registers: Sequence[int], sent: float) -> Snapshot | None:
        """The reply to a read of `wanted` that was sent at `sent`: a whole cycle, if it is one with the last reply."""
        reply, last, wanted = (tuple(registers), sent), self._last, self.wanted
        self._last, self._next = reply, 1 - self._next
        if last is None:
            return None
        head, body = (reply[0], last[0]) if wanted is self.PIECES[0] else (last[0], reply[0])
        common = head[SEQLOCK_BODY.start :]
        if common != body[: len(common)] or not any(_volts(common)):
            return None
        words: list[int | None] = [None] * LIVE.count
        words[: len(head)] = head
        words[SEQLOCK_BODY.start : SEQLOCK_BODY.stop] = body
        cycle = tuple(words)
        return Snapshot(cycle, last[1]) if self._fits(cycle) else None


def part_of_cycle(head: Sequence[int], sent: float) -> Snapshot:
    """The total, L1 and L2 of one reply, which is always of one cycle; L3 is a hole."""
    return Snapshot((*head, *(None,) * (LIVE.count - len(head))), sent)


def _volts(common: Sequence[int]) -> Sequence[int]:
    """The words of L1's and L2's voltage, which differ from cycle to cycle where there is one."""
    return (*common[22:24], *common[62:64])
