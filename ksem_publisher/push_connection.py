"""One connection on which a meter pushes: bytes in, answers out at once, writes handed on."""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from modbus_codec.codes import ExceptionCode, FunctionCode
from modbus_codec.errors import BadFrame, BadRequest
from modbus_codec.pdu import decode_request
from modbus_codec.replies import ExceptionReply, ReadReply, WriteMultipleReply, WriteSingleReply
from modbus_codec.requests import ReadRequest, Request, WriteMultipleRequest, WriteSingleRequest
from modbus_codec.tcp import MbapFrame, MbapReader
from service_runtime.clock import boottime

MOST_SHAPES = 256
"""Different writes remembered for reading back."""
MOST_UNSENT = 65536
"""Bytes of unread answers after which the peer is given up."""


@dataclass(frozen=True, slots=True)
class PushedWrite:
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


class Owner(Protocol):
    """Who is told what happens on a connection."""

    def opened(self, connection: "PushConnection") -> WrittenRegisters | None:
        """A peer has connected; None refuses it."""

    def wrote(self, connection: "PushConnection", writes: list[PushedWrite]) -> None: ...

    def closed(self, connection: "PushConnection") -> None: ...

    def complained(self, connection: "PushConnection", what: str) -> None: ...


class PushConnection(asyncio.Protocol):
    """A Modbus TCP server's end of one connection."""

    def __init__(self, owner: Owner, clock: Callable[[], float] = boottime) -> None:
        self._owner = owner
        self._clock = clock
        self._reader = MbapReader()
        self._written: WrittenRegisters | None = None
        self._transport: asyncio.Transport | None = None
        self.peer = ""
        self.meter = ""
        self.last_heard = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.peer = str((transport.get_extra_info("peername") or ("",))[0])
        self.last_heard = self._clock()
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._written = self._owner.opened(self)
        if self._written is None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        now = self._clock()
        transport, written = self._transport, self._written
        if transport is None or written is None:
            return
        self.last_heard = now
        writes: list[PushedWrite] = []
        try:
            frames = self._reader.feed(data)
            answers = [_answer(frame, written, writes, now) for frame in frames]
        except BadFrame as error:
            self._owner.complained(self, f"what {self.peer} sends is no Modbus TCP ({error})")
            transport.abort()
            return
        # The meter waits for this; everything else comes after it.
        if answers:
            transport.write(b"".join(answers))
        if writes:
            self._owner.wrote(self, writes)
        if transport.get_write_buffer_size() > MOST_UNSENT:
            self._owner.complained(self, f"{self.peer} does not read its answers")
            transport.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._written is not None:
            self._owner.closed(self)
        self._transport = self._written = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _answer(frame: MbapFrame, written: WrittenRegisters, writes: list[PushedWrite], now: float) -> bytes:
    reply: ReadReply | WriteMultipleReply | WriteSingleReply | ExceptionReply
    try:
        request: Request = decode_request(frame.pdu)
    except BadRequest as error:
        reply = ExceptionReply(error.function, error.code)
    else:
        if isinstance(request, WriteMultipleRequest):
            reply = WriteMultipleReply(request.start, len(request.registers))
            _take(PushedWrite(16, frame.unit, request.start, request.registers, now), written, writes)
        elif isinstance(request, WriteSingleRequest):
            reply = WriteSingleReply(request.address, request.value)
            _take(PushedWrite(6, frame.unit, request.address, (request.value,), now), written, writes)
        else:
            reply = _read_back(request, written)
    return MbapFrame(frame.transaction, frame.unit, reply.encode()).encode()


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
