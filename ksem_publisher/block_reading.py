"""Blocks that take several reads: which read is next, and what they add up to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ksem_contract.blocks import DEVICE, ENERGY, LIVE, MEASURING_INTERVAL, SEQLOCK_HEAD, block_name
from ksem_contract.register_range import RegisterRange
from ksem_contract.sunspec_chain import SunspecChain
from ksem_publisher.snapshot import Words

MAX_COUNT = 120
"""Registers in one read: the largest request that a KSEM was seen to answer."""


@dataclass(frozen=True, slots=True)
class BlockRead:
    """A whole block. `at`: CLOCK_BOOTTIME seconds when its first read was sent."""

    name: str
    start: int
    words: Words
    at: float


class Reading(Protocol):
    """One reading of a block under way: read `wanted`, `take` the reply, until there is a `result`."""

    result: BlockRead | None

    @property
    def wanted(self) -> RegisterRange: ...

    def take(self, registers: Sequence[int], sent: float) -> None: ...


class PiecewiseReading:
    """Reads `pieces`, which follow one another, into one block of `count` words; beyond the pieces there are holes."""

    def __init__(self, name: str, pieces: Sequence[RegisterRange], count: int = 0) -> None:
        self._name = name
        self._pieces = pieces
        self._count = count
        self._words: list[int] = []
        self._done = 0
        self._at = 0.0
        self.result: BlockRead | None = None

    @property
    def wanted(self) -> RegisterRange:
        return self._pieces[self._done]

    def take(self, registers: Sequence[int], sent: float) -> None:
        if not self._done:
            self._at = sent
        self._words += registers
        self._done += 1
        if self._done == len(self._pieces):
            holes = (None,) * (self._count - len(self._words))
            self.result = BlockRead(self._name, self._pieces[0].start, (*self._words, *holes), self._at)


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
    """`device` without the clock and what follows it, which not every firmware has; the interval is its last word."""
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
    """All of `live`, for the sake of the words that are measured by nobody: a KSEM is known to answer these two."""
    return PiecewiseReading("gaps", cut(LIVE, (100,)))
