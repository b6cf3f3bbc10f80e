"""What is known of one RTU server and its inverters [core]."""

from dataclasses import dataclass

from ksem_contract.health import NodeHealth
from ksem_contract.requests import RequestEntry


@dataclass(slots=True)
class NodeView:
    """Times in seconds of CLOCK_BOOTTIME."""

    node: str
    status: str | None = None
    health: NodeHealth | None = None
    health_received: float = 0.0
    requests: tuple[RequestEntry, ...] = ()
    requests_received: float = 0.0

    @property
    def meters(self) -> frozenset[str]:
        """Whose data its inverters get."""
        return frozenset(unit.meter for unit in self.health.units) if self.health else frozenset()

    def per_s(self, meter: str) -> float:
        """Requests a second for this meter's data, as told last."""
        return sum(entry.per_s for entry in self.requests if entry.meter == meter)
