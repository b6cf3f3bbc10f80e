"""The meter's Modbus TCP server [shell]: FC03 on any unit, everything else refused; its faults, each by a switch."""

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, Self

from ksem_contract.registers import RegisterRange
from ksem_simulators.ksem.image import foreign_registers
from ksem_simulators.ksem.meter import Outgoing
from ksem_simulators.ksem.push_plan import parse_ranges
from ksem_simulators.truth import Kind
from modbus_codec.pdu import BadFrame, BadRequest, ExceptionCode, FunctionCode, ReadRequest, decode_request
from modbus_codec.tcp import MbapFrame, MbapReader
from service_runtime.clock import boottime

FAULTS: Final = {
    "silent": "connections are accepted, nothing is answered",
    "exception": "every read is answered with exception CODE (default 4)",
    "short": "one register fewer than requested, in an otherwise good answer",
    "late": "answers come SECONDS late, with the values of the time of the request",
    "close": "half an answer, then the connection is closed",
    "wrong-transaction": "the answer bears another request's transaction number",
    "wrong-unit": "the answer bears another unit",
    "foreign": "another device answers: an inverter, with its own registers",
    "garbage": "bytes that are no Modbus come back",
}


@dataclass(slots=True)
class PollFault:
    """A fault that is on. It may be limited to some registers, and to a number of requests."""

    name: str = ""
    code: int = 4
    seconds: float = 0.0
    only: tuple[RegisterRange, ...] = field(default=())
    times: int | None = None

    @classmethod
    def of(cls, name: str, parameters: dict[str, Any]) -> Self:
        """From a command. ValueError names what is wrong."""
        if name not in FAULTS:
            raise ValueError(f"fault {name!r}: {', '.join(FAULTS)}")
        allowed = {"code", "seconds", "only", "times"}
        if unknown := set(parameters) - allowed:
            raise ValueError(f"{', '.join(sorted(unknown))}: a fault takes {', '.join(sorted(allowed))}")
        return cls(
            name,
            int(parameters.get("code", 4)),
            float(parameters.get("seconds", 0.0)),
            parse_ranges(parameters["only"]) if parameters.get("only") else (),
            None if parameters.get("times") is None else int(parameters["times"]),
        )

    def hits(self, span: RegisterRange | None) -> str:
        """The fault's name if it is on for a request of these registers (None: not a read), else ''; counts it."""
        if not self.name or self.times == 0:
            return ""
        if self.only and (span is None or not any(one.overlaps(span) for one in self.only)):
            return ""
        if self.times is not None:
            self.times -= 1
        return self.name


_FOREIGN_UNIT: Final = 99


@dataclass(slots=True)
class ServerCounters:
    """What the server saw."""

    connections: int = 0
    requests: int = 0
    answered: int = 0
    refused: int = 0
    faulted: int = 0
    ranges: dict[str, int] = field(default_factory=dict)


class MeterSource(Protocol):
    """`Meter`, or one that replays a recording."""

    def knows(self, span: RegisterRange, /) -> bool: ...

    def prepare(self, span: RegisterRange, kind: Kind, now: float, /) -> Outgoing: ...

    def take_back(self, outgoing: Outgoing, /) -> None: ...


