"""Composes the services' cores as the services compose them: the only module that knows today's names.

Stand-ins, until there are cores for them: `StandInLine` for `rtu_server.line.LineCore` (it has its interface), and the
loops of `_Poller` and `_tick`, which are shells today.
"""

import logging
from collections.abc import Callable
from functools import partial
from math import inf
from threading import Lock
from typing import Any, Final, Self, cast

from ksem_contract.block_message import Source
from ksem_contract.mac import MessageKeys
from ksem_contract.topics import Topics
from ksem_publisher import block_publisher
from ksem_publisher.block_publisher import BlockPublisher
from ksem_publisher.blocks import BlockData, read_kept
from ksem_publisher.echo_answer import EchoAnswer
from ksem_publisher.live import LiveData, LiveSource
from ksem_publisher.on_demand import Demand
from ksem_publisher.other_publishers import OtherPublishers
from ksem_publisher.poll_plan import PollPlan
from ksem_publisher.push_connection import PushConnection, WrittenRegisters
from ksem_publisher.push_receiver import MeterPush
from ksem_publisher.settings import ChecksSettings
from ksem_publisher.snapshot import BlockRead, Snapshot
from modbus_codec.pdu import BadFrame
from modbus_codec.tcp import MbapFrame, MbapReader, encode_frame
from rtu_server import block_feed
from rtu_server.block_feed import BlockFeed
from rtu_server.counters import LineCounters, UnitCounters
from rtu_server.health import UnitView, judge
from rtu_server.line import LineCore, Timing
from rtu_server.register_cache import FreshnessLimits
from rtu_server.responder import Responder, Unit
from service_runtime.clock import without_slewing
from service_runtime.mqtt_session import Incoming
from service_runtime.status import OFFLINE, StatusTopic

from .broker import Message, Subscription
from .bus import Adapter
from .link import Link
from .network import End, Network
from .world import Event, Process, World

METER: Final = "main"
NODE: Final = "node"
PUSH_PORT: Final = 5020
TOPICS: Final = Topics("ksem")
KEYS: Final = MessageKeys((b"the key of the simulated house",))
_SOON: Final = 0.005
LATE_BY: Final = 1e-6
"""Seconds by which a thread wakes after the moment that it sleeps for."""
_WALL: Final = "2026-11-22T10:00:00.123Z"


class VirtualClock:
    """The services' own clock on a simulated host. Within one event no time passes, so it is read once in it."""

    def __init__(self, process: Process) -> None:
        self._world = process.world
        self._read = without_slewing(process.host.gettime_ns)
        self._at, self._value = -1.0, 0.0

    def __call__(self) -> float:
        now = self._world.now
        if now != self._at:
            self._at, self._value = now, self._read()
        return self._value


