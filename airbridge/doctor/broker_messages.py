"""Holds what one login received, message by message [core]."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from airbridge.doctor.facts import MeterSeen, NodeSeen
from ksem_contract.block_message import BlockMessage
from ksem_contract.freshness import Pong
from ksem_contract.health import MeterHealth, NodeHealth, RequestsMessage
from ksem_contract.message_fields import InvalidMessage
from ksem_contract.topics import ParsedTopic, Topics
from service_runtime.mqtt_session import Incoming

_FAMILIES = {
    "status": "{}/+/status",
    "health": "{}/+/health",
    "block": "{}/+/block/+",
    "node_status": "{}/rtu/+/status",
    "node_health": "{}/rtu/+/health",
    "node_requests": "{}/rtu/+/requests",
}


class Seen:
    """Meters and nodes as they show themselves."""

    def __init__(self, topics: Topics) -> None:
        self.topics = topics
        self.meters: dict[str, MeterSeen] = {}
        self.nodes: dict[str, NodeSeen] = {}
        self.blocks_from: set[str] = set()
        self.live_families: set[str] = set()
        self.retained: dict[str, bytes] = {}
        """The newest payload on each topic of the contract, for a bundle."""
        self._pings: dict[str, float] = {}

    @property
    def seen(self) -> set[str]:
        """Meters of which any message arrived."""
        return set(self.meters)

    def sent_ping(self, nonce: str, at: float) -> None:
        """A ping goes out now."""
        self._pings[nonce] = at

    def take(self, message: Incoming, wall: datetime) -> None:
        """One message. `wall` is the wall clock, for the difference between hosts."""
        topic = self.topics.parse(message.topic)
        if topic is None or not message.payload:
            return
        if topic.kind != "pong":
            self.retained[message.topic] = message.payload
        if not message.retained and topic.kind in _FAMILIES:
            self.live_families.add(_FAMILIES[topic.kind].format(self.topics.prefix))
        if topic.node is not None and topic.meter is None:
            self._node(topic.node, topic, message)
        elif topic.meter is not None:
            self._meter(topic.meter, topic, message, wall)

    def _meter(self, name: str, topic: ParsedTopic, message: Incoming, wall: datetime) -> None:
        known = self.meters.get(name) or MeterSeen(name)
        live = not message.retained
        try:
            if topic.kind == "status":
                status = message.payload.decode("ascii", "replace")
                # `offline` may be the broker's word: the last will of a publisher that is gone.
                known = replace(known, status=status, alive=known.alive or (live and status == "online"))
            elif topic.kind == "health":
                known = replace(known, health=MeterHealth.decode(message.payload), alive=known.alive or live)
            elif topic.kind == "block":
                block = BlockMessage.decode(message.payload)
                self.blocks_from.add(name)
                known = replace(known, alive=known.alive or live)
                if live and topic.name == "live":
                    known = replace(known, clock_ahead_s=(datetime.fromisoformat(block.time) - wall).total_seconds())
            elif topic.kind == "pong":
                sent = self._pings.get(Pong.decode(message.payload).nonce)
                if sent is not None:
                    known = replace(known, alive=True, echo_ms=round(1000 * (message.received - sent), 1))
        except InvalidMessage as bad:
            known = replace(known, unreadable=f"{message.topic}: {bad}")
        self.meters[name] = known

    def _node(self, name: str, topic: ParsedTopic, message: Incoming) -> None:
        known = self.nodes.get(name) or NodeSeen(name)
        live = not message.retained
        try:
            if topic.kind == "node_status":
                status = message.payload.decode("ascii", "replace")
                known = replace(known, status=status, alive=known.alive or (live and status == "online"))
            elif topic.kind == "node_health":
                known = replace(known, health=NodeHealth.decode(message.payload), alive=known.alive or live)
            elif topic.kind == "node_requests":
                known = replace(known, requests=RequestsMessage.decode(message.payload), alive=known.alive or live)
        except InvalidMessage as bad:
            known = replace(known, unreadable=f"{message.topic}: {bad}")
        self.nodes[name] = known


def merged_meters(all_seen: Iterable[Seen]) -> tuple[MeterSeen, ...]:
    """What several logins received of each meter, together."""
    merged: dict[str, MeterSeen] = {}
    for seen in all_seen:
        for name, one in list(seen.meters.items()):
            other = merged.get(name, one)
            merged[name] = MeterSeen(
                name,
                status=one.status or other.status,
                health=one.health or other.health,
                alive=one.alive or other.alive,
                echo_ms=one.echo_ms if one.echo_ms is not None else other.echo_ms,
                clock_ahead_s=one.clock_ahead_s if one.clock_ahead_s is not None else other.clock_ahead_s,
                unreadable=one.unreadable or other.unreadable,
            )
    return tuple(merged[name] for name in sorted(merged))


def merged_nodes(all_seen: Iterable[Seen]) -> tuple[NodeSeen, ...]:
    """What several logins received of each node, together."""
    merged: dict[str, NodeSeen] = {}
    for seen in all_seen:
        for name, one in list(seen.nodes.items()):
            other = merged.get(name, one)
            merged[name] = NodeSeen(
                name,
                status=one.status or other.status,
                health=one.health or other.health,
                requests=one.requests or other.requests,
                alive=one.alive or other.alive,
                unreadable=one.unreadable or other.unreadable,
            )
    return tuple(merged[name] for name in sorted(merged))
