"""Holds what the demo knows at one moment [core]: takes messages and statuses, gives figures, blocks and rates."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airbridge.demo.events import Counts, Event
from ksem_contract.block_message import BlockMessage
from ksem_contract.health import MeterHealth, NodeHealth, Percentiles, RequestsMessage
from ksem_contract.inverter_health import InverterHealth
from ksem_contract.message_fields import InvalidMessage
from ksem_contract.reasons import Reason
from ksem_contract.topics import Topics
from ksem_contract.values import decode_energy, decode_live
from ksem_contract.values_message import ValuesMessage
from ksem_dashboard.views import InverterView

EVENTS: Final = 200
HISTORY: Final = 300
"""Powers kept for the little curve: a minute of cycles."""


class BridgeState:
    """Facts, by their source. Times are seconds of CLOCK_BOOTTIME."""

    def __init__(self, topics: Topics, now: float) -> None:
        self._topics = topics
        self.started = now
        self.ready_at: float | None = None
        """When the inverter had a good answer to all of its requests."""
        self.start_counts: Counts | None = None
        """What it got before."""
        self.link_up: bool | None = None
        self.messages = Rate()
        self.blocks: dict[str, BlockView] = {}
        self.values: dict[str, float] = {}
        self.powers: deque[float] = deque(maxlen=HISTORY)
        self.meter_status: str | None = None
        self.node_status: str | None = None
        self.meter_health: MeterHealth | None = None
        self.node_health: NodeHealth | None = None
        self.requests: RequestsMessage | None = None
        self.believed = InverterView("main")
        """The inverter's own values, where its reader runs."""
        self.ksem: Mapping[str, Any] = {}
        self.line: Mapping[str, Any] = {}
        self.inverter: Mapping[str, Any] = {}
        self.requested = Rate()
        self.polled = Rate()
        self.lately: str | None = None
        """What the inverter got last: `data`, `exception-4`, `timeout` ... None before its first request."""
        self.pulled: set[str] = set()
        self.events: deque[Event] = deque(maxlen=EVENTS)
        self.happened = 0
        """Events so far, those that were let go too."""

    def on_link(self, up: bool, _reasons: tuple[Reason, ...]) -> None:
        """The demo's own link to the broker."""
        self.link_up = up
        if not up:
            # A new broker may have lost retained messages; it delivers again what it still has.
            self.meter_status = self.node_status = None

    def on_message(self, topic_text: str, payload: bytes, now: float) -> None:
        """Takes a message of the contract; ignores one that breaks it, since the services report it."""
        topic = self._topics.parse(topic_text)
        if topic is None or not payload:
            return
        self.messages.happened(now)
        try:
            if topic.kind == "block":
                self._on_block(BlockMessage.decode(payload), now)
            elif topic.kind == "status":
                self.meter_status = payload.decode("ascii", "replace")
            elif topic.kind == "health":
                self.meter_health = MeterHealth.decode(payload)
            elif topic.kind == "node_status":
                self.node_status = payload.decode("ascii", "replace")
            elif topic.kind == "node_health":
                self.node_health = NodeHealth.decode(payload)
            elif topic.kind == "node_requests":
                self.requests = RequestsMessage.decode(payload)
            elif topic.kind == "inverter_status":
                self.believed.status = payload.decode("ascii", "replace")
            elif topic.kind == "inverter_health":
                self.believed.health, self.believed.health_received = InverterHealth.decode(payload), now
            elif topic.kind == "inverter_values":
                values = ValuesMessage.decode(payload).values
                self.believed.power, self.believed.power_received = values.get("power"), now
        except InvalidMessage:
            return

    def on_statuses(
        self, ksem: Mapping[str, Any], line: Mapping[str, Any], inverter: Mapping[str, Any], now: float
    ) -> None:
        """The simulators' statuses; empty where a real device is."""
        self.ksem, self.line, self.inverter = ksem, line, inverter
        if "requests" in inverter:
            self.requested.counted(int(inverter["requests"]), now)
        if "server" in ksem:
            self.polled.counted(int(ksem["server"]["requests"]), now)

    def on_event(self, event: Event) -> None:
        """Something happened."""
        self.events.append(event)
        self.happened += 1

    @property
    def counts(self) -> Counts:
        """What the inverter got so far; for a real one, by the RTU server's counters."""
        if self.inverter:
            return Counts.of_inverter(self.inverter)
        units = self.node_health.units if self.node_health else ()
        return Counts.of(
            {
                "data": sum(unit.data for unit in units),
                **{f"exception {index}": sum(unit.refused.values()) for index, unit in enumerate(units)},
            }
        )

    @property
    def turnaround_ms(self) -> Percentiles:
        """From a request's end to its answer's begin."""
        return self._times("turnaround_ms")

    @property
    def age_ms(self) -> Percentiles:
        """How old the meter's words were as they went out to the inverter."""
        return self._times("age_ms")

    @property
    def is_served(self) -> bool:
        """Whether the inverter has had a good answer to all of its requests."""
        if not self.inverter:
            return self.counts.good > 0 and self.node_status == "online"
        requested = [part["outcomes"] for name, part in self.inverter["ranges"].items() if "-" in name]
        return len(requested) > 1 and all(Counts.of(outcomes).good for outcomes in requested)

    def _times(self, name: str) -> Percentiles:
        if self.inverter:
            reported = self.inverter.get(name) or {}
            return Percentiles(reported.get("p50"), reported.get("p99"), reported.get("max"))
        units = self.node_health.units if self.node_health else ()
        return getattr(units[0], name) if units else Percentiles()

    def _on_block(self, block: BlockMessage, now: float) -> None:
        view = self.blocks.get(block.block)
        if view is None:
            view = self.blocks[block.block] = BlockView(block)
        view.came(block, now)
        if block.block == "live":
            self.values |= decode_live(block.registers, block.start)
            if "power" in self.values:
                self.powers.append(self.values["power"])
        elif block.block == "energy":
            self.values |= decode_energy(block.registers, block.start)