class PublisherSide:
    """The publisher of one meter as a process. `start` begins a session, also after a crash."""

    def __init__(self, process: Process, network: Network, broker: str, meter: str) -> None:
        self.process = process
        self._network = network
        self._broker = broker
        self._meter = meter
        self._sessions = 0
        self.begun = False
        self.link: Link
        self._log = logging.getLogger("ksem_publisher.simulated")
        self._rests: Event | None = None
        self._watches: Event | None = None

    def start(self) -> None:
        """The process begins."""
        self._sessions += 1
        self.begun = True
        session = f"{self._sessions:08x}"
        clock = self.clock = VirtualClock(self.process)
        setattr(block_publisher, "wall_time", lambda: _WALL)  # noqa: B010  (a name that it imports)
        blocks = TOPICS.meter_blocks(METER)
        self.link = Link(
            self.process,
            self._network,
            self._broker,
            f"pub-{session}",
            Message(TOPICS.meter_status(METER), OFFLINE, 1, True),
            [
                Subscription(TOPICS.pings(METER)),
                Subscription(TOPICS.meter_status(METER)),
                Subscription(blocks, no_local=True),
            ],
            self._on_message,
            self._on_link,
        )
        lock = cast("Lock", _NoLock())
        self.blocks = BlockPublisher(METER, TOPICS, session, self.link.publish_together, clock, _keys)
        self.source = LiveSource(push=True)
        self.status = StatusTopic(TOPICS.meter_status(METER), self.link.publish)
        self.live_data = LiveData(self.blocks, None, self.source, ChecksSettings(), self._on_live, clock)
        self.others = BlockData(self.blocks, None, self._doubted, lambda: None, clock, lambda: _WALL)
        self.plan = PollPlan(live=0.25, energy=10, device=10, sunspec=10, demand=Demand(METER, 8))
        self.echo = EchoAnswer(METER, TOPICS, session, self.link.publish, clock, _keys)
        self.seen = OtherPublishers(session)
        self.poller = _Poller(self, self._network, self._meter)
        self.push = MeterPush(
            self.live_data,
            self.others,
            self.blocks,
            self.plan,
            10,
            lock,
            self._look_at_source,
            self._log,
            on_check=self.poller.look_again,
        )
        self._written = WrittenRegisters()
        self._rests = self._watches = None
        self._network.listen(self.process, PUSH_PORT, self._accept)
        self.link.start()
        self.poller.step()
        self._watch()

    def stop(self) -> None:
        """SIGTERM."""
        self.link.stop([(TOPICS.meter_status(METER), OFFLINE)])
        self.process.after(0.05, self.process.crash)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """What is kept, and what may be."""
        return {
            "writes remembered": (_size(self.push, "_live", "_history"), 2000),
            "kinds of writes": (_size(self.push, "_shapes"), 200),
            "blocks held": (len(self.blocks.names()), 24),
            "connections known": (_size(self.push, "_connections"), 64),
        }

    def _doubted(self, source: Source) -> bool:
        return self.live_data.doubts(source, self.clock())

    def _look_at_source(self) -> None:
        self.poller.want_live(self.source.poll_wanted(self.clock()))

    def _on_live(self) -> None:
        if not self.status.online:
            self.status.set(self.clock(), online=True)

    def _watch(self) -> None:
        now = self.clock()
        self._look_at_source()
        if self.status.set(now, online=self.live_data.is_live(now)):
            self._log.info("live data %s", "flows" if self.status.online else "has stopped")
        stops = self.live_data.stops_at - now
        rest = min(0.5, stops + _SOON) if stops >= 0 else 0.5
        self.process.after(max(_SOON, rest), self._watch)

    def _on_link(self, up: bool, why: str) -> None:
        self._log.info("broker: %s", why)
        if not up:
            self.status.on_lost()
            return
        self.status.on_connected(self.clock())
        self.blocks.republish()

    def _on_message(self, message: Message) -> None:
        topic = TOPICS.parse(message.topic)
        if topic is None:
            return
        if topic.kind == "ping" and topic.node is not None:
            self.echo.on_ping(topic.node, message.payload)
        elif topic.kind == "status":
            self.status.on_message(message.payload, self.clock())
        elif topic.kind == "block" and topic.name is not None and not self.seen.is_own(message.payload):
            if not message.retain:
                self.seen.received(message.payload, self.clock())
            elif topic.name == "device" and (kept := read_kept(message.payload, METER, "device", KEYS)) is not None:
                self.others.adopt(kept, self.clock())

    def _accept(self, end: End) -> None:
        connection = PushConnection("meter", 50_000, METER, self._written, self.clock())
        self.push.on_opened(connection)
        end.on_data = partial(self._on_push, end, connection)
        end.on_closed = lambda _: self.push.on_closed(connection)

    def _on_push(self, end: End, connection: PushConnection, data: bytes) -> None:
        try:
            reply = connection.take(data, self.clock())
        except BadFrame:
            end.reset()
            self.push.on_closed(connection)
            return
        end.send(reply)
        self.push.on_writes(connection, connection.writes())
        if self._watches is not None:
            self._watches.cancel()
        change = self.source.next_change(self.clock())
        self._watches = None
        if change is not None:
            self._watches = self.process.after(change - self.clock() + 0.001, self._push_is_away)

    def _push_is_away(self) -> None:
        self._watches = None
        again = self.push.watch(self.clock())
        if again < inf:
            self._watches = self.process.after(max(0.001, again - self.clock()), self._push_is_away)


