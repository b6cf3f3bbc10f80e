"""What the line saw, and how well it kept its own times."""

from dataclasses import dataclass, field
from typing import Any

from ksem_simulators.line.lane import Travelling
from ksem_simulators.percentiles import Samples


@dataclass(slots=True)
class LineCounters:
    """All since the start."""

    to_server: int = 0
    to_client: int = 0
    lost: int = 0
    """Bytes that nobody took: port unplugged, or its buffer full."""
    collisions: int = 0
    """Times that one end began to send while the other was sending."""
    uncertain: int = 0
    """Hand-overs during which the host took the CPU away."""
    lateness: Samples = field(default_factory=lambda: Samples(2000))
    """Seconds that bytes were handed over late. Few are kept: nothing moves on the line while they are sorted."""

    def hand_over(self, direction: int, now: float, owed: list[Travelling], taken: int) -> None:
        """Counts bytes that were handed over towards the server (direction 0) or the client."""
        if direction:
            self.to_client += taken
        else:
            self.to_server += taken
        self.lost += len(owed) - taken
        for byte in owed:
            self.lateness.add(now - byte.owed)

    def as_dict(self) -> dict[str, Any]:
        """For a status message."""
        return {
            "to_server": self.to_server,
            "to_client": self.to_client,
            "lost": self.lost,
            "collisions": self.collisions,
            "uncertain": self.uncertain,
            "lateness_us": self.lateness.summary(1e6),
        }