WINDOW: Final = 3.0


class Rate:
    """Counts single happenings, or follows a counter that somebody else keeps. Times in seconds of one clock."""

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._seen: deque[tuple[float, int]] = deque()
        self._total = 0
        self._begin: float | None = None

    def happened(self, now: float) -> None:
        """One more."""
        self._total += 1
        self.counted(self._total, now)

    def counted(self, total: int, now: float) -> None:
        """The counter stands at `total`. One that fell has begun anew."""
        if self._begin is None:
            self._begin = now
        if self._seen and total < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, total))
        self._drop(now)

    def per_s(self, now: float) -> float:
        """A second, lately."""
        self._drop(now)
        if len(self._seen) < 2:
            return 0.0
        first, last = self._seen[0], self._seen[-1]
        # Up to now, not up to the last one: what has stopped sinks to nothing.
        elapsed = max(last[0] - first[0], now - first[0] - (last[0] - first[0]) / (len(self._seen) - 1))
        return (last[1] - first[1]) / elapsed if elapsed > 0 else 0.0

    def _drop(self, now: float) -> None:
        while self._seen and self._seen[0][0] < now - self._window:
            self._seen.popleft()


FAST: Final = 3.0
SLOW: Final = 60.0
"""Seconds over which rates are taken."""


@dataclass(slots=True)
class BlockView:
    """The newest message of a block, and how often they come from where."""

    message: BlockMessage
    rates: dict[str, Rate] = field(default_factory=dict)

    def came(self, message: BlockMessage, now: float) -> None:
        """A newer one."""
        self.message = message
        self.rates.setdefault(message.source, Rate(FAST if message.block == "live" else SLOW)).happened(now)

    def age_ms(self, now: float) -> int:
        """How old its oldest word is. The publisher runs on this host, so its clock is this one's."""
        return max(0, int(1000 * now) - self.message.boot_ms + self.message.age_ms)

    def per_s(self, source: str, now: float) -> float:
        """Messages a second from this source."""
        rate = self.rates.get(source)
        return rate.per_s(now) if rate else 0.0

    def all_per_s(self, now: float) -> float:
        """Messages a second, wherever they come from."""
        return sum(rate.per_s(now) for rate in self.rates.values())
