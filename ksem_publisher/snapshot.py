"""One measuring cycle of the meter."""

from collections.abc import Sequence
from dataclasses import dataclass

Words = tuple[int | None, ...]
"""Registers in order; None where nothing was measured."""

WATT = 10
"""Power registers count tenths of a watt (research: scale 0.1 in every source)."""

_PHASES = (40, 80, 120)
_ROUNDING = 5


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The registers of a block as they were in one cycle of the meter."""

    words: Words
    """From the block's first register on."""
    at: float
    """CLOCK_BOOTTIME seconds: the oldest word in it was measured no earlier than this."""
    period: float | None = None
    """Seconds between the meter's cycles, where the push tells them."""


def power_gap(words: Sequence[int | None]) -> int | None:
    """How far the sum of the phases' active power is from the total's, in 0.1 W; None where a word is missing.

    `words` are those of `live`, from register 0 on.
    """
    try:
        return abs(_net(words, 40) + _net(words, 80) + _net(words, 120) - _net(words, 0))
    except TypeError:
        return None


def sums_up(words: Sequence[int | None]) -> bool:
    """True if the total is the sum of the phases but for the rounding of each value; also where a word is missing."""
    return (power_gap(words) or 0) <= _ROUNDING


def phases_fit_total(words: Sequence[int | None]) -> bool:
    """True if the phases' sum is near the total's, as it is in one cycle of any meter; also where a word is missing."""
    gap = power_gap(words)
    return not gap or gap <= WATT + sum(abs(_net(words, phase)) for phase in _PHASES) // 500


def _net(words: Sequence[int | None], at: int) -> int:
    """Import less export of the four words at `at` (plus, minus; each 32 bit, high word first)."""
    plus_high, plus_low, minus_high, minus_low = words[at : at + 4]
    return ((plus_high << 16) + plus_low) - ((minus_high << 16) + minus_low)  # type: ignore[operator]
