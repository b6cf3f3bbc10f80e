"""Judges whether a run was good, and lists its faults [core]."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

BAD: Final = ("wrong", "torn", "stale", "foreign", "late", "broken")
"""An answer of any of these must never reach an inverter."""
GOOD: Final = ("good", "data")
"""`data`: well-formed, from a meter whose words nobody knows."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the inverter's requests came to."""

    good: int = 0
    bad: Mapping[str, int] = field(default_factory=dict)
    timeouts: int = 0
    refused: int = 0
    """Exceptions: the right answer while there is no fresh data."""

    @classmethod
    def of(cls, outcomes: Mapping[str, int], late_frames: int = 0) -> "Counts":
        """From the inverter's outcomes. `late_frames`: answers that came when nobody waited any more."""
        bad = {name: outcomes.get(name, 0) for name in BAD}
        bad["late"] += late_frames
        return cls(
            good=sum(outcomes.get(name, 0) for name in GOOD),
            bad=bad,
            timeouts=outcomes.get("timeout", 0),
            refused=sum(count for name, count in outcomes.items() if name.startswith("exception")),
        )

    @classmethod
    def of_inverter(cls, status: Mapping[str, Any]) -> "Counts":
        """From the simulated inverter's status."""
        return cls.of(status.get("outcomes", {}), int(status.get("late_frames", 0)))

    def __str__(self) -> str:
        bad = ", ".join(f"{count} {name}" for name, count in self.bad.items())
        return f"{self.good} good, {bad}, {self.timeouts} timeouts, {self.refused} refused"


def faults(counts: Counts, expected_good: int) -> list[str]:
    """Everything that makes the run a failure; empty when it was good."""
    problems = [f"{count} answers were {name}" for name, count in counts.bad.items() if count]
    if counts.good < expected_good:
        problems.append(f"{counts.good} good answers, at least {expected_good} were expected")
    return problems
