"""PDUs, requests and replies without their frame: how received ones are read."""

import struct

from modbus_codec.codes import (
    ADDRESSES,
    EXCEPTION_BIT,
    MAX_READ,
    MAX_WRITE,
    READS,
    ExceptionCode,
    FunctionCode,
)
from modbus_codec.errors import BadFrame, BadReply, BadRequest
from modbus_codec.replies import ExceptionReply, ReadReply, Reply, WriteMultipleReply, WriteSingleReply
from modbus_codec.requests import ReadRequest, Request, WriteMultipleRequest, WriteSingleRequest

__all__ = [
    "ExceptionCode",
    "ExceptionReply",
    "FunctionCode",
    "ReadReply",
    "ReadRequest",
    "Reply",
    "Request",
    "WriteMultipleReply",
    "WriteMultipleRequest",
    "WriteSingleReply",
    "WriteSingleRequest",
    "check_write_multiple",
    "decode_reply",
    "decode_request",
    "written_words",
]


def decode_request(pdu: bytes) -> Request:
    """Return what a client asks for.

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
        return WriteMultipleRequest(start, written_words(pdu, count))
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


def written_words(pdu: bytes, count: int) -> tuple[int, ...]:
    """Return the `count` registers that a checked write (function 16) brings."""
    return struct.unpack_from(f">{count}H", pdu, 6)


def decode_reply(pdu: bytes, request: Request) -> Reply:
    """Return what the server said to `request`. Raises BadReply where it says anything else, even in part."""
    function = request.function
    if pdu[:1] == bytes((function | EXCEPTION_BIT,)):
        return _exception_reply(pdu, function)
    if pdu[:1] != bytes((function,)):
        raise BadReply(f"asked with function {function}, answered {pdu[:1].hex() or 'nothing'}")
    if isinstance(request, ReadRequest):
        expected = bytes((function, 2 * request.count))
        if len(pdu) != 2 + 2 * request.count or not pdu.startswith(expected):
            said = f"byte count {pdu[1]} and {len(pdu) - 2} bytes" if len(pdu) > 1 else "no byte count"
            raise BadReply(f"asked for {request.count} registers, answered {said}")
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
        raise BadFrame(f"function {pdu[0]} can't be asked for: 1 to 127 is allowed")
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
