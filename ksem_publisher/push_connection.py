"""One connection on which a meter pushes: bytes in; answers, and what was written, out."""

from collections import OrderedDict
from typing import NamedTuple

from modbus_codec.codes import ExceptionCode, FunctionCode
from modbus_codec.errors import BadRequest
from modbus_codec.pdu import decode_request
from modbus_codec.replies import WRITE_REPLY, ExceptionReply, ReadReply
from modbus_codec.requests import ReadRequest, Request, WriteMultipleRequest, WriteSingleRequest
from modbus_codec.tcp import MbapFrame, MbapReader, encode_frame

MOST_SHAPES = 256
"""Different writes remembered for reading back."""


class PushedWrite(NamedTuple):
    """Registers that a meter wrote, with the Modbus function and unit it used; `at` is when they were read here."""

    function: int
    unit: int
    start: int
    registers: tuple[int, ...]
    at: float


class WrittenRegisters:
    """What a meter wrote, to be read back by it."""

    def __init__(self) -> None:
        self._writes: OrderedDict[tuple[int, int], tuple[int, ...]] = OrderedDict()

    def note(self, start: int, registers: tuple[int, ...]) -> None:
        shape = (start, len(registers))
        self._writes[shape] = registers
        self._writes.move_to_end(shape)
        if len(self._writes) > MOST_SHAPES:
            self._writes.popitem(last=False)

    def read(self, start: int, count: int) -> tuple[int, ...] | None:
        """The registers, newest write first; None if one of them was never written."""
        words: list[int | None] = [None] * count
        for (first, length), registers in self._writes.items():
            low, high = max(first, start), min(first + length, start + count)
            if low < high:
                words[low - start : high - start] = registers[low - first : high - first]
        known = tuple(word for word in words if word is not None)
        return known if len(known) == count else None


class PushConnection:
    """A Modbus TCP server's end of one connection."""

    def __init__(self, peer: str, port: int, meter: str, written: WrittenRegisters, now: float) -> None:
        """`peer` is its address, `meter` whose pushes come from there, `written` what that meter wrote so far."""
        self.peer = peer
        self.peer_name = f"{peer}:{port}"
        self.meter = meter
        self.last_heard = now
        self.unsent = b""
        """Answers that the socket did not take yet."""
        self.waiting: list[PushedWrite] = []
        """Writes that were answered, and are handed on together with the next one."""
        self._written = written
        self._reader = MbapReader()

    def take(self, data: bytes, now: float) -> tuple[bytes, list[PushedWrite]]:
        """Take in what was read at `now`: the answers, which the meter waits for, and the writes that were among it.

        Raises BadFrame where it is no Modbus TCP: the connection is to be closed.
        """
        self.last_heard = now
        writes: list[PushedWrite] = []
        return b"".join(_answer(frame, self._written, writes, now) for frame in self._reader.feed(data)), writes


def _answer(frame: MbapFrame, written: WrittenRegisters, writes: list[PushedWrite], now: float) -> bytes:
    try:
        request: Request = decode_request(frame.pdu)
    except BadRequest as error:
        reply = ExceptionReply(error.function, error.code).encode()
    else:
        if isinstance(request, WriteMultipleRequest):
            _take(PushedWrite(16, frame.unit, request.start, request.registers, now), written, writes)
            reply = frame.pdu[:WRITE_REPLY]
        elif isinstance(request, WriteSingleRequest):
            _take(PushedWrite(6, frame.unit, request.address, (request.value,), now), written, writes)
            reply = frame.pdu[:WRITE_REPLY]
        else:
            reply = _read_back(request, written).encode()
    return encode_frame(frame.transaction, frame.unit, reply)


def _take(write: PushedWrite, written: WrittenRegisters, writes: list[PushedWrite]) -> None:
    written.note(write.start, write.registers)
    writes.append(write)


def _read_back(request: ReadRequest, written: WrittenRegisters) -> ReadReply | ExceptionReply:
    if request.function != FunctionCode.READ_HOLDING_REGISTERS:
        return ExceptionReply(request.function, ExceptionCode.ILLEGAL_FUNCTION)
    registers = written.read(request.start, request.count)
    if registers is None:
        return ExceptionReply(request.function, ExceptionCode.ILLEGAL_DATA_ADDRESS)
    return ReadReply(request.function, registers)
