"""Models an MQTT broker, as far as the bridge can notice it.

`tests/simulation/test_broker_model.py` runs the same random scripts on this model and on mosquitto, and compares what
each client received, with which retain flag, in which order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import inf
from typing import Final, NamedTuple

KEEPALIVE_GRACE: Final = 1.5
"""A client is dropped after this many of its keepalives without a packet (MQTT 5, section 3.1.2.10)."""
MOST_QUEUED: Final = 1000
"""QoS 1 messages kept for a client that does not read (mosquitto's max_queued_messages)."""


class Message(NamedTuple):
    """One message, as it is published or received."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    expiry: int | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """A filter of one client."""

    pattern: str
    qos: int = 0
    no_local: bool = False


@dataclass(eq=False)
class Client:
    """One connection, with session expiry 0: what it subscribed to ends with it."""

    id: str
    receive: Callable[[Message], None]
    closed: Callable[[str], None] = lambda _: None
    """Called when the broker ends the connection."""
    user: str = ""
    will: Message | None = None
    keepalive: float = 0.0
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    last_packet: float = 0.0


class _Retained(NamedTuple):
    message: Message
    source: str
    expires: float


Allowed = Callable[[str, str, str], bool]
"""User, `read` or `write`, topic."""


def everything(_user: str, _action: str, _topic: str) -> bool:
    """Allow all to everybody."""
    return True


class Broker:
    """Takes what clients do, calls them with what they receive."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        allowed: Allowed = everything,
        persistence: bool = False,
        retained_for_wildcards: bool = True,
    ) -> None:
        """`retained_for_wildcards`: RabbitMQ delivers retained messages to exact filters alone."""
        self.clients: dict[str, Client] = {}
        self.allowed = allowed
        self.persistence = persistence
        self.retained_for_wildcards = retained_for_wildcards
        self.retained: dict[str, _Retained] = {}
        self._clock = clock
        self._saved: dict[str, _Retained] = {}

    def connect(self, client: Client) -> None:
        """A client comes; another one with its id is thrown out, and its will is published first."""
        old = self.clients.get(client.id)
        if old is not None:
            self._remove(old)
            old.closed("session taken over")
            self._publish_will(old)
        client.last_packet = self._clock()
        self.clients[client.id] = client

    def packet(self, client: Client) -> None:
        """Any packet of the client, a PINGREQ among them."""
        client.last_packet = self._clock()

    def subscribe(self, client: Client, subscription: Subscription) -> None:
        """Subscribe, and receive what is retained, also where the filter was subscribed to before."""
        self.packet(client)
        known = client.subscriptions.get(subscription.pattern)
        # mosquitto 2.0 takes the new QoS and keeps the old "no local".
        kept = subscription if known is None else replace(subscription, no_local=known.no_local)
        client.subscriptions[subscription.pattern] = kept
        for held in list(self._retained(subscription)):
            self._deliver(client, held.message, subscription.qos, retain=True)

    def publish(self, client: Client, message: Message) -> None:
        """A client publishes."""
        self.packet(client)
        if self.allowed(client.user, "write", message.topic):
            self._spread(message, client.id)

    def disconnect(self, client: Client) -> None:
        """It disconnects cleanly: no will."""
        self._remove(client)

    def lost(self, client: Client) -> None:
        """Its connection is gone without a goodbye."""
        if self._remove(client):
            self._publish_will(client)

    def tick(self) -> None:
        """Look at keepalives; a broker does so every few seconds."""
        now = self._clock()
        for client in list(self.clients.values()):
            if client.keepalive and now - client.last_packet > KEEPALIVE_GRACE * client.keepalive:
                self._remove(client)
                client.closed("keepalive exceeded")
                self._publish_will(client)

    def restart(self, *, clean: bool = True) -> None:
        """All connections end. A broker with persistence has what was retained at its last clean end."""
        if clean:  # mosquitto publishes all wills as it ends
            for client in list(self.clients.values()):
                self._publish_will(client)
        for client in list(self.clients.values()):
            self._remove(client)
            client.closed("the broker restarts")
        if self.persistence and clean:
            self._saved = self.retained.copy()
        self.retained = self._saved.copy()

    def replay(self, pattern: str) -> None:
        """A bridge connects anew and sends what is retained on its side: it arrives as if it were published now."""
        for held in list(self._retained(Subscription(pattern))):
            self._spread(held.message._replace(retain=False), "bridge")

    def _spread(self, message: Message, source: str) -> None:
        if message.retain:
            self._retain(message, source)
        for client in list(self.clients.values()):
            for subscription in client.subscriptions.values():
                if subscription.no_local and source == client.id:
                    continue
                if matches(subscription.pattern, message.topic):
                    self._deliver(client, message, subscription.qos, retain=False)

    def _deliver(self, client: Client, message: Message, qos: int, *, retain: bool) -> None:
        if self.allowed(client.user, "read", message.topic):
            client.receive(Message(message.topic, message.payload, min(qos, message.qos), retain))

    def _retain(self, message: Message, source: str) -> None:
        self.retained.pop(message.topic, None)
        if message.payload:
            expires = inf if message.expiry is None else self._clock() + message.expiry
            self.retained[message.topic] = _Retained(message, source, expires)

    def _retained(self, subscription: Subscription) -> Iterator[_Retained]:
        now, pattern = self._clock(), subscription.pattern
        if "+" not in pattern and "#" not in pattern:
            held = self.retained.get(pattern)
            if held is not None and held.expires > now:
                yield held
            return
        if self.retained_for_wildcards:
            for topic, held in self.retained.items():
                if held.expires > now and matches(pattern, topic):
                    yield held

    def _publish_will(self, client: Client) -> None:
        if client.will is not None and self.allowed(client.user, "write", client.will.topic):
            self._spread(client.will, client.id)

    def _remove(self, client: Client) -> bool:
        if self.clients.get(client.id) is not client:
            return False
        del self.clients[client.id]
        return True


@lru_cache(maxsize=4096)
def matches(pattern: str, topic: str) -> bool:
    """Whether a topic filter covers a topic (MQTT 5, section 4.7)."""
    if topic.startswith("$") and pattern[:1] in "+#":
        return False
    levels = topic.split("/")
    wanted = pattern.split("/")
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at >= len(levels) or level not in ("+", levels[at]):
            return False
    return len(levels) == len(wanted)
