"""PDUs, requests and replies without their frame [core]: the protocol's numbers, and how PDUs are read and written.

Each request and reply is checked when built (ValueError). Errors of received bytes have a class for each thing that the
receiver does about it. Source: Modbus application protocol specification V1.1b3, sections 4 to 7.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final

MAX_PDU: Final = 253
MAX_READ: Final = 125
MAX_WRITE: Final = 123
EXCEPTION_BIT: Final = 0x80
ADDRESSES: Final = 0x10000


class FunctionCode(IntEnum):
    """The functions that are built and read here; servers answer the others with `ILLEGAL_FUNCTION`."""

    READ_HOLDING_REGISTERS = 3
    READ_INPUT_REGISTERS = 4
    WRITE_SINGLE_REGISTER = 6
    WRITE_MULTIPLE_REGISTERS = 16


READS: Final = (FunctionCode.READ_HOLDING_REGISTERS, FunctionCode.READ_INPUT_REGISTERS)


class ExceptionCode(IntEnum):
    """Why a server refuses, as an exception reply holds it."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_DATA_ADDRESS = 2
    ILLEGAL_DATA_VALUE = 3
    SERVER_DEVICE_FAILURE = 4
    ACKNOWLEDGE = 5
    SERVER_DEVICE_BUSY = 6
    MEMORY_PARITY_ERROR = 8
    GATEWAY_PATH_UNAVAILABLE = 10
    GATEWAY_TARGET_FAILED = 11


class ModbusCodecError(Exception):
    """Received bytes that can't be used as they are."""


class BadFrame(ModbusCodecError):
    """No frame or no request at all: a server does not answer it on RTU, and closes the connection on TCP."""


class BadRequest(ModbusCodecError):
    """A request that a server answers with an exception: `ExceptionReply(error.function, error.code)`."""

    def __init__(self, function: int, code: ExceptionCode, text: str) -> None:
        super().__init__(text)
        self.function = function
        """1 to 127, as requested."""
        self.code = code
        self.text = text


class BadReply(ModbusCodecError):
    """A reply that doesn't answer the request that was sent: none of its values may be used."""


def check_range(start: int, count: int, limit: int) -> None:
    """Raise ValueError unless `count` is 1 to `limit` and all addresses lie within 0 to 65535."""
    if not 1 <= count <= limit:
        raise ValueError(f"count {count}: 1 to {limit} is allowed")
    if not 0 <= start <= ADDRESSES - count:
        raise ValueError(f"start {start} with count {count}: all addresses must lie within 0 to 65535")


def pack_registers(registers: tuple[int, ...]) -> bytes:
    """Return register values as they travel, high byte first. Raises ValueError where one is not 0 to 65535."""
    try:
        return struct.pack(f">{len(registers)}H", *registers)
    except struct.error:
        wrong = next(word for word in registers if not isinstance(word, int) or not 0 <= word < ADDRESSES)
        raise ValueError(f"{wrong!r} is no register value: 0 to 65535 is allowed") from None


def _check_reads(function: int) -> None:
    if function not in READS:
        raise ValueError(f"function {function!r} reads no registers: 3 or 4 is allowed")


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Read `count` (1 to 125) registers from address `start` on, all within 0 to 65535."""

    function: FunctionCode
    start: int
    count: int

    def __post_init__(self) -> None:
        _check_reads(self.function)
        check_range(self.start, self.count, MAX_READ)

    def encode(self) -> bytes:
        return struct.pack(">BHH", self.function, self.start, self.count)


@dataclass(frozen=True, slots=True)
class _SingleWrite:
    """One register and its value, both 0 to 65535: a request and its reply are the same bytes."""

    function: ClassVar[FunctionCode] = FunctionCode.WRITE_SINGLE_REGISTER
    address: int
    value: int

    def __post_init__(self) -> None:
        pack_registers((self.address, self.value))

    def encode(self) -> bytes:
        return struct.pack(">BHH", self.function, self.address, self.value)


class WriteSingleRequest(_SingleWrite):
    """Write `value` to the register at `address`; both 0 to 65535."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class WriteMultipleRequest:
    """Write 1 to 123 `registers` from address `start` on."""

    function: ClassVar[FunctionCode] = FunctionCode.WRITE_MULTIPLE_REGISTERS
    start: int
    registers: tuple[int, ...]

    def __post_init__(self) -> None:
        check_range(self.start, len(self.registers), MAX_WRITE)
        pack_registers(self.registers)

    def encode(self) -> bytes:
        count = len(self.registers)
        return struct.pack(">BHHB", self.function, self.start, count, 2 * count) + pack_registers(self.registers)


Request = ReadRequest | WriteSingleRequest | WriteMultipleRequest

WRITE_REPLY: Final = 5
"""The reply to a write of registers (functions 6 and 16) is as many bytes of its request: function, address, and value
or count. Application protocol specification V1.1b3, sections 6.6 and 6.12."""


@dataclass(frozen=True, slots=True)
class ReadReply:
    """The 1 to 125 `registers` that were requested, 0 to 65535 each."""

    function: FunctionCode
    registers: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_reads(self.function)
        check_range(0, len(self.registers), MAX_READ)
        pack_registers(self.registers)

    def encode(self) -> bytes:
        return bytes((self.function, 2 * len(self.registers))) + pack_registers(self.registers)