def _keys() -> MessageKeys:
    return KEYS


class _Poller:
    """Stands in for `poller` and `poll_client`: runs the plan, one read at a time."""

    def __init__(self, side: PublisherSide, network: Network, meter: str) -> None:
        self._side = side
        self._network = network
        self._meter = meter
        self._end: End | None = None
        self._busy = False
        self._transaction = 0
        self._waits: Event | None = None
        self._rests: Event | None = None

    def want_live(self, wanted: bool) -> None:
        """Poll `live` too, from now on."""
        plan = self._side.plan
        woken = wanted and not plan.live.wanted
        plan.live.wanted = wanted
        if woken and not self._busy:
            self._rest(0.0)

    def look_again(self) -> None:
        """There may be something new to poll."""
        if not self._busy:
            self._rest(0.0)

    def step(self) -> None:
        """Do what is due."""
        if self._busy:
            return
        side = self._side
        now = side.clock()
        wait = side.plan.wait(now)
        if wait > 0:
            self._rest(wait)
        elif self._end is None or not self._end.open:
            self._busy = True
            self._network.connect(side.process, self._meter, 502, self._opened, self._failed)
        else:
            self._read(now)

    def _rest(self, seconds: float) -> None:
        if self._rests is not None:
            self._rests.cancel()
        self._rests = self._side.process.after(max(seconds, 0.0001), self.step)

    def _opened(self, end: End) -> None:
        self._busy = False
        self._end = end
        reader = MbapReader()
        end.on_data = partial(self._on_data, end, reader)
        end.on_closed = partial(self._on_closed, end)
        self._side.plan.connected()
        self.step()

    def _read(self, now: float) -> None:
        side = self._side
        wanted = side.plan.next(now)
        if wanted is None:
            self._rest(0.01)
            return
        self._busy = True
        self._sent, self._wanted = now, wanted
        self._transaction = (self._transaction + 1) & 0xFFFF
        pdu = b"\3" + wanted.start.to_bytes(2, "big") + wanted.count.to_bytes(2, "big")
        assert self._end is not None
        self._end.send(encode_frame(self._transaction, 1, pdu))
        patience = min(2.0, side.plan.patience or 2.0)
        self._waits = side.process.after(patience, partial(self._failed, "no answer"))

    def _on_data(self, end: End, reader: MbapReader, data: bytes) -> None:
        if end is not self._end:
            return
        try:
            frames = reader.feed(data)
        except BadFrame:
            self._failed("no Modbus TCP")
            return
        for frame in frames:
            if self._busy and frame.transaction == self._transaction:
                self._take(frame)

    def _take(self, frame: MbapFrame) -> None:
        side = self._side
        now, pdu = side.clock(), frame.pdu
        if pdu[0] == 0x83 and len(pdu) == 2:
            self._done()
            rejection = side.plan.refuse(pdu[1], now)
            if rejection.given_up and rejection.block not in {"live", "device", "energy"}:
                side._log.warning("the meter refuses the block %s", rejection.block)  # noqa: SLF001
        elif pdu[0] != 3 or len(pdu) != 2 + pdu[1] or pdu[1] != 2 * self._wanted.count:
            self._failed("another answer")
            return
        else:
            self._done()
            registers = tuple(int.from_bytes(pdu[at : at + 2], "big") for at in range(2, len(pdu), 2))
            side.push.polled(self._wanted.start, registers, self._sent, now)
            self._hand_on(side.plan.answer(registers, self._sent, now))
        self.step()

    def _done(self) -> None:
        self._busy = False
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def _on_closed(self, end: End, why: str) -> None:
        if end is self._end:
            self._end = None
            if self._busy:
                self._failed(why)

    def _failed(self, _why: str) -> None:
        self._done()
        end, self._end = self._end, None
        if end is not None and end.open:
            end.close()
        self._side.plan.fail(self._side.clock())
        self._rest(0.25 if self._side.plan.live.wanted else 1.0)

    def _hand_on(self, results: tuple[Snapshot | BlockRead, ...]) -> None:
        side = self._side
        for result in results:
            if isinstance(result, Snapshot):
                side.live_data.polled(result, side.others.interval_ms)
            elif result.name == "gaps":
                side.live_data.registers.note(result.start, result.registers)
            else:
                side.others.take(result, "poll")


