"""Holds what is known of one meter, one node, one inverter [core], by the messages that came.

A reader may not ping, so it can't date blocks as an RTU server does. But of all messages of a session one came fastest;
every other one was late by at least what it took longer. So a burst after an outage looks as old as it is. Ages are
under the true ones by the fastest message's way, some milliseconds in a house: good for showing, not for serving.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ksem_contract.block_message import BlockMessage
from ksem_contract.health import MeterHealth, NodeHealth, RequestEntry
from ksem_contract.inverter_health import InverterHealth
from ksem_contract.reasons import Reason, without
from ksem_contract.values import decode_energy, decode_live
from ksem_dashboard.history import EnergyToday, PowerHistory
from ksem_dashboard.language import ENGLISH, Language

DRIFT: Final = 1e-3
"""How much faster or slower one clock may run than the other: time services slew each by up to 500 ppm.

An outage hides as much of what comes late after it: 0.6 s after ten minutes.
"""


class ArrivalClock:
    """One session's clock. Times in seconds of the local CLOCK_BOOTTIME."""

    __slots__ = ("_at", "_offset", "received")

    def __init__(self) -> None:
        self._offset = 0.0
        self._at = 0.0
        self.received = 0
        """Messages of this session. One alone may be an attacker's replay."""

    def received_at(self, boot_ms: int, received: float) -> None:
        """Take in a message that was published at `boot_ms` of the publisher's clock."""
        offset = received - boot_ms / 1000
        if self.received:
            offset = min(offset, self._offset + DRIFT * max(0.0, received - self._at))
        self._offset, self._at = offset, received
        self.received += 1

    def age_of(self, boot_ms: int, age_ms: int, now: float) -> float | None:
        """Age in seconds of a block with these stamps; None before the first message."""
        if not self.received:
            return None
        return max(0.0, now - self._offset - (boot_ms - age_ms) / 1000)


_MOST: Final = 64


class ArrivalRate:
    """Times in seconds of one clock."""

    __slots__ = ("_seen", "_window")

    def __init__(self, window: float = 3.0) -> None:
        self._window = window
        self._seen: deque[float] = deque(maxlen=_MOST)

    def happened(self, now: float) -> None:
        """One more."""
        self._seen.append(now)

    def per_s(self, now: float) -> float:
        """A second, lately. What has stopped sinks to nothing."""
        recent = [at for at in self._seen if at > now - self._window]
        if len(recent) < 2:
            return 0.0
        mean = (recent[-1] - recent[0]) / (len(recent) - 1)
        return (len(recent) - 1) / max(recent[-1] - recent[0], now - recent[0] - mean, 0.001)


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
