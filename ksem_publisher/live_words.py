"""The words of `live` that a cycle's own writes do not bring: of these the newest push or read counts."""

from collections.abc import Sequence
from functools import lru_cache

from ksem_contract.blocks import LIVE, MEASURED
from ksem_contract.register_map import REGISTERS
from ksem_contract.register_range import RegisterRange
from ksem_publisher.register_mask import mask_of_ranges, ranges_of
from ksem_publisher.snapshot import Words

UNMEASURED = ranges_of(((1 << LIVE.count) - 1) & ~mask_of_ranges(MEASURED, LIVE.start), LIVE.start)
"""28-39, 66-79, 106-119 and 146-147."""

_VALUES_MASK = mask_of_ranges([one.range for one in REGISTERS if any(part.covers(one.range) for part in MEASURED)], 0)
VALUES = ranges_of(_VALUES_MASK, 0)
"""The measured words that mean something: a meter that writes value by value has no reason to write the others."""
_INNER_GAPS = ranges_of(mask_of_ranges(MEASURED, 0) & ~_VALUES_MASK, 0)
"""8-15, 20-23, 48-55, 88-95 and 128-135."""


@lru_cache(maxsize=256)  # a meter writes the same few ranges five times a second
def _between(start: int, count: int) -> tuple[RegisterRange, ...]:
    """The words between the measured ones that lie in a range."""
    return tuple(part for part in (*UNMEASURED, *_INNER_GAPS) if start < part.stop and part.start < start + count)


class LiveWords:
    """Remembers them, and fills them into measured cycles. None: never seen."""

    def __init__(self) -> None:
        self._words: list[int | None] = [None] * LIVE.count

    def note(self, start: int, registers: Sequence[int | None]) -> None:
        """Registers pushed or read, wherever they lie."""
        for part in _between(start, len(registers)):
            self._note_part(part, start, registers)

    def _note_part(self, part: RegisterRange, start: int, registers: Sequence[int | None]) -> None:
        first, stop = max(part.start, start), min(part.stop, start + len(registers))
        words = registers[first - start : stop - start]
        if None not in words:
            self._words[first:stop] = words

    def fill(self, cycle: Words) -> Words:
        """A cycle's words; those that none of its writes brought are filled in."""
        return tuple([known if word is None else word for word, known in zip(cycle, self._words, strict=True)])
