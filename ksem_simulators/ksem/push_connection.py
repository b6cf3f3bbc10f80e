"""One connection over which the meter writes registers to a receiver [shell]."""

import asyncio
import itertools
from typing import NamedTuple

from ksem_contract.register_range import RegisterRange
from modbus_codec.errors import BadFrame
from modbus_codec.pdu import FunctionCode
from modbus_codec.tcp import MbapFrame, MbapReader
from service_runtime.clock import boottime


class _Waiting(NamedTuple):
    """A write without an answer yet."""

    answer: "asyncio.Future[float]"
    head: bytes
    """What a good answer is made of: function, start, count."""
    sent: float


class PushConnection(asyncio.Protocol):
    """Writes with FC16 and hears the answers. A lost connection fails all that wait with ConnectionError."""

    def __init__(self) -> None:
        self._reader = MbapReader()
        self._transport: asyncio.Transport
        self._waiting: dict[int, _Waiting] = {}
        self._numbers = itertools.count(1)
        self.exceptions = 0
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        waiting, self._waiting = self._waiting, {}
        for one in waiting.values():
            if not one.answer.done():
                one.answer.set_exception(ConnectionError(f"receiver closed the connection ({exc or 'end of stream'})"))

    def write(self, unit: int, wanted: RegisterRange, words: bytes, *, single: bool = False) -> "asyncio.Future[float]":
        """Sends a write; the future is how long its answer took, in seconds. `single`: with FC06, one register."""
        if self.closed or self._transport.is_closing():
            raise ConnectionError("receiver closed the connection")
        transaction = next(self._numbers) % 65536
        head = bytes((FunctionCode.WRITE_MULTIPLE_REGISTERS, *divmod(wanted.start, 256), *divmod(wanted.count, 256)))
        pdu = head + bytes((2 * wanted.count,)) + words
        if single:
            pdu = head = bytes((FunctionCode.WRITE_SINGLE_REGISTER, *divmod(wanted.start, 256))) + words
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_seen)
        frame = MbapFrame(transaction, unit, pdu).encode()
        self._waiting[transaction] = _Waiting(answer, head, boottime())
        self._transport.write(frame)
        return answer

    def data_received(self, data: bytes) -> None:
        now = boottime()
        try:
            frames = self._reader.feed(data)
        except BadFrame:
            self._transport.abort()
            return
        for frame in frames:
            one = self._waiting.pop(frame.transaction, None)
            if one is None or frame.pdu != one.head:
                self.exceptions += 1
            if one is not None and not one.answer.done():
                one.answer.set_result(now - one.sent)

    def close(self) -> None:
        """Ends the connection; unanswered writes fail."""
        self._transport.abort()


def _seen(answer: "asyncio.Future[float]") -> None:
    """Of several pipelined writes the first failure is told; the others shall not be complained about."""
    if not answer.cancelled():
        answer.exception()