def line_core(responder: Responder, gap: float, idle_gap: float, character: float) -> LineCore:
    """Build the core of one line, as `rtu_server.serial_line` does."""
    return LineCore(Timing(gap, max(idle_gap, gap), character), responder, LineCounters({1: UnitCounters()}))


class NodeSide:
    """The RTU server with one line and one unit as a process."""

    REOPEN: Final = 0.4

    def __init__(
        self,
        process: Process,
        network: Network,
        broker: str,
        adapter: Adapter,
        *,
        idle_gap: float,
        stay: float = 0.0,
        earliest: float = 0.0,
        vital: tuple[str, ...] = ("live",),
    ) -> None:
        """All in seconds, as in the settings. `vital`: names of blocks."""
        self.process = process
        self._vital = vital
        self.adapter = adapter
        self._stay, self._earliest = stay, earliest
        self._network = network
        self._broker = broker
        self._idle_gap = idle_gap
        self._starts = 0
        self.begun = False
        self.on_live: Callable[[tuple[int | None, ...]], None] = lambda _: None
        """Called with the live registers that are held, each time a live block has reached the node."""
        self._log = logging.getLogger("rtu_server.simulated")
        self.link: Link
        self.core: LineCore

    def start(self) -> None:
        """The process begins."""
        self._starts += 1
        self.begun = True
        clock = self.clock = VirtualClock(self.process)
        setattr(block_feed, "boottime", clock)  # noqa: B010  (it takes no clock yet)
        limits = FreshnessLimits(vital=self._vital)
        self.feed = BlockFeed(METER, NODE, TOPICS, limits, self._send, _keys)
        self.responder = Responder({1: Unit(1, METER, self.feed.cache, stay=self._stay, earliest=self._earliest)})
        line = self.adapter.line
        self.core = line_core(self.responder, line.gap, self._idle_gap, line.character)
        self._last_request: float | None = None
        self._last_data: float | None = None
        self._status = b"offline"
        self._status_published: bytes | None = None
        self._why = ""
        self._listening_since = clock()
        self._wakes: Event | None = None
        self.adapter.on_bytes = self._on_bytes
        self.adapter.on_gone = self._on_gone
        topic = TOPICS.node_status(NODE)
        self.link = Link(
            self.process,
            self._network,
            self._broker,
            f"rtu-{self._starts}",
            Message(topic, b"offline", 1, True),
            [Subscription(pattern) for pattern in (*self.feed.subscriptions(NODE), topic)],
            self._on_message,
            self._on_link,
        )
        self.link.start()
        self._open()
        self._tick()

    def stop(self) -> None:
        """SIGTERM."""
        self.link.stop([(TOPICS.node_status(NODE), b"offline")])
        self.core.failed()
        self.adapter.drop_output()
        self.adapter.close()
        self.process.after(0.05, self.process.crash)

    def sizes(self) -> dict[str, tuple[int, int]]:
        """What is kept, and what may be."""
        return {
            "sessions": (_size(self.feed.cache, "_clocks"), 5),
            "sessions that wait": (_size(self.feed.cache, "_waiting"), 5),
            "precomputed requests": (_size(self.feed.cache, "_precomputed"), 16),
            "blocks": (len(self.feed.state.blocks), 25),
        }

    def _send(self, topic: str, payload: bytes) -> bool:
        return self.link.publish(topic, payload)

    def _on_link(self, up: bool, why: str) -> None:
        self._log.info("broker: %s", why)
        if up:
            self.feed.on_link_up()
            self._status_published = None

    def _on_message(self, message: Message) -> None:
        topic = TOPICS.parse(message.topic)
        if topic is None:
            return
        if topic.kind == "node_status":
            if message.payload != self._status:
                self._status_published = None
        elif topic.meter == METER:
            self.feed.on_message(topic, Incoming(message.topic, message.payload, message.retain, self.clock()))
            if topic.kind == "block" and topic.name == "live":
                held = self.feed.state.blocks.get("live")
                if held is not None:
                    self.on_live(held.message.registers)

    def _tick(self) -> None:
        now = self.clock()
        self.feed.tick()
        while self.core.given:
            _, _, answer, at = self.core.given.popleft()
            self._last_request = at
            if answer.outcome == "data":
                self._last_data = at
        verdict = judge(self._view(), now)
        self._status = b"online" if verdict.is_served else b"offline"
        if self._status != self._status_published and self.link.publish(
            TOPICS.node_status(NODE), self._status, qos=1, retain=True
        ):
            self._status_published = self._status
        expires = self.feed.state.vital_expires + _SOON - now if self.feed.fresh_since is not None else 1.0
        self.process.after(max(_SOON, min(1.0, expires)), self._tick)

    def _view(self) -> UnitView:
        return UnitView(
            line="rs485",
            unit=1,
            meter=METER,
            topic=f"ksem/{METER}",
            enabled=True,
            port_up=self.adapter.is_open,
            port_reasons=(),
            broker_up=self.link.connected,
            broker_reasons=(),
            meter_online=self.feed.online,
            fresh_since=self.feed.fresh_since,
            last_received=self.feed.last_received,
            last_block=self.feed.last_block,
            undated=self.feed.undated,
            last_request=self._last_request,
            last_data=self._last_data,
            foreign_or_noise=0,
            listening_since=self._listening_since,
            stay=self._stay,
            refuses_until=self.responder.refuses_until(1),
        )

    # The line's shell: sleep until the next event, read, write what is due.

    def _open(self) -> None:
        if self.adapter.open():
            self._listening_since = self.clock()
            self.core.opened(self._listening_since)
            self._sleep()
        else:
            self.process.after(self.REOPEN, self._open)

    def _on_gone(self) -> None:
        self._log.warning("the port is gone")
        self.core.failed()
        self.process.after(self.REOPEN, self._open)

    def _on_bytes(self) -> None:
        if self.core.is_at_rest or self.core.due_at is not None:
            self._step()

    def _sleep(self) -> None:
        if self._wakes is not None:
            self._wakes.cancel()
        at = self.core.due_at
        if at is None:
            at = self.core.next_event_at()
        self._wakes = self.process.after(max(0.0, at - self.clock()) + LATE_BY, self._step)

    def _step(self) -> None:
        if not self.adapter.is_open:
            return
        core, now = self.core, self.clock()
        if not core.receive(self.adapter.read(), now, now):
            self.adapter.drop_input()
            self._listening_since = now
        if core.unconfirmed and not core.sent(core.unconfirmed - self.adapter.unsent(), now):
            self.adapter.drop_output()
        frame = core.due(now)
        if frame and not self.adapter.write(frame):
            core.failed()
        self._sleep()


class LogCounter(logging.Handler):
    """Hands log lines of the services on."""

    def __init__(self, world: World, on_line: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._world = world
        self._on_line = on_line

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self._world.trace(record.name.split(".")[0], text)
        self._on_line(text)

    def __enter__(self) -> Self:
        for name in ("ksem_publisher", "rtu_server", "service_runtime"):
            logger = logging.getLogger(name)
            logger.setLevel(logging.INFO)
            logger.propagate = False
            logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("ksem_publisher", "rtu_server", "service_runtime"):
            logging.getLogger(name).removeHandler(self)


class _NoLock:
    """One thread runs everything."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _size(owner: object, *names: str) -> int:
    """How many a private collection holds; 0 where the core has another one by now."""
    for name in names:
        owner = getattr(owner, name, ())
    return len(cast("Any", owner))
