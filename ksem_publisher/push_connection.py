"""One connection on which a meter pushes [core]: takes bytes; returns answers and the written registers."""

from collections import OrderedDict
from typing import NamedTuple

from modbus_codec.pdu import (
    WRITE_REPLY,
    BadRequest,
    ExceptionCode,
    ExceptionReply,
    FunctionCode,
    ReadReply,
    ReadRequest,
    Request,
    WriteSingleRequest,
    check_write_multiple,
    decode_request,
    written_registers,
)
from modbus_codec.tcp import HEADER, MbapFrame, MbapReader, encode_frame, whole_write, write_reply

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
    """What a meter wrote, which it may read back."""

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
        """`peer` is its address, `meter` whose pushes come from there, `written` what that meter has written."""
        self.peer = peer
        self.peer_name = f"{peer}:{port}"
        self.meter = meter
        self.last_received = now
        self.unsent = b""
        """Answers that the socket has not taken yet."""
        self._written = written
        self._reader = MbapReader()
        self._answered: list[tuple[int, bytes, int, int, float]] = []
        """Writes whose registers are not decoded yet: unit, PDU, start, count, when it was read."""
        self._writes: list[PushedWrite] = []

    def take(self, data: bytes, now: float) -> bytes:
        """Take what was read at `now`; return the answers, which the meter waits for. `writes` then holds the writes.

        Raises BadFrame where it is no Modbus TCP: the connection is to be closed.
        """
        self.last_received = now
        place = None if self._reader.pending else whole_write(data)
        if place is not None:  # nearly always: a meter writes once and waits for the answer
            self._answered.append((data[HEADER - 1], data[HEADER:], *place, now))
            return write_reply(data)
        return b"".join([self._answer(frame, now) for frame in self._reader.feed(data)])

    def writes(self) -> list[PushedWrite]:
        """What was written since the last call, in its order."""
        self._look_at_registers()
        writes, self._writes = self._writes, []
        return writes

    def _answer(self, frame: MbapFrame, now: float) -> bytes:
        pdu = frame.pdu
        try:
            if pdu[0] == FunctionCode.WRITE_MULTIPLE_REGISTERS:
                place = check_write_multiple(pdu)
                self._answered.append((frame.unit, pdu, *place, now))
                reply = pdu[:WRITE_REPLY]
            else:
                reply = self._answer_seldom(frame, decode_request(pdu), now)
        except BadRequest as error:
            reply = ExceptionReply(error.function, error.code).encode()
        return encode_frame(frame.transaction, frame.unit, reply)

    def _answer_seldom(self, frame: MbapFrame, request: Request, now: float) -> bytes:
        self._look_at_registers()
        if isinstance(request, WriteSingleRequest):
            self._note(PushedWrite(6, frame.unit, request.address, (request.value,), now))
            return frame.pdu[:WRITE_REPLY]
        assert isinstance(request, ReadRequest)
        return _read_back(request, self._written).encode()

    def _look_at_registers(self) -> None:
        answered, self._answered = self._answered, []
        for unit, pdu, start, count, at in answered:
            self._note(PushedWrite(16, unit, start, written_registers(pdu, count), at))

    def _note(self, write: PushedWrite) -> None:
        self._written.note(write.start, write.registers)
        self._writes.append(write)


def _read_back(request: ReadRequest, written: WrittenRegisters) -> ReadReply | ExceptionReply:
    if request.function != FunctionCode.READ_HOLDING_REGISTERS:
        return ExceptionReply(request.function, ExceptionCode.ILLEGAL_FUNCTION)
    registers = written.read(request.start, request.count)
    if registers is None:
        return ExceptionReply(request.function, ExceptionCode.ILLEGAL_DATA_ADDRESS)
    return ReadReply(request.function, registers)
