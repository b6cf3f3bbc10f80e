"""One value of the meter's Modbus map."""

from dataclasses import dataclass
from typing import Literal

from ksem_contract.register_range import RegisterRange

RegisterType = Literal["uint16", "int16", "uint32", "int32", "uint64", "acc32", "bitfield32", "sunssf", "pad", "string"]


@dataclass(frozen=True, slots=True)
class Register:
    """A value that stands in `count` registers from `address` on, high word first."""

    address: int
    count: int
    type: RegisterType
    unit: str
    """Unit after scaling; empty for numbers without one, and for text."""
    scale: float | None
    """What one count is worth; None for text, and where a scale register tells."""
    key: str
    name: str
    scale_at: int | None = None
    """SunSpec: the address of the register that holds the power of ten."""

    @property
    def range(self) -> RegisterRange:
        """Where it stands."""
        return RegisterRange(self.address, self.count)
