"""What is known of one meter, from what its publisher says [core]."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ksem_contract.block_message import BlockMessage
from ksem_contract.health import MeterHealth
from ksem_contract.values import decode_energy, decode_live

from .arrival_clock import ArrivalClock
from .arrival_rate import ArrivalRate
from .energy_today import EnergyToday
from .node_view import SILENT_AFTER
from .power_history import PowerHistory

_MOST_BLOCKS: Final = 16
_ENOUGH: Final = 2
"""Messages of a session before its data counts: a single one may be a bridge's replay of what was retained."""


@dataclass(frozen=True, slots=True)
class Told:
    """A message and when it came."""

    health: MeterHealth
    received: float


class MeterView:
    """Times in seconds of CLOCK_BOOTTIME. `old_after`: the age from which live data no longer counts."""

    def __init__(self, meter: str, old_after: float) -> None:
        self.meter = meter
        self.status: str | None = None
        self.told: Told | None = None
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
        """What the publisher told of itself last."""
        return self.told.health if self.told else None

    def runs(self, now: float) -> bool:
        """Whether what the publisher reported is about the present."""
        if self.told is None or self.status is None or now - self.told.received > SILENT_AFTER:
            return False
        return self.status == "online" or self.told.health.state == "down"

    def on_block(self, block: BlockMessage, retained: bool, now: float, local: datetime) -> bool:
        """Take in a block; False if it does not count."""
        if block.session != self._session:
            if self.flows(now):
                return False  # a second publisher: this one's word counts while it has any
            self._session, self._clock = block.session, ArrivalClock()
        held = self.blocks.get(block.block)
        if held and held.session == block.session and (held.boot_ms, held.seq) >= (block.boot_ms, block.seq):
            return False
        if held is None and len(self.blocks) >= _MOST_BLOCKS:
            return False
        self.blocks[block.block] = block
        if not retained:
            self._clock.heard_at(block.boot_ms, now)
        if block.block == "live":
            return self._on_live(block, retained, now)
        if block.block == "energy":
            self._on_energy(block, retained, local)
        return True

    def age(self, name: str, now: float) -> float | None:
        """Age in seconds of a block's oldest word; None if there is none, or its age can't be told yet."""
        block = self.blocks.get(name)
        if block is None or block.session != self._session:
            return None
        return self._clock.age_of(block.boot_ms, block.age_ms, now)

    def is_fresh(self, now: float) -> bool:
        """Whether live data comes, and is young enough to be shown as the present."""
        age = self.age("live", now)
        return self._clock.heard >= _ENOUGH and bool(self.values) and age is not None and age <= self._old_after

    def flows(self, now: float) -> bool:
        """Fresh, and the publisher says so too."""
        return self.status == "online" and self.is_fresh(now)

    def _on_live(self, block: BlockMessage, retained: bool, now: float) -> bool:
        if retained:
            return False  # it says nothing about now
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
