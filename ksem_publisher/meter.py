"""One meter put together: its push, its polling, its link to the broker, the ranges that inverters request."""

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from ksem_contract.block_message import BlockMessage
from ksem_contract.health import RequestsMessage
from ksem_contract.home_assistant import Discovery, meter_device
from ksem_contract.message_fields import InvalidMessage
from ksem_contract.reasons import Reason, sentence
from ksem_contract.topics import ParsedTopic, Topics
from ksem_publisher.block_publisher import BlockPublisher, Message
from ksem_publisher.blocks import BlockData, read_kept
from ksem_publisher.echo_answer import EchoAnswer
from ksem_publisher.health import MeterReport, MeterView
from ksem_publisher.live import LiveData, LiveSource
from ksem_publisher.on_demand import Demand
from ksem_publisher.other_publishers import OtherPublishers
from ksem_publisher.plausibility import Anomaly
from ksem_publisher.poll_client import PollClient
from ksem_publisher.poll_plan import PollPlan
from ksem_publisher.poller import Client, MeterPoll
from ksem_publisher.push_listener import PushListener
from ksem_publisher.push_receiver import MeterPush
from ksem_publisher.recording import held_now, meter_source
from ksem_publisher.settings import MeterSettings, PublisherSettings
from ksem_publisher.value_publisher import ValuePublisher
from service_runtime.announcer import Announcer
from service_runtime.clock import boottime, until_tick
from service_runtime.key_file import KeyFile
from service_runtime.mqtt_link import MqttLink, client_id_of
from service_runtime.mqtt_session import FinalMessage, Incoming
from service_runtime.news import QuietLog
from service_runtime.recorder.recorder import Recorder
from service_runtime.status import OFFLINE, StatusTopic
from service_runtime.threads import WatchedThread

TICK = 1.0
"""Seconds between two checks of what is to be published; status is right within 3 s."""
TICK_IN_TROUBLE = 0.5
"""The same while something is wrong: its reason changes faster."""
_SOON = 0.005


class Link(Protocol):
    """`MqttLink`, or a stand-in."""

    thread: WatchedThread

    @property
    def connected(self) -> bool: ...

    def start(self) -> None: ...

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, expiry: int | None = None
    ) -> bool: ...

    def publish_together(self, messages: Sequence[Message]) -> bool: ...

    def stop(self, final_messages: list[FinalMessage] = ...) -> None: ...


