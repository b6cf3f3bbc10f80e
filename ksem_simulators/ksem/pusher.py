"""The meter as Modbus TCP client [shell]: writes its groups to a receiver after each cycle, or every so often."""

import asyncio
import contextlib
import itertools
import random
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ksem_contract.registers import RegisterRange
from ksem_simulators.ksem.meter import Meter, Reading
from ksem_simulators.ksem.push_plan import PushSettings
from ksem_simulators.percentiles import Samples
from ksem_simulators.truth import Kind
from modbus_codec.pdu import BadFrame, FunctionCode
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

    def write(
        self, unit: int, wanted: RegisterRange, registers: bytes, *, single: bool = False
    ) -> "asyncio.Future[float]":
        """Sends a write; the future is how long its answer took, in seconds. `single`: with FC06, one register."""
        if self.closed or self._transport.is_closing():
            raise ConnectionError("receiver closed the connection")
        transaction = next(self._numbers) % 65536
        head = bytes((FunctionCode.WRITE_MULTIPLE_REGISTERS, *divmod(wanted.start, 256), *divmod(wanted.count, 256)))
        pdu = head + bytes((2 * wanted.count,)) + registers
        if single:
            pdu = head = bytes((FunctionCode.WRITE_SINGLE_REGISTER, *divmod(wanted.start, 256))) + registers
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


@dataclass(slots=True)
class PushCounters:
    """What became of the pushes."""

    cycles: int = 0
    writes: int = 0
    exceptions: int = 0
    failures: int = 0
    connects: int = 0
    last_failure: str = ""
    waits: Samples = field(default_factory=Samples)
    """Seconds that one cycle's writes waited for their answers."""

    def as_dict(self) -> dict[str, Any]:
        """For a status message."""
        return {
            "cycles": self.cycles,
            "writes": self.writes,
            "exceptions": self.exceptions,
            "failures": self.failures,
            "connects": self.connects,
            "last_failure": self.last_failure,
            "answer_wait_ms": self.waits.summary(1000.0),
        }


class Pusher:
    """Pushes to one receiver until cancelled. A receiver that is away is tried again."""

    def __init__(self, meter: Meter, receiver: tuple[str, int], source: str | None, settings: PushSettings) -> None:
        self.settings = settings
        self.receiver = receiver
        self.counters = PushCounters()
        self.absent = False
        """The meter is off: it neither writes nor keeps a connection."""
        self._meter = meter
        self._source = source
        self._open: list[PushConnection] = []
        self._measured = asyncio.Event()
        self._changed = asyncio.Event()
        self._random = random.Random(meter.settings.seed)

    def measured(self) -> None:
        """A measuring cycle has ended."""
        self._measured.set()

    def change(self, settings: PushSettings) -> None:
        """From the next cycle on; connections are opened anew where that matters."""
        if settings.connections != self.settings.connections:
            self.drop_connections()
        self.settings = settings
        self._changed.set()

    def drop_connections(self) -> None:
        """Cuts all connections."""
        connections, self._open = self._open, []
        for connection in connections:
            connection.close()

    async def run(self) -> None:
        """Pushes for ever."""
        due = boottime()
        while True:
            due = await self._wait(due)
            if self.absent or not self.settings.enabled:
                self.drop_connections()
                continue
            if self.settings.silent:
                continue
            try:
                await self._push(self._meter.reading)
            except (OSError, TimeoutError) as error:
                self.counters.failures += 1
                self.counters.last_failure = str(error) or type(error).__name__
                self.drop_connections()
                await asyncio.sleep(self.settings.retry)

    async def _wait(self, due: float) -> float:
        """Until the next push; returns when the one after it is due, as far as a fixed interval tells."""
        settings = self.settings
        if settings.interval:
            due = max(due + settings.interval, boottime() - settings.interval)
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), due - boottime())
        else:
            await self._measured.wait()
            self._measured.clear()
            due = boottime()
        later = settings.offset + (self._random.uniform(0.0, settings.jitter) if settings.jitter else 0.0)
        if later:
            await asyncio.sleep(later)
        return due

    async def _push(self, reading: Reading) -> None:
        settings = self.settings
        writes = list(settings.writes())
        if settings.order == "down":
            writes.reverse()
        elif settings.order == "shuffled":
            self._random.shuffle(writes)
        if settings.reconnect:
            self.drop_connections()
        connections = await self._connected()
        waited = 0.0
        unanswered: list[asyncio.Future[float]] = []
        for index, wanted in enumerate(writes):
            pause = settings.gap if index else 0.0
            if settings.second_half and index == (len(writes) + 1) // 2:
                pause += settings.second_half
            if pause:
                await asyncio.sleep(pause)
            answer = self._write(connections[index % len(connections)], wanted, reading)
            if settings.pipeline:
                unanswered.append(answer)
            else:
                waited += await asyncio.wait_for(answer, settings.timeout)
        for answer in unanswered:
            waited = max(waited, await asyncio.wait_for(answer, settings.timeout))
        self.counters.cycles += 1
        self.counters.waits.add(waited)
        self.counters.exceptions += sum(connection.exceptions for connection in connections)
        for connection in connections:
            connection.exceptions = 0

    def _write(self, connection: PushConnection, wanted: RegisterRange, reading: Reading) -> "asyncio.Future[float]":
        pushed = self._meter.read_out(wanted, Kind.PUSH, boottime(), reading)
        try:
            answer = connection.write(self.settings.unit, wanted, pushed.registers)
        except ConnectionError:
            self._meter.take_back(pushed)
            raise
        self.counters.writes += 1
        return answer

    async def _connected(self) -> list[PushConnection]:
        self._open = [connection for connection in self._open if not connection.closed]
        loop = asyncio.get_running_loop()
        while len(self._open) < self.settings.connections:
            source = (self._source, 0) if self._source else None
            _, connection = await asyncio.wait_for(
                loop.create_connection(PushConnection, *self.receiver, local_addr=source), self.settings.timeout
            )
            self._open.append(connection)
            self.counters.connects += 1
        return self._open


async def stopped(task: "asyncio.Task[None]") -> None:
    """Cancels a task and waits for its end. More than once: until Python 3.12 `wait_for` may swallow a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=0.1)
