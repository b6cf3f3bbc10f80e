"""Reads that take several requests [core]: which request is next, and how the replies are put together.

`live` must never mix two cycles. Its totals and phases are read in turn. If a part is unchanged from one reading to the
next, no cycle went by in between, and the other part, read in the middle, belongs to the same cycle.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from ksem_contract.blocks import DEVICE, ENERGY, LIVE, MEASURING_INTERVAL, SEQLOCK_BODY, SEQLOCK_HEAD, block_name
from ksem_contract.registers import RegisterRange
from ksem_contract.sunspec import SunspecChain
from ksem_publisher.snapshot import BlockRead, Registers, Snapshot

MAX_COUNT = 120
"""Registers in one read: the largest request that a KSEM was seen to answer."""


class Reading(Protocol):
    """One reading of a block under way: read `wanted`, `take` the reply, until there is a `result`."""

    result: BlockRead | None

    @property
    def wanted(self) -> RegisterRange: ...

    def take(self, registers: Sequence[int], sent: float) -> None: ...


class PiecewiseReading:
    """Reads `pieces`, which follow one another, into one block of `count` registers; None stands beyond the pieces."""

    def __init__(self, name: str, pieces: Sequence[RegisterRange], count: int = 0) -> None:
        self._name = name
        self._pieces = pieces
        self._count = count
        self._registers: list[int] = []
        self._done = 0
        self._at = 0.0
        self.result: BlockRead | None = None

    @property
    def wanted(self) -> RegisterRange:
        return self._pieces[self._done]

    def take(self, registers: Sequence[int], sent: float) -> None:
        if not self._done:
            self._at = sent
        self._registers += registers
        self._done += 1
        if self._done == len(self._pieces):
            holes = (None,) * (self._count - len(self._registers))
            self.result = BlockRead(self._name, self._pieces[0].start, (*self._registers, *holes), self._at)


class SunspecReading:
    """Walks the chain of models from 40000, then reads it; raises SunspecError where there is none."""

    def __init__(self) -> None:
        self._chain = SunspecChain()
        self._reading: PiecewiseReading | None = None
        self.result: BlockRead | None = None

    @property
    def wanted(self) -> RegisterRange:
        if self._reading is not None:
            return self._reading.wanted
        assert self._chain.wanted is not None
        return self._chain.wanted

    def take(self, registers: Sequence[int], sent: float) -> None:
        if self._reading is None:
            self._chain.take(registers)
            if self._chain.found is not None:
                self._reading = self._second_pass(self._chain.found)
            return
        self._reading.take(registers, sent)
        self.result = self._reading.result

    def again(self) -> Reading:
        """The same chain once more, without walking it."""
        assert self._chain.found is not None
        return self._second_pass(self._chain.found)

    def _second_pass(self, found: RegisterRange) -> PiecewiseReading:
        starts = [model.address for model in self._chain.models[1:]]
        return PiecewiseReading("sunspec", cut(found, starts))


def cut(whole: RegisterRange, at: Sequence[int]) -> tuple[RegisterRange, ...]:
    """`whole` in pieces of at most MAX_COUNT registers, cut at the addresses `at`, and between them only in need."""
    pieces = []
    start = whole.start
    for stop in (*sorted(at), whole.stop):
        while start < stop:
            count = min(MAX_COUNT, stop - start)
            pieces.append(RegisterRange(start, count))
            start += count
    return tuple(pieces)


def energy_reading() -> PiecewiseReading:
    # Cuts at 612 and 712 lie between values; a KSEM is known to answer these three.
    return PiecewiseReading("energy", cut(ENERGY, (612, 712)))


def device_reading() -> PiecewiseReading:
    return PiecewiseReading("device", (DEVICE,))


def short_device_reading() -> PiecewiseReading:
    """`device` without the clock and what follows it, which some firmware lacks; the interval is its last register."""
    return PiecewiseReading(
        "device", (RegisterRange(DEVICE.start, MEASURING_INTERVAL + 1 - DEVICE.start),), DEVICE.count
    )


def demanded_reading(wanted: RegisterRange) -> PiecewiseReading:
    """A range on demand, which becomes a block of its own."""
    return PiecewiseReading(block_name(wanted), cut(wanted, ()))


def check_reading() -> PiecewiseReading:
    """The totals, to be compared with what is pushed."""
    return PiecewiseReading("check", (SEQLOCK_HEAD,))


def gaps_reading() -> PiecewiseReading:
    """All of `live`, for the registers that are never measured: a KSEM is known to answer these two."""
    return PiecewiseReading("gaps", cut(LIVE, (100,)))


MAX_READS = 6

_PIECES = (SEQLOCK_HEAD, SEQLOCK_BODY)


class SeqlockReader:
    """One attempt: read `wanted`, hand over the reply with `take`, until `done`."""

    def __init__(self, fits: Callable[[Registers], bool]) -> None:
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
    """For a meter that is too slow for three reads in a cycle: two, which have 80 registers in common.

    Where those agree, both reads met the same cycle. Each read is compared with the one before, without end.
    """

    PIECES = (RegisterRange(0, 120), SEQLOCK_BODY)

    def __init__(self, fits: Callable[[Registers], bool]) -> None:
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
    """The registers of L1's and L2's voltage, which differ from cycle to cycle where there is one."""
    return (*common[22:24], *common[62:64])
