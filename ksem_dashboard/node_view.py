"""What is known of one RTU server and its inverters [core]."""

from dataclasses import dataclass
from typing import Final

from ksem_contract.health import NodeHealth
from ksem_contract.requests import RequestEntry

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
        """Whether its process has ended: the broker says offline, and no health of a server that runs is there."""
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
        """Requests a second for this meter's data, as told last."""
        return sum(entry.per_s for entry in self.requests if entry.meter == meter)
