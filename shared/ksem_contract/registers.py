"""Registers of a Modbus map [core]: a range, one value of the map, and sets of registers as the bits of one number.

Bit 0 of such a number is the block's first register.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

ADDRESSES: Final = 65536
"""How many registers a Modbus unit can have."""


@dataclass(frozen=True, slots=True, order=True)
class RegisterRange:
    """`count` registers from address `start` on. One that does not exist can't be built (ValueError)."""

    start: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < ADDRESSES:
            raise ValueError(f"start {self.start}: an address is 0..65535")
        if self.count < 1 or self.start + self.count > ADDRESSES:
            raise ValueError(f"count {self.count} from {self.start}: allowed is 1..{ADDRESSES - self.start}")

    @property
    def stop(self) -> int:
        """The address behind the last register."""
        return self.start + self.count

    @property
    def last(self) -> int:
        """The address of the last register."""
        return self.start + self.count - 1

    def covers(self, other: "RegisterRange") -> bool:
        """Whether every register of `other` is in this range."""
        return self.start <= other.start and other.start + other.count <= self.start + self.count

    def overlaps(self, other: "RegisterRange") -> bool:
        """Whether any register of `other` is in this range."""
        return self.start < other.start + other.count and other.start < self.start + self.count

    def __contains__(self, address: int) -> bool:
        return self.start <= address < self.start + self.count

    def __str__(self) -> str:
        return f"{self.start}-{self.last}"


RegisterType = Literal["uint16", "int16", "uint32", "int32", "uint64", "acc32", "bitfield32", "sunssf", "pad", "string"]


@dataclass(frozen=True, slots=True)
class Register:
    """A value in `count` registers from `address` on, high word first."""

    address: int
    count: int
    type: RegisterType
    unit: str
    """Unit after scaling; empty for numbers without one, and for text."""
    scale: float | None
    """The value of one count; None for text, and where a scale register holds it."""
    key: str
    name: str
    scale_at: int | None = None
    """SunSpec: the address of the register that holds the power of ten."""

    @property
    def range(self) -> RegisterRange:
        """Its registers."""
        return RegisterRange(self.address, self.count)


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
