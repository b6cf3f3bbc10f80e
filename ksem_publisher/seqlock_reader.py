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
