"""Sets of registers of a block as the bits of one number, bit 0 the block's first."""

from collections.abc import Iterable
from functools import lru_cache

from ksem_contract.register_range import RegisterRange


@lru_cache(maxsize=512)  # a meter writes the same few ranges five times a second
def mask_of(start: int, count: int) -> int:
    """The bits of `count` registers from the block's register `start` on."""
    return ((1 << count) - 1) << start


def mask_of_ranges(ranges: Iterable[RegisterRange], block_start: int) -> int:
    """The bits of all registers in `ranges`."""
    mask = 0
    for part in ranges:
        mask |= mask_of(part.start - block_start, part.count)
    return mask


def ranges_of(mask: int, block_start: int) -> tuple[RegisterRange, ...]:
    """The runs of set bits."""
    found = []
    position = block_start
    while mask:
        skip = (mask & -mask).bit_length() - 1
        mask >>= skip
        count = (~mask & (mask + 1)).bit_length() - 1
        mask >>= count
        found.append(RegisterRange(position + skip, count))
        position += skip + count
    return tuple(found)
