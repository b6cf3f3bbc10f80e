"""One measuring cycle of the meter [core]."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ksem_contract.blocks import LIVE, MEASURED
from ksem_contract.register_map import REGISTERS
from ksem_contract.registers import RegisterRange, mask_of_ranges, ranges_of

Registers = tuple[int | None, ...]
"""Registers in order; None where nothing was measured."""

WATT = 10
"""Power registers count tenths of a watt (research: scale 0.1 in every source)."""

MOST_POWER = 10_000_000
"""In 0.1 W: 1 MW. "No value" (all ones, or the sign bit alone) is more."""

_PHASES = (40, 80, 120)
_ROUNDING = 5

UNMEASURED = ranges_of(((1 << LIVE.count) - 1) & ~mask_of_ranges(MEASURED, LIVE.start), LIVE.start)
"""28-39, 66-79, 106-119 and 146-147."""

_VALUES_MASK = mask_of_ranges([one.range for one in REGISTERS if any(part.covers(one.range) for part in MEASURED)], 0)
VALUES = ranges_of(_VALUES_MASK, 0)
"""The measured registers that have a meaning: a meter that writes value by value needn't write the others."""
_INNER_GAPS = ranges_of(mask_of_ranges(MEASURED, 0) & ~_VALUES_MASK, 0)
"""8-15, 20-23, 48-55, 88-95 and 128-135."""

AWAY_PERIODS = 3
AWAY_SECONDS = 0.6
"""The push is away after so many periods without a whole cycle, or after so many seconds, whichever is less."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The registers of a block as they were in one cycle of the meter."""

    registers: Registers
    """From the block's first register on."""
    at: float
    """CLOCK_BOOTTIME seconds: the oldest register in it was measured no earlier than this."""
    period: float | None = None
    """Seconds between the meter's cycles, where the push shows them."""


def power_gap(registers: Sequence[int | None]) -> int | None:
    """How far the sum of the phases' active power is from the total's, in 0.1 W; None where a value is missing.

    `registers` are those of `live`, from register 0 on.
    """
    try:
        total, first, second, third = (_net(registers, at) for at in (0, *_PHASES))
    except TypeError:
        return None
    if total is None or first is None or second is None or third is None:
        return None
    return abs(first + second + third - total)


def sums_up(registers: Sequence[int | None]) -> bool:
    """True if the total is the sum of the phases but for the rounding of each value; also where a word is missing."""
    return (power_gap(registers) or 0) <= _ROUNDING


def phases_fit_total(registers: Sequence[int | None]) -> bool:
    """True if the phases' sum is near the total's, as it is in one cycle of any meter; also where a word is missing."""
    gap = power_gap(registers)
    return not gap or gap <= WATT + sum(abs(_net(registers, phase) or 0) for phase in _PHASES) // 500


def _net(registers: Sequence[int | None], at: int) -> int | None:
    """Import less export of the four registers at `at` (plus, minus; each 32 bit, high first); None for no value."""
    plus_high, plus_low, minus_high, minus_low = registers[at : at + 4]
    plus, minus = (plus_high << 16) + plus_low, (minus_high << 16) + minus_low  # type: ignore[operator]
    return None if plus > MOST_POWER or minus > MOST_POWER else plus - minus


@dataclass(frozen=True, slots=True)
class BlockRead:
    """A whole block. `at`: CLOCK_BOOTTIME seconds when its first read was sent."""

    name: str
    start: int
    registers: Registers
    at: float


@lru_cache(maxsize=256)  # a meter writes the same few ranges five times a second
def unmeasured_in(start: int, count: int) -> tuple[RegisterRange, ...]:
    """The registers between the measured ones that lie in a range."""
    return tuple(part for part in (*UNMEASURED, *_INNER_GAPS) if start < part.stop and part.start < start + count)
