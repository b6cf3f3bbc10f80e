"""Replays a recorded meter [shell]: pushes at the recorded times, answers polls as of now."""

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

from ksem_contract.capture_file import CaptureRecord
from ksem_contract.registers import RegisterRange
from ksem_simulators.ksem.meter import Outgoing
from ksem_simulators.ksem.pusher import PushConnection, PushCounters, stopped
from ksem_simulators.ksem.server import MeterServer, PollFault
from ksem_simulators.process import cpu_seconds
from ksem_simulators.recording import Recording
from ksem_simulators.truth import Kind
from modbus_codec.pdu import FunctionCode
from service_runtime.clock import boottime

_CONNECT_WITHIN: Final = 1.0
_RETRY: Final = 0.5
_LATE: Final = 1.0
"""Seconds after which a write is left out and not sent late: the process had no CPU, or was stopped."""


class ReplayMeter:
    """The registers of a recording, at `starts_at` plus the recorded time; before that, as it begins."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.starts_at: float | None = None
        """CLOCK_BOOTTIME; None: not yet."""

    def now(self, at: float) -> float:
        """The recording's time."""
        return 0.0 if self.starts_at is None else max(0.0, at - self.starts_at)

    def knows(self, span: RegisterRange) -> bool:
        """Whether the recording holds all of these at any time."""
        return self.recording.registers.registers(span.start, span.count, 0.0) is not None

    def prepare(self, span: RegisterRange, _kind: Kind, now: float) -> Outgoing:
        """These registers as of now. There is no truth file: nobody judges a recording."""
        registers = self.recording.registers.registers(span.start, span.count, self.now(now))
        if registers is None:
            raise ValueError(f"the recording has no registers {span}")
        return Outgoing(struct.pack(f">{span.count}H", *registers), 0)

    def take_back(self, outgoing: Outgoing) -> None:
        """Nothing was written down."""


class ReplayPusher:
    """Writes to one receiver what was recorded, each write when it was; one that can't be sent then is left out."""

    def __init__(self, meter: ReplayMeter, receiver: tuple[str, int], source: str | None) -> None:
        self.enabled = True
        self.receiver = receiver
        self.counters = PushCounters()
        self.left_out = 0
        self._meter = meter
        self._source = source
        self._open: dict[str, PushConnection] = {}
        self._not_before = 0.0
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """`starts_at` is set."""
        self._begun.set()

    def drop_connections(self) -> None:
        """Cuts all connections."""
        connections, self._open = self._open, {}
        for connection in connections.values():
            connection.close()

    async def run(self) -> None:
        """Runs until everything was replayed, or it is cancelled."""
        await self._begun.wait()
        starts_at = self._meter.starts_at
        assert starts_at is not None
        for record in self._meter.recording.pushes:
            await asyncio.sleep(max(0.0, starts_at + record.t - boottime()))
            if record.what == "closed":
                if (gone := self._open.pop(record.peer or "", None)) is not None:
                    gone.close()
            elif not self.enabled or boottime() - starts_at - record.t > _LATE:
                self.left_out += record.what == "write"
            else:
                await self._send_record(record)

    async def _send_record(self, record: CaptureRecord) -> None:
        try:
            connection = await self._connected(record.peer or "")
            if record.what == "write" and record.start is not None and record.values:
                registers = struct.pack(f">{len(record.values)}H", *(word or 0 for word in record.values))
                span = RegisterRange(record.start, len(record.values))
                single = record.function == FunctionCode.WRITE_SINGLE_REGISTER
                connection.write(record.unit or 0, span, registers, single=single)
                self.counters.writes += 1
        except (OSError, TimeoutError) as error:
            self.counters.failures += 1
            self.counters.last_failure = str(error) or type(error).__name__
            self._not_before = boottime() + _RETRY
            self.left_out += record.what == "write"

    async def _connected(self, peer: str) -> PushConnection:
        known = self._open.get(peer)
        if known is not None and not known.closed:
            return known
        if boottime() < self._not_before:
            raise ConnectionError("the receiver is away")
        source = (self._source, 0) if self._source else None
        _, connection = await asyncio.wait_for(
            asyncio.get_running_loop().create_connection(PushConnection, *self.receiver, local_addr=source),
            _CONNECT_WITHIN,
        )
        self._open[peer] = connection
        self.counters.connects += 1
        return connection


class ReplayService:
    """A replaying meter with its server and its pushers; the commands that a simulated one has, as far as they fit."""

    def __init__(self, meter: ReplayMeter, server: MeterServer, pushers: Sequence[ReplayPusher]) -> None:
        self.meter = meter
        self.server = server
        self.pushers = tuple(pushers)
        self._commands: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
            "status": self._status,
            "replay": self._replay,
            "push": self._push,
            "poll": self._poll,
            "fault": self._fault,
            "drop-connections": self._drop_connections,
            "clear": self._clear,
        }

    def begin(self, at: float) -> None:
        """The recording's time 0 is at this moment (CLOCK_BOOTTIME)."""
        self.meter.starts_at = at
        for pusher in self.pushers:
            pusher.begin()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set."""
        tasks = [asyncio.create_task(pusher.run()) for pusher in self.pushers]
        await stop.wait()
        for task in tasks:
            with contextlib.suppress(Exception):
                await stopped(task)
        for pusher in self.pushers:
            pusher.drop_connections()
        await self.server.close()

    async def command(self, do: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Carries out one command. ValueError names what is wrong with it."""
        handler = self._commands.get(do)
        if handler is None:
            raise ValueError(f"command {do!r}: a replay knows {', '.join(self._commands)}")
        return await handler(**parameters)

    async def _status(self) -> dict[str, Any]:
        return {
            "replay": {"t": round(self.meter.now(boottime()), 3), "of": self.meter.recording.duration},
            "server": {"port": self.server.port, "open": self.server.is_open, "fault": self.server.fault.name}
            | asdict(self.server.counters),
            "push": [
                pusher.counters.as_dict() | {"enabled": pusher.enabled, "left_out": pusher.left_out}
                for pusher in self.pushers
            ],
            "cpu_s": cpu_seconds(),
        }

    async def _replay(self, at: float) -> dict[str, Any]:
        if self.meter.starts_at is not None:
            raise ValueError("it has begun already")
        self.begin(float(at))
        return {}

    async def _push(self, *, enabled: bool) -> dict[str, Any]:
        for pusher in self.pushers:
            pusher.enabled = enabled
            if not enabled:
                pusher.drop_connections()
        return {}

    async def _poll(self, *, open: bool) -> dict[str, Any]:  # noqa: A002 - the word of the command
        await (self.server.open() if open else self.server.close())
        return {}

    async def _fault(self, name: str, **parameters: Any) -> dict[str, Any]:
        self.server.fault = PollFault.of(name, parameters)
        return {}

    async def _drop_connections(self) -> dict[str, Any]:
        self.server.drop_connections()
        for pusher in self.pushers:
            pusher.drop_connections()
        return {}

    async def _clear(self) -> dict[str, Any]:
        self.server.fault = PollFault()
        await self.server.open()
        return {}
