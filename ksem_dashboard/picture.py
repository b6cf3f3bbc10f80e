"""Holds the bridge's state at one moment [core]: takes messages, gives what page, metrics and terminal show.

Each meter is known by what its publisher publishes, each node by its health and its requests.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ksem_contract.block_message import BlockMessage
from ksem_contract.health import MeterHealth, NodeHealth, RequestsMessage
from ksem_contract.inverter_health import InverterHealth
from ksem_contract.message_fields import InvalidMessage
from ksem_contract.reasons import Reason
from ksem_contract.topics import ParsedTopic, Topics
from ksem_contract.values_message import ValuesMessage
from ksem_dashboard.views import InverterView, MeterView, NodeView, Reported

_MOST: Final = 16
"""Meters, and nodes, that are kept: whoever may publish can't fill the memory."""
OLD_AFTER: Final = 2.0


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that breaks the contract."""

    topic: str
    why: str
    received: float


class BridgeState:
    """`meters`, `nodes`: which to show; empty: all that publish."""

    def __init__(
        self, topics: Topics, *, meters: Sequence[str] = (), nodes: Sequence[str] = (), old_after: float = OLD_AFTER
    ) -> None:
        self.topics = topics
        self.old_after = old_after
        self._only_meters = tuple(meters)
        self._only_nodes = tuple(nodes)
        self.meters: dict[str, MeterView] = {}
        self.nodes: dict[str, NodeView] = {}
        self.inverters: dict[str, InverterView] = {}
        self.link_up: bool | None = None
        self.link_reasons: tuple[Reason, ...] = ()
        self.link_since: float | None = None
        self.own_reasons: tuple[Reason, ...] = ()
        """What the dashboard itself can't do, as to deliver a notification."""
        self.messages = 0
        self.unreadable = 0
        self.last_unreadable: Unreadable | None = None
        self.changes = 0
        """Grows with everything but a live block that follows another."""
        self._expect()

    @property
    def subscriptions(self) -> list[str]:
        """Topic filters of everything it needs."""
        topics = self.topics
        wanted = []
        for meter in self._only_meters:
            wanted += [topics.meter_status(meter), topics.meter_health(meter)]
            wanted += topics.meter_block_subscriptions(meter)
        if not self._only_meters:
            wanted += [f"{topics.prefix}/+/{leaf}" for leaf in ("status", "health", "block/+")]
        for node in self._only_nodes or ("+",):
            wanted += [f"{topics.prefix}/rtu/{node}/{leaf}" for leaf in ("status", "health", "requests")]
        return [*wanted, *(f"{topics.prefix}/inverter/+/{leaf}" for leaf in ("status", "health", "values"))]

    def on_link(self, up: bool, reasons: tuple[Reason, ...], now: float) -> None:
        """The own link to the broker."""
        self.link_up, self.link_reasons, self.link_since = up, reasons, now
        self.changes += 1
        if not up:
            # A new broker may have lost retained messages; it delivers again what it still has.
            for meter in self.meters.values():
                meter.status = None
            for node in self.nodes.values():
                node.status = None
            for inverter in self.inverters.values():
                inverter.status = None

    def on_message(self, topic_text: str, payload: bytes, *, retained: bool, now: float, local: datetime) -> None:
        """Take in a message received at `now`, local wall time `local`. What breaks the contract is counted."""
        topic = self.topics.parse(topic_text)
        if topic is None:
            return
        self.messages += 1
        if not payload:
            self._forget(topic)
            return
        try:
            if topic.meter is not None:
                self._on_meter(topic, topic.meter, payload, retained, now, local)
            elif topic.node is not None:
                self._on_node(topic, topic.node, payload, retained, now)
            elif topic.inverter is not None:
                self._on_inverter(topic, topic.inverter, payload, now)
        except InvalidMessage as error:
            self.unreadable += 1
            self.last_unreadable = Unreadable(topic_text[:120], str(error)[:200], now)
            self.changes += 1

    def _forget(self, topic: ParsedTopic) -> None:
        """A retained status was taken from the broker, as for a node that is no more."""
        if topic.kind == "status" and topic.meter in self.meters:
            self.meters.pop(topic.meter)
        elif topic.kind == "node_status" and topic.node in self.nodes:
            self.nodes.pop(topic.node)
        elif topic.kind == "inverter_status" and topic.inverter in self.inverters:
            self.inverters.pop(topic.inverter)
        else:
            return
        self.changes += 1
        self._expect()

    def _expect(self) -> None:
        """The state holds those that the settings name, seen or not."""
        for meter in self._only_meters:
            self.meters.setdefault(meter, MeterView(meter, self.old_after))
        for node in self._only_nodes:
            self.nodes.setdefault(node, NodeView(node))

    def _on_meter(
        self, topic: ParsedTopic, name: str, payload: bytes, retained: bool, now: float, local: datetime
    ) -> None:
        alive = not retained and not (topic.kind == "status" and payload != b"online")
        if topic.kind not in {"status", "health", "block"}:
            return
        if not _may_hold(self.meters, name, self._only_meters, alive):
            return
        if topic.kind == "block":
            block = BlockMessage.decode(payload)
            if name not in self.meters and retained:
                return  # its status or its next block shows that it is more than a memory
            view = self._meter(name)
            was_fresh = view.is_fresh(now)
            if alive:
                view.last_seen = now
            view.on_block(block, retained, now, local)
            self.changes += block.block != "live" or not was_fresh
            return
        self.changes += 1
        if topic.kind == "status":
            self._meter(name).status = payload.decode("ascii", "replace")[:20]
        else:
            self._meter(name).reported = Reported(MeterHealth.decode(payload), now)
        if alive:
            self._meter(name).last_seen = now

    def _on_node(self, topic: ParsedTopic, name: str, payload: bytes, retained: bool, now: float) -> None:
        alive = not retained and not (topic.kind == "node_status" and payload != b"online")
        if not _may_hold(self.nodes, name, self._only_nodes, alive):
            return
        self.changes += 1
        view = self.nodes.get(name) or NodeView(name)
        if topic.kind == "node_status":
            view.status = payload.decode("ascii", "replace")[:20]
        elif topic.kind == "node_health":
            view.health, view.health_received = NodeHealth.decode(payload), now
        elif topic.kind == "node_requests":
            view.requests, view.requests_received = RequestsMessage.decode(payload).requests, now
        else:
            return
        if alive:
            view.last_seen = now
        self.nodes[name] = view

    def _on_inverter(self, topic: ParsedTopic, name: str, payload: bytes, now: float) -> None:
        if name not in self.inverters and len(self.inverters) >= _MOST:
            return
        view = self.inverters.get(name) or InverterView(name)
        if topic.kind == "inverter_values":
            view.power, view.power_received = ValuesMessage.decode(payload).values.get("power"), now
        else:
            self.changes += 1
        if topic.kind == "inverter_status":
            view.status = payload.decode("ascii", "replace")[:20]
        elif topic.kind == "inverter_health":
            view.health, view.health_received = InverterHealth.decode(payload), now
        self.inverters[name] = view

    def is_memory(self, view: MeterView | NodeView) -> bool:
        """Whether only the broker's memory knows it, while others run: most likely it was given up."""
        if view.status == "online" or view.last_seen is not None:
            return False
        if isinstance(view, MeterView):
            return view.meter not in self._only_meters and any(one.status == "online" for one in self.meters.values())
        return view.node not in self._only_nodes and any(one.status == "online" for one in self.nodes.values())

    def _meter(self, name: str) -> MeterView:
        if name not in self.meters:
            self.meters[name] = MeterView(name, self.old_after)
        return self.meters[name]


def _may_hold(held: dict[str, MeterView] | dict[str, NodeView], name: str, only: Collection[str], alive: bool) -> bool:
    """Whether there is room for it. One that is alive takes the place of one that is not."""
    if name in held or (not only and len(held) < _MOST):
        return True
    if only or not alive:
        return False
    offline = [other for other, view in held.items() if view.status != "online"]
    if not offline:
        return False
    held.pop(min(offline, key=lambda other: held[other].last_seen or 0.0))
    return True
