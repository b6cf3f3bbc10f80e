"""Holds the bridge's state at one moment [core]: takes messages, gives what page, metrics and terminal show.

Each meter is known by what its publisher publishes, each node by its health and its requests.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ksem_contract.block_message import BlockMessage
from ksem_contract.health import MeterHealth, NodeHealth, RequestEntry, RequestsMessage
from ksem_contract.inverter_health import InverterHealth
from ksem_contract.message_fields import InvalidMessage
from ksem_contract.reasons import Reason, without
from ksem_contract.topics import ParsedTopic, Topics
from ksem_contract.values import decode_energy, decode_live
from ksem_contract.values_message import ValuesMessage
from ksem_dashboard.arrival import ArrivalClock, ArrivalRate
from ksem_dashboard.history import EnergyToday, PowerHistory
from ksem_dashboard.language import ENGLISH, Language

_MOST_BLOCKS: Final = 16
_ENOUGH: Final = 2
"""Messages of a session before its data counts: a single one may be a bridge's replay of what was retained."""


@dataclass(frozen=True, slots=True)
class Reported:
    """A message and when it came."""

    health: MeterHealth
    received: float


class MeterView:
    """Times in seconds of CLOCK_BOOTTIME. `old_after`: the age from which live data no longer counts."""

    def __init__(self, meter: str, old_after: float) -> None:
        self.meter = meter
        self.status: str | None = None
        self.reported: Reported | None = None
        self.last_seen: float | None = None
        """When a message of the publisher itself came last; what the broker kept does not count."""
        self.blocks: dict[str, BlockMessage] = {}
        self.values: dict[str, float] = {}
        self.counters: dict[str, float] = {}
        self.arrivals = ArrivalRate()
        self.history = PowerHistory()
        self.today = EnergyToday()
        self.cycles = 0
        """Live blocks so far."""
        self._old_after = old_after
        self._clock = ArrivalClock()
        self._session: str | None = None

    @property
    def health(self) -> MeterHealth | None:
        """The publisher's last health message."""
        return self.reported.health if self.reported else None

    def runs(self, now: float) -> bool:
        """Whether what the publisher reported is about the present."""
        if self.reported is None or self.status is None or now - self.reported.received > SILENT_AFTER:
            return False
        return self.status == "online" or self.reported.health.state == "down"

    def on_block(self, block: BlockMessage, retained: bool, now: float, local: datetime) -> bool:
        """Take in a block; False if it does not count."""
        if block.session != self._session:
            if self.is_live(now):
                return False  # a second publisher: this one's word counts while it has any
            self._session, self._clock = block.session, ArrivalClock()
        held = self.blocks.get(block.block)
        if held and held.session == block.session and (held.boot_ms, held.seq) >= (block.boot_ms, block.seq):
            return False
        if held is None and len(self.blocks) >= _MOST_BLOCKS:
            return False
        self.blocks[block.block] = block
        if not retained:
            self._clock.received_at(block.boot_ms, now)
        if block.block == "live":
            return self._on_live(block, retained, now)
        if block.block == "energy":
            self._on_energy(block, retained, local)
        return True

    def age(self, name: str, now: float) -> float | None:
        """Age in seconds of a block's oldest word; None if there is none, or its age is unknown yet."""
        block = self.blocks.get(name)
        if block is None or block.session != self._session:
            return None
        return self._clock.age_of(block.boot_ms, block.age_ms, now)

    def is_fresh(self, now: float) -> bool:
        """Whether live data comes, and is young enough to be shown as the present."""
        age = self.age("live", now)
        return self._clock.received >= _ENOUGH and bool(self.values) and age is not None and age <= self._old_after

    def is_live(self, now: float) -> bool:
        """Fresh, and the publisher's status is online, too."""
        return self.status == "online" and self.is_fresh(now)

    def _on_live(self, block: BlockMessage, retained: bool, now: float) -> bool:
        if retained:
            return False  # it is too old to show the present
        self.arrivals.happened(now)
        self.cycles += 1
        self.values = decode_live(block.registers, block.start)
        if self.is_fresh(now) and "power" in self.values:
            self.history.add(self.values["power"], now)
        return True

    def _on_energy(self, block: BlockMessage, retained: bool, local: datetime) -> None:
        self.counters = decode_energy(block.registers, block.start)
        if not retained and {"energy_import", "energy_export"} <= self.counters.keys():
            self.today.note(self.counters["energy_import"], self.counters["energy_export"], local)


SILENT_AFTER: Final = 35.0
"""Seconds without health after which a service no longer counts as running: health comes every 10 s."""


@dataclass(slots=True)
class NodeView:
    """Times in seconds of CLOCK_BOOTTIME."""

    node: str
    status: str | None = None
    health: NodeHealth | None = None
    health_received: float = 0.0
    requests: tuple[RequestEntry, ...] = ()
    requests_received: float = 0.0
    last_seen: float | None = None
    """When a message of the server itself came last; what the broker kept does not count."""

    def is_gone(self, now: float) -> bool:
        """Whether its process has ended: its status is offline, and no health of a server that runs is there."""
        if self.status is None or self.status == "online" or self.health is None:
            return False
        return self.health.state == "ok" or now - self.health_received > SILENT_AFTER

    def runs(self, now: float) -> bool:
        """Whether what it reported is about the present."""
        is_recent = self.health is not None and now - self.health_received <= SILENT_AFTER
        return self.status is not None and is_recent and not self.is_gone(now)

    @property
    def meters(self) -> frozenset[str]:
        """Whose data its inverters get."""
        return frozenset(unit.meter for unit in self.health.units) if self.health else frozenset()

    def per_s(self, meter: str) -> float:
        """Requests a second for this meter's data, by the last message."""
        return sum(entry.per_s for entry in self.requests if entry.meter == meter)


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


VALUES_WITHIN: Final = 5.0
"""Seconds without a read after which the believed power is not shown any more."""
_GOOD: Final = ("inverter-agrees", "inverter-comparing", "inverter-starting")


@dataclass(slots=True)
class InverterView:
    """Times in seconds of CLOCK_BOOTTIME."""

    inverter: str
    status: str | None = None
    health: InverterHealth | None = None
    health_received: float = 0.0
    power: float | None = None
    """W that it believes, as read last; plus is import."""
    power_received: float = 0.0

    def runs(self, now: float) -> bool:
        """Whether its reader runs: health comes every 10 s."""
        return self.health is not None and now - self.health_received <= SILENT_AFTER

    def believed(self, now: float) -> float | None:
        """W that it believes now; None where it is not read."""
        return self.power if self.status == "online" and now - self.power_received <= VALUES_WITHIN else None

    def wrong(self, now: float) -> tuple[Reason, ...]:
        """What is wrong with it, or with reading it."""
        return without(self.health.reasons, *_GOOD) if self.health is not None and self.runs(now) else ()

    def summary(self, now: float, language: Language = ENGLISH) -> str:
        """As the chain shows it: `believes -347 W, 0.9 s behind`; empty where it is not read."""
        power = self.believed(now)
        if power is None or self.health is None:
            return ""
        delay = self.health.delay.p50_ms
        if delay is None:
            return language.text("believes {power} W", power=f"{power:.0f}")
        seconds = f"{delay / 1000:.1f}"
        return language.text("believes {power} W, {seconds} s behind", power=f"{power:.0f}", seconds=seconds)
