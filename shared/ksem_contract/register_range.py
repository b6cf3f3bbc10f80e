"""A run of Modbus registers."""

from dataclasses import dataclass
from typing import Final

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
