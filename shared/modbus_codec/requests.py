"""What a client asks for. Each class is checked when built (ValueError) and writes itself as a PDU."""

import struct
from dataclasses import dataclass
from typing import ClassVar

from modbus_codec.codes import MAX_READ, MAX_WRITE, READS, FunctionCode
from modbus_codec.registers import check_range, pack_words


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Read `count` (1 to 125) registers from address `start` on, all within 0 to 65535."""

    function: FunctionCode
    start: int
    count: int

    def __post_init__(self) -> None:
        if self.function not in READS:
            raise ValueError(f"function {self.function!r} reads no registers: 3 or 4 is allowed")
        check_range(self.start, self.count, MAX_READ)

    def encode(self) -> bytes:
        return struct.pack(">BHH", self.function, self.start, self.count)


@dataclass(frozen=True, slots=True)
class WriteSingleRequest:
    """Write `value` to the register at `address`; both 0 to 65535."""

    function: ClassVar[FunctionCode] = FunctionCode.WRITE_SINGLE_REGISTER
    address: int
    value: int

    def __post_init__(self) -> None:
        pack_words((self.address, self.value))

    def encode(self) -> bytes:
        return struct.pack(">BHH", self.function, self.address, self.value)


@dataclass(frozen=True, slots=True)
class WriteMultipleRequest:
    """Write 1 to 123 `registers` from address `start` on."""

    function: ClassVar[FunctionCode] = FunctionCode.WRITE_MULTIPLE_REGISTERS
    start: int
    registers: tuple[int, ...]

    def __post_init__(self) -> None:
        check_range(self.start, len(self.registers), MAX_WRITE)
        pack_words(self.registers)

    def encode(self) -> bytes:
        count = len(self.registers)
        return struct.pack(">BHHB", self.function, self.start, count, 2 * count) + pack_words(self.registers)


Request = ReadRequest | WriteSingleRequest | WriteMultipleRequest
