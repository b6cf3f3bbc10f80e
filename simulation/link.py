"""Carries MQTT over the simulated network: the broker as a process, and the client that each service has.

The client stands in for `service_runtime.mqtt_link`, with the same time-outs, until its core can be driven here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

from .broker import Broker, Client, Message, Subscription
from .network import End, Network
from .world import Event, Process

PORT: Final = 1883
LOOK_EVERY: Final = 6.0
"""Seconds between mosquitto's looks at keepalives."""
CONNECT_TIMEOUT: Final = 2.0
KEEPALIVE: Final = 2.0
RETRY: Final = (0.5, 1.0)
MOST_UNSENT: Final = 65_536
"""Bytes under way beyond which live data is dropped."""
_SMALL: Final = 20


class Connect(NamedTuple):
    client: str
    will: Message | None
    keepalive: float


class Subscribe(NamedTuple):
    subscriptions: tuple[Subscription, ...]


@dataclass(frozen=True, slots=True)
class Ack:
    """CONNACK, SUBACK or PINGRESP."""

    what: str


@dataclass(frozen=True, slots=True)
class Goodbye:
    """DISCONNECT."""


@dataclass(frozen=True, slots=True)
class Ping:
    """PINGREQ."""


class BrokerHost:
    """The broker as a process that listens; `on_message` sees what any client with all rights would receive."""

    def __init__(
        self, process: Process, network: Network, broker: Broker, on_message: Callable[[Message], None]
    ) -> None:
        self.process = process
        self.broker = broker
        self._network = network
        self._on_message = on_message

    def start(self) -> None:
        """The process begins."""
        watcher = Client("watcher", self._on_message, user="watcher")
        self.broker.connect(watcher)
        self.broker.subscribe(watcher, Subscription("#", 1))
        self._network.listen(self.process, PORT, self._accept)
        self.process.after(LOOK_EVERY, self._look)

    def stop(self, *, clean: bool) -> None:
        """SIGTERM, or a power cut of the broker alone."""
        self.broker.restart(clean=clean)
        self.process.crash()

    def _look(self) -> None:
        self.broker.tick()
        self.process.after(LOOK_EVERY, self._look)

    def _accept(self, end: End) -> None:
        client: Client | None = None

        def receive(message: Message) -> None:
            if message.qos or end.unread < MOST_UNSENT:
                end.post(message, len(message.payload) + len(message.topic) + 6)

        def on_message(packet: object) -> None:
            nonlocal client
            if isinstance(packet, Connect):
                client = Client(packet.client, receive, lambda _: end.close(), packet.client, packet.will)
                client.keepalive = packet.keepalive
                self.broker.connect(client)
                end.post(Ack("connected"), 5)
            elif client is None:
                end.reset()
            elif isinstance(packet, Message):
                self.broker.publish(client, packet)
            elif isinstance(packet, Subscribe):
                end.post(Ack("subscribed"), 5)
                for one in packet.subscriptions:
                    self.broker.subscribe(client, one)
            elif isinstance(packet, Ping):
                self.broker.packet(client)
                end.post(Ack("pong"), 2)
            else:
                self.broker.disconnect(client)
                end.close()

        def on_closed(_: str) -> None:
            if client is not None:
                self.broker.lost(client)

        end.on_message = on_message
        end.on_closed = on_closed


@dataclass(eq=False)
class Link:
    """A service's link to the broker: connects for ever, heals, drops live data while it is down."""

    process: Process
    network: Network
    host: str
    client: str
    will: Message
    subscriptions: Sequence[Subscription]
    on_message: Callable[[Message], None]
    on_link: Callable[[bool, str], None]
    connected: bool = False
    published: int = 0
    _end: End | None = field(default=None, init=False)
    _last_received: float = field(default=0.0, init=False)
    _pinging: Event | None = field(default=None, init=False)

    def start(self) -> None:
        """The process has begun."""
        self._try()

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, expiry: int | None = None
    ) -> bool:
        """Publish it, or drop it and return False."""
        end = self._end
        if not self.connected or end is None or (not qos and end.unread > MOST_UNSENT):
            return False
        self.published += 1
        return end.post(Message(topic, payload, qos, retain, expiry), len(payload) + len(topic) + _SMALL)

    def publish_together(self, messages: Sequence[tuple[str, bytes, bool, int | None]]) -> bool:
        """Publish QoS 0 messages in one piece: all or none."""
        went = True
        for topic, payload, retain, expiry in messages:
            went = self.publish(topic, payload, retain=retain, expiry=expiry) and went
        return went

    def stop(self, final: Sequence[tuple[str, bytes]]) -> None:
        """Disconnect cleanly, with some retained messages before it."""
        for topic, payload in final:
            self.publish(topic, payload, qos=1, retain=True)
        if self._end is not None:
            self._end.post(Goodbye(), 2)
        self.connected = False

    def _try(self) -> None:
        self.network.connect(self.process, self.host, PORT, self._opened, partial(self._lost, None), CONNECT_TIMEOUT)

    def _opened(self, end: End) -> None:
        self._end = end
        end.on_message = partial(self._receive, end)
        end.on_closed = partial(self._lost, end)
        self._last_received = self.process.host.oscillator()
        end.post(Connect(self.client, self.will, KEEPALIVE), 60)
        self._ping(end)

    def _receive(self, end: End, packet: object) -> None:
        self._last_received = self.process.host.oscillator()
        if end is not self._end:
            return
        if isinstance(packet, Message):
            self.on_message(packet)
        elif isinstance(packet, Ack) and packet.what == "connected":
            end.post(Subscribe(tuple(self.subscriptions)), 40)
        elif isinstance(packet, Ack) and packet.what == "subscribed":
            self.connected = True
            self.on_link(True, "connected")

    def _ping(self, end: End) -> None:
        if end is not self._end or not end.open:
            return
        if self.process.host.oscillator() - self._last_received > 2 * KEEPALIVE:
            end.reset()
            self._lost(end, "the broker is silent")
            return
        end.post(Ping(), 2)
        self._pinging = self.process.after(KEEPALIVE / 2, partial(self._ping, end))

    def _lost(self, end: End | None, why: str) -> None:
        if end is not self._end:
            return
        self._end = None
        was, self.connected = self.connected, False
        if was:
            self.on_link(False, why)
        self.process.after(RETRY[0] + (RETRY[1] - RETRY[0]) * self.network.random.random(), self._try)
