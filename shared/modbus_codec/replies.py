"""What a server answers. Each class is checked when built (ValueError) and writes itself as a PDU."""

import struct
from dataclasses import dataclass
from typing import ClassVar, Final

from modbus_codec.codes import EXCEPTION_BIT, MAX_READ, MAX_WRITE, READS, ExceptionCode, FunctionCode
from modbus_codec.registers import check_range, pack_words

WRITE_REPLY: Final = 5
"""The reply to a write of registers (functions 6 and 16) is as many bytes of its request: function, address, and value
or count. Application protocol specification V1.1b3, sections 6.6 and 6.12."""


@dataclass(frozen=True, slots=True)
class ReadReply:
    """The 1 to 125 `registers` asked for, 0 to 65535 each."""

    function: FunctionCode
    registers: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.function not in READS:
            raise ValueError(f"function {self.function!r} reads no registers: 3 or 4 is allowed")
        check_range(0, len(self.registers), MAX_READ)
        pack_words(self.registers)

    def encode(self) -> bytes:
        return bytes((self.function, 2 * len(self.registers))) + pack_words(self.registers)


@dataclass(frozen=True, slots=True)
class WriteSingleReply:
    """The request, said back: `value` stands in the register at `address`; both 0 to 65535."""

    function: ClassVar[FunctionCode] = FunctionCode.WRITE_SINGLE_REGISTER
    address: int
    value: int

    def __post_init__(self) -> None:
        pack_words((self.address, self.value))

    def encode(self) -> bytes:
        return struct.pack(">BHH", self.function, self.address, self.value)


@dataclass(frozen=True, slots=True)
class WriteMultipleReply:
    """How many registers (1 to 123) were written from address `start` on."""

    function: ClassVar[FunctionCode] = FunctionCode.WRITE_MULTIPLE_REGISTERS
    start: int
    count: int

    def __post_init__(self) -> None:
        check_range(self.start, self.count, MAX_WRITE)

    def encode(self) -> bytes:
        return struct.pack(">BHH", self.function, self.start, self.count)


@dataclass(frozen=True, slots=True)
class ExceptionReply:
    """The server's refusal of `function` (1 to 127, as asked, without the exception bit)."""

    function: int
    code: ExceptionCode

    def __post_init__(self) -> None:
        if not 0 < self.function < EXCEPTION_BIT:
            raise ValueError(f"function {self.function} can't be refused: 1 to 127 is allowed")
        ExceptionCode(self.code)

    def encode(self) -> bytes:
        return bytes((self.function | EXCEPTION_BIT, self.code))


Reply = ReadReply | WriteSingleReply | WriteMultipleReply | ExceptionReply