class MeterServer:
    """Accepts clients from `open` to `close`."""

    def __init__(self, meter: MeterSource, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.meter = meter
        self.fault = PollFault()
        self.counters = ServerCounters()
        self.port = port
        self.connections: set[_Connection] = set()
        self._host = host
        self._tls = tls
        self._server: asyncio.Server | None = None

    @property
    def is_open(self) -> bool:
        """Whether it listens."""
        return self._server is not None

    async def open(self) -> None:
        """Listens. With port 0 the first time chooses one, and keeps to it."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: _Connection(self), self._host, self.port, ssl=self._tls, reuse_address=True
            )
            self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Refuses new connections and cuts those that are there."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.drop_connections()

    def drop_connections(self) -> None:
        """Cuts all connections."""
        for connection in list(self.connections):
            connection.abort()


class _Connection(asyncio.Protocol):
    def __init__(self, server: MeterServer) -> None:
        self._server = server
        self._reader = MbapReader()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(self)
        self._server.counters.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._server.connections.discard(self)

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._server.fault.name == "silent" and not self._server.fault.only:
            return
        try:
            frames = self._reader.feed(data)
        except BadFrame:
            self._transport.close()
            return
        for frame in frames:
            self._answer(frame)

    def _answer(self, frame: MbapFrame) -> None:
        server = self._server
        server.counters.requests += 1
        try:
            request = decode_request(frame.pdu)
        except BadRequest as error:
            self._refuse(frame, error.function, error.code)
            return
        except BadFrame:
            return
        if not isinstance(request, ReadRequest):
            self._refuse(frame, frame.pdu[0], ExceptionCode.ILLEGAL_FUNCTION)
            return
        span = RegisterRange(request.start, request.count)
        server.counters.ranges[str(span)] = server.counters.ranges.get(str(span), 0) + 1
        fault = server.fault.hits(span)
        if fault:
            server.counters.faulted += 1
            self._misbehave(frame, span, fault)
        elif request.function != FunctionCode.READ_HOLDING_REGISTERS or not server.meter.knows(span):
            # A real KSEM answers FC04 so, too: ioBroker.modbus issue 181.
            self._refuse(frame, request.function, ExceptionCode.ILLEGAL_DATA_ADDRESS)
        else:
            self._send(frame, server.meter.prepare(span, Kind.READ, boottime()))

    def _misbehave(self, frame: MbapFrame, span: RegisterRange, fault: str) -> None:
        meter, now = self._server.meter, boottime()
        if fault == "silent":
            return
        if fault == "exception":
            self._refuse(frame, frame.pdu[0], self._server.fault.code)
        elif fault == "foreign":
            self._send(frame, Outgoing(foreign_registers(span, now), 0))
        elif fault == "garbage":
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif not meter.knows(span):
            self._refuse(frame, frame.pdu[0], ExceptionCode.ILLEGAL_DATA_ADDRESS)
        elif fault == "short":
            fewer = RegisterRange(span.start, max(1, span.count - 1))
            answer = meter.prepare(fewer, Kind.READ, now)
            self._send(frame, answer if span.count > 1 else Outgoing(b"", answer.statement))
        elif fault == "late":
            answer = meter.prepare(span, Kind.READ, now)
            asyncio.get_running_loop().call_later(self._server.fault.seconds, self._send, frame, answer)
        else:
            self._spoil(frame, meter.prepare(span, Kind.READ, now), fault)

    def _spoil(self, frame: MbapFrame, answer: Outgoing, fault: str) -> None:
        """Right registers that no client may take: they do not count as sent."""
        self._server.meter.take_back(answer)
        pdu = _read_reply(answer.registers)
        if fault == "wrong-transaction":
            self._transport.write(MbapFrame((frame.transaction - 1) % 65536, frame.unit, pdu).encode())
        elif fault == "wrong-unit":
            self._transport.write(MbapFrame(frame.transaction, _FOREIGN_UNIT, pdu).encode())
        else:
            whole = MbapFrame(frame.transaction, frame.unit, pdu).encode()
            self._transport.write(whole[: len(whole) // 2])
            self._transport.close()

    def _send(self, frame: MbapFrame, answer: Outgoing) -> None:
        if self._transport.is_closing():
            if answer.statement:
                self._server.meter.take_back(answer)
            return
        self._server.counters.answered += 1
        self._transport.write(MbapFrame(frame.transaction, frame.unit, _read_reply(answer.registers)).encode())

    def _refuse(self, frame: MbapFrame, function: int, code: int) -> None:
        self._server.counters.refused += 1
        pdu = bytes((function & 0x7F | 0x80, code))
        self._transport.write(MbapFrame(frame.transaction, frame.unit, pdu).encode())


def _read_reply(registers: bytes) -> bytes:
    return bytes((FunctionCode.READ_HOLDING_REGISTERS, len(registers))) + registers