class MeterService:
    """Everything that belongs to one meter. Built inside the event loop."""

    def __init__(
        self,
        meter: MeterSettings,
        settings: PublisherSettings,
        version: str,
        *,
        client: Client | None = None,
        link: Callable[..., Link] = MqttLink,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self.id = meter.id
        self.log = logging.getLogger(f"ksem_publisher.{meter.id}")
        self.session = secrets.token_hex(4)
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._topics = topics = Topics(settings.mqtt.prefix)
        self._version = version
        self._announcer = Announcer(settings.homeassistant, lambda: self._devices(settings))
        self._demand = Demand(meter.id, settings.demand.max_ranges)
        self._demand_listener = (
            DemandListener(self._demand, topics, self._on_demand, self.log) if settings.demand.enabled else None
        )
        self._push_wanted = settings.push.enabled
        self._listener: PushListener | None = None
        self.link = link(
            settings.mqtt,
            client_id=client_id_of(settings.mqtt, "pub", meter.id),
            will=(topics.meter_status(meter.id), OFFLINE),
            subscriptions=[
                topics.pings(meter.id),
                topics.meter_status(meter.id),
                *topics.meter_block_subscriptions(meter.id),
                *self._announcer.subscriptions,
                *(self._demand_listener.subscriptions if self._demand_listener else ()),
            ],
            on_message=self._on_message,
            on_link=self._on_link,
            log=self.log,
            not_own=topics.meter_block_subscriptions(meter.id),
        )
        publish = self.link.publish
        values = None
        if settings.values.enabled:
            openwb = [counter.id for counter in settings.openwb.counter if counter.meter == meter.id]
            interval = settings.values.interval
            values = ValuePublisher(meter.id, topics, self.link.publish_together, interval, clock, openwb)
        self._values = values
        self.status = StatusTopic(topics.meter_status(meter.id), publish)
        self._key_file = KeyFile(settings.integrity, self.log)
        keys = self._key_file.keys
        self._echo = EchoAnswer(meter.id, topics, self.session, publish, clock, keys)
        self._others = OtherPublishers(self.session)
        self._blocks = BlockPublisher(meter.id, topics, self.session, self.link.publish_together, clock, keys)
        self._source = LiveSource(push=settings.push.enabled)
        self._live_data = LiveData(self._blocks, values, self._source, settings.checks, self._on_live, clock)
        self._block_data = BlockData(
            self._blocks,
            values,
            lambda source: self._live_data.doubts(source, clock()),
            self._announcer.again,
            clock,
            serial=meter.serial,
        )
        self._plan = PollPlan(
            live=settings.poll.live,
            energy=settings.poll.energy,
            device=settings.poll.device,
            sunspec=settings.poll.sunspec,
            demand=self._demand,
            serial=meter.serial,
        )
        client = client or PollClient(
            meter.host, meter.poll_port, unit=meter.unit, timeout=meter.timeout, tls=meter.tls
        )
        recording_source = meter_source(meter, client.where, lambda: held_now(self._blocks, self.session, clock()))
        self._recorder = Recorder(recording_source, settings.recorder, self.log)
        event_queue = self._recorder.event_queue
        self.push = MeterPush(
            self._live_data,
            self._block_data,
            self._blocks,
            self._plan,
            settings.poll.energy,
            self._lock,
            self._on_push_away,
            self.log,
            event_queue,
            self._on_push_check,
            self._on_moved,
        )
        self.poll = MeterPoll(
            client,
            self._plan,
            self._live_data,
            self._block_data,
            self._lock,
            self.log,
            clock,
            event_queue,
            self.push.polled,
        )
        self._report = MeterReport(topics.meter_health(meter.id), version, self.session, publish, self.log, clock)

    def listen_with(self, listener: PushListener) -> None:
        """Set the listener that accepts this meter's pushes; the meter's health reports its faults."""
        self._listener = listener

    async def watch(self) -> None:
        """Keep status and health current until cancelled."""
        while True:
            now = self._clock()
            if self._key_file.look():
                self._blocks.republish()
            with self._lock:
                self._look_at_source(now)
                self._set_status(online=self._live_data.is_live(now))
                self._report.publish(self._view(now))
                self._announcer.tick(self.link)
                stops = self._live_data.stops_at
            self._drop_unwanted(now)
            self._recorder.tick(now, self._report.trouble or ("" if self.link.connected else "no link to the broker"))
            tick = TICK_IN_TROUBLE if self._report.trouble else TICK
            sleep = until_tick(tick, now)
            # What stops before the next tick is published at once, without another check while all is well.
            await asyncio.sleep(max(_SOON, min(sleep, stops + _SOON - now) if stops >= now else sleep))

    def why_not_served(self) -> str:
        """Empty while live data reaches the broker."""
        if not self.link.connected:
            return f"{self.id}: no link to the broker"
        return "" if self.status.online else f"{self.id}: no live data from the meter"

    def write_flight_file(self) -> None:
        """Write the last minutes of traffic to a file, soon; from any thread."""
        self._recorder.request_file()

    def stop(self) -> None:
        """Publish `offline` and disconnect from the broker; blocks for 1.5 s at most."""
        self.link.stop([(self._topics.meter_status(self.id), OFFLINE, 1, True)])

    def _look_at_source(self, now: float) -> None:
        self.poll.want_live(self._source.poll_wanted(now))

    def _on_push_away(self) -> None:
        """In the listener's thread."""

        def look() -> None:
            with self._lock:
                self._look_at_source(self._clock())

        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(look)

    def _on_push_check(self) -> None:
        """In the listener's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self.poll.look_again)

    def _on_moved(self) -> None:
        """In the listener's thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self.poll.reconnect)

    def _on_live(self) -> None:
        if not self.status.online:
            self._set_status(online=True)

    def _set_status(self, *, online: bool) -> None:
        if self.status.set(self._clock(), online=online):
            self.log.info("live data %s", "flows" if online else "has stopped")

    def _devices(self, settings: PublisherSettings) -> list[Discovery]:
        return [
            meter_device(
                self._topics,
                settings.homeassistant.prefix,
                self.id,
                version=self._version,
                texts=self._block_data.texts,
                values=settings.values.enabled,
                interval=settings.values.interval,
            )
        ]

    def _view(self, now: float) -> MeterView:
        anomalies = [*self._live_data.anomalies(), *self._block_data.anomalies, *self._plan.anomalies(now)]
        rejection = self._live_data.rejection(now)
        if rejection is not None:
            anomalies.append(rejection)
        if self._key_file.problem:
            anomalies.append(Anomaly("key-file", Reason.of("key-file", error=self._key_file.problem)))
        status = self.status.topic
        if self.status.has_no_delivery(now):
            anomalies.append(Anomaly("starved", Reason.of("broker-delivers-nothing", topic=status)))
        rival = self.push.rival(now)
        if rival is not None:
            anomalies.append(Anomaly("push-rival", rival))
        if self.status.is_contradicted(now):
            anomalies.append(Anomaly("other-instance", Reason.of("publisher-contradicted", topic=status)))
        push = self.push.condition(now)
        if self._listener is not None:
            refused = self._listener.refused(self.id)
            anomalies += [Anomaly(f"push-refused-{number}", reason) for number, reason in enumerate(refused)]
            if self._listener.why_closed and push[0] != "up":
                push = ("down", (self._listener.why_closed,))
        if not self._push_wanted:
            push = ("waiting", (Reason.of("push-off"),))
        return MeterView(
            is_live=self._live_data.is_live(now),
            rejection=rejection,
            push=push,
            push_wanted=self._push_wanted,
            peer=self.push.peer,
            period_ms=self.push.period_ms,
            groups=self.push.groups(now),
            writes=self.push.writes,
            poll=self.poll.condition,
            requests=self.poll.requests,
            errors=self.poll.errors,
            seqlock_retries=self._plan.live.seqlock_retries,
            blocks=self._blocks.health(now),
            anomalies=anomalies,
            publishers=self._others.seen(now),
        )

    def _adopt(self, kept: BlockMessage, received: float) -> None:
        with self._lock:
            self._block_data.adopt(kept, received)

    def _on_demand(self, change: Callable[[], None]) -> None:
        def take() -> None:
            change()
            self.poll.look_again()

        self._loop.call_soon_threadsafe(take)

    def _drop_unwanted(self, now: float) -> None:
        for name in self._blocks.names():
            if not self._demand.wants(name, now):
                self._blocks.drop(name)

    def _on_link(self, up: bool, reasons: tuple[Reason, ...]) -> None:
        """In the link's own thread, as `_on_message` is."""
        self._recorder.event_queue.note(self._clock(), "broker", sentence(reasons))
        if not up:
            self.status.on_lost()
            return
        self.status.on_connected(self._clock())
        self._blocks.republish()
        if self._values is not None:
            self._values.republish()
        self._report.again()
        self._announcer.again()

    def _on_message(self, message: Incoming) -> None:
        topic = self._topics.parse(message.topic)
        if topic is None:
            self._announcer.on_message(message)
            return
        if topic.kind == "ping" and topic.node is not None:
            self._echo.on_ping(topic.node, message.payload)
        elif topic.kind in {"node_status", "node_requests"} and self._demand_listener is not None:
            self._demand_listener.on_message(topic, message)
        elif topic.kind == "status":
            self.status.on_message(message.payload, self._clock(), retained=message.retained)
        elif topic.kind == "block" and topic.name is not None:
            self._on_block(topic.name, message)

    def _on_block(self, name: str, message: Incoming) -> None:
        if self._others.is_own(message.payload):
            return
        if not message.retained:
            self._others.received(message.payload, message.received)
        elif (
            name == "device" and (kept := read_kept(message.payload, self.id, name, self._key_file.keys())) is not None
        ):
            self._loop.call_soon_threadsafe(self._adopt, kept, message.received)


class DemandListener:
    """Takes nodes' messages, in the link's own thread. `hand_over` passes a change to the thread that polls."""

    def __init__(
        self, demand: Demand, topics: Topics, hand_over: Callable[[Callable[[], None]], None], log: logging.Logger
    ) -> None:
        self._demand = demand
        self._topics = topics
        self._hand_over = hand_over
        self._log = log
        self._quiet = QuietLog()

    @property
    def subscriptions(self) -> list[str]:
        """The topics it needs."""
        return [self._topics.all_nodes_status(), self._topics.all_nodes_requests()]

    def on_message(self, topic: ParsedTopic, message: Incoming) -> None:
        """Take a node's message; one that breaks the contract is ignored and logged once."""
        node = topic.node
        if node is None:
            return
        if topic.kind == "node_status":
            online = message.payload == b"online"
            self._hand_over(lambda: self._demand.on_status(node, online=online))
        elif topic.kind == "node_requests" and message.payload:
            try:
                requests = RequestsMessage.decode(message.payload)
            except InvalidMessage as bad:
                text = f"ignored {message.topic}, which breaks the contract: {bad}"
                line = self._quiet.line("contract", text, message.received)
                if line is not None:
                    self._log.warning("%s", line)
                return
            self._hand_over(lambda: self._demand.on_requests(node, requests, message.received))