class WriteSingleReply(_SingleWrite):
    """The request, echoed: the register at `address` holds `value`; both 0 to 65535."""

    __slots__ = ()


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
    """The server's rejection of `function` (1 to 127, as requested, without the exception bit)."""

    function: int
    code: ExceptionCode

    def __post_init__(self) -> None:
        if not 0 < self.function < EXCEPTION_BIT:
            raise ValueError(f"function {self.function} can't be refused: 1 to 127 is allowed")
        ExceptionCode(self.code)

    def encode(self) -> bytes:
        return bytes((self.function | EXCEPTION_BIT, self.code))


Reply = ReadReply | WriteSingleReply | WriteMultipleReply | ExceptionReply


def decode_request(pdu: bytes) -> Request:
    """Return what a client requests.

    Raises BadRequest with what to answer, BadFrame where no answer is possible (no function code in it).
    """
    function = _request_function(pdu)
    if function in READS:
        _require_five(pdu, function)
        start, count = struct.unpack(">HH", pdu[1:])
        _require_range(function, start, count, MAX_READ)
        return ReadRequest(FunctionCode(function), start, count)
    if function == FunctionCode.WRITE_SINGLE_REGISTER:
        _require_five(pdu, function)
        return WriteSingleRequest(*struct.unpack(">HH", pdu[1:]))
    if function == FunctionCode.WRITE_MULTIPLE_REGISTERS:
        start, count = check_write_multiple(pdu)
        return WriteMultipleRequest(start, written_registers(pdu, count))
    raise BadRequest(function, ExceptionCode.ILLEGAL_FUNCTION, f"function {function} is not served")


def check_write_multiple(pdu: bytes) -> tuple[int, int]:
    """Return start and count of a write of registers (function 16), whose PDU is whole. Raises BadRequest."""
    function = FunctionCode.WRITE_MULTIPLE_REGISTERS
    if len(pdu) < 6:
        text = f"{len(pdu)} bytes where function 16 has 6 and its registers"
        raise BadRequest(function, ExceptionCode.ILLEGAL_DATA_VALUE, text)
    start: int
    count: int
    start, count, byte_count = struct.unpack_from(">HHB", pdu, 1)
    if not byte_count == 2 * count == len(pdu) - 6:
        text = f"count {count}, byte count {byte_count} and {len(pdu) - 6} bytes disagree"
        raise BadRequest(function, ExceptionCode.ILLEGAL_DATA_VALUE, text)
    _require_range(function, start, count, MAX_WRITE)
    return start, count


def written_registers(pdu: bytes, count: int) -> tuple[int, ...]:
    """Return the `count` registers that a checked write (function 16) brings."""
    return struct.unpack_from(f">{count}H", pdu, 6)


def decode_reply(pdu: bytes, request: Request) -> Reply:
    """Return the server's reply to `request`. Raises BadReply where it is not one, even in part."""
    function = request.function
    if pdu[:1] == bytes((function | EXCEPTION_BIT,)):
        return _exception_reply(pdu, function)
    if pdu[:1] != bytes((function,)):
        raise BadReply(f"requested with function {function}, answered {pdu[:1].hex() or 'nothing'}")
    if isinstance(request, ReadRequest):
        expected = bytes((function, 2 * request.count))
        if len(pdu) != 2 + 2 * request.count or not pdu.startswith(expected):
            got = f"byte count {pdu[1]} and {len(pdu) - 2} bytes" if len(pdu) > 1 else "no byte count"
            raise BadReply(f"requested {request.count} registers, answered {got}")
        return ReadReply(request.function, struct.unpack(f">{request.count}H", pdu[2:]))
    if isinstance(request, WriteSingleRequest):
        _require_same(pdu, request.encode())
        return WriteSingleReply(request.address, request.value)
    reply = WriteMultipleReply(request.start, len(request.registers))
    _require_same(pdu, reply.encode())
    return reply


def _exception_reply(pdu: bytes, function: FunctionCode) -> ExceptionReply:
    if len(pdu) != 2:
        raise BadReply(f"an exception of {len(pdu)} bytes where it has 2")
    try:
        return ExceptionReply(function, ExceptionCode(pdu[1]))
    except ValueError:
        raise BadReply(f"exception code {pdu[1]} is not in the specification") from None


def _request_function(pdu: bytes) -> int:
    if not pdu:
        raise BadFrame("an empty PDU")
    if not 0 < pdu[0] < EXCEPTION_BIT:
        raise BadFrame(f"function {pdu[0]} can't be requested: 1 to 127 is allowed")
    return pdu[0]


def _require_five(pdu: bytes, function: int) -> None:
    if len(pdu) != 5:
        text = f"{len(pdu)} bytes where function {function} has 5"
        raise BadRequest(function, ExceptionCode.ILLEGAL_DATA_VALUE, text)


def _require_range(function: int, start: int, count: int, limit: int) -> None:
    if not 1 <= count <= limit:
        raise BadRequest(function, ExceptionCode.ILLEGAL_DATA_VALUE, f"count {count}: 1 to {limit} is allowed")
    if start + count > ADDRESSES:
        text = f"{count} registers from {start} on pass the last address, 65535"
        raise BadRequest(function, ExceptionCode.ILLEGAL_DATA_ADDRESS, text)


def _require_same(pdu: bytes, expected: bytes) -> None:
    if pdu != expected:
        raise BadReply(f"answered {pdu.hex(' ')} where {expected.hex(' ')} was due")
