"""What is known of one inverter's own word [core]."""

from dataclasses import dataclass
from typing import Final

from ksem_contract.inverter_health import InverterHealth
from ksem_contract.reasons import Reason, without

from .node_view import SILENT_AFTER

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

    def words(self, now: float) -> str:
        """As the chain shows it: `believes -347 W, 0.9 s behind`; empty where it is not read."""
        power = self.believed(now)
        if power is None or self.health is None:
            return ""
        delay = self.health.delay.p50_ms
        return f"believes {power:.0f} W" + ("" if delay is None else f", {delay / 1000:.1f} s behind")
