"""What a soak has shown so far, and whether it may stand."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from ksem_contract.blocks import ENERGY, LIVE
from ksem_contract.registers import RegisterRange
from ksem_simulators.plenticore.plan import LIMITS
from tests.chain import LIMIT_MS, MARGIN_MS, NEVER, RECOVERY
from tests.faults.processes import Footprint

GROWTH_KB: Final = 2048
MOST_LINES: Final = 12
"""Log lines of a service for each fault, on average."""


@dataclass
class Watched:
    """One service. What it held at the most while it warmed up is what later growth is counted from."""

    name: str
    warm: Footprint = field(default_factory=lambda: Footprint(0, 0, 0))
    highest: Footprint = field(default_factory=lambda: Footprint(0, 0, 0))
    newest: Footprint | None = None

    def see(self, footprint: Footprint, *, warm: bool) -> None:
        """Take in what it holds between two faults."""
        self.newest = footprint
        if warm:
            self.highest = self.highest.or_more(footprint)
        else:
            self.warm = self.warm.or_more(footprint)

    @property
    def growth_kb(self) -> int:
        """Kilobytes above the warm-up's highest."""
        return max(0, self.highest.rss_kb - self.warm.rss_kb)

    def problems(self) -> list[str]:
        """Whatever has grown. Fewer descriptors than usual are a connection that is just being made again."""
        found = []
        if self.growth_kb >= GROWTH_KB:
            found.append(f"{self.name} has grown by {self.growth_kb} kB")
        for what in ("descriptors", "threads"):
            more = getattr(self.highest, what) - getattr(self.warm, what)
            if more > 0:
                found.append(f"{self.name}: {more} {what} more than when it was warm")
        return found

    def __str__(self) -> str:
        return f"{self.name} {self.newest}, grown by {self.growth_kb} kB"


def served_badly(status: dict[str, Any]) -> list[str]:
    """What the inverter got and never should have: promises 1 to 4."""
    found = [f"{count} x {name}" for name, count in status["outcomes"].items() if name in NEVER]
    if status["late_frames"]:
        found.append(f"{status['late_frames']} answers after the inverter had stopped waiting")
    if status["early"]:
        found.append(f"{status['early']} answers before the silence of a frame was over")
    for name, part in status["ranges"].items():
        limit = _limit_ms(name)
        longest = part["longest_measured_age_ms"]
        if limit is not None and longest is not None and longest > limit + MARGIN_MS:
            found.append(f"{name}: served when {longest:.0f} ms old, limit {limit:.0f}")
    return found


def _limit_ms(name: str) -> float | None:
    first, _, last = name.partition("-")
    requested = RegisterRange(int(first), int(last or first) - int(first) + 1)
    if requested.overlaps(LIVE):
        return LIMIT_MS
    return 1000 * (LIMITS["energy"] or 0.0) if requested.overlaps(ENERGY) else None


@dataclass
class Soak:
    """All that was seen."""

    services: list[Watched]
    faults: Counter[str] = field(default_factory=Counter)
    longest_recovery: tuple[float, str] = (0.0, "")
    slow: list[str] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)

    def recovered(self, fault: str, seconds: float) -> None:
        """Note a fault and how long after it data flowed again."""
        self.faults[fault] += 1
        self.longest_recovery = max(self.longest_recovery, (round(seconds, 2), fault))
        if seconds > RECOVERY:
            self.slow.append(f"data flowed {seconds:.1f} s after {fault}")

    def problems(self) -> list[str]:
        """All that may not stand."""
        found = [problem for service in self.services for problem in service.problems()]
        talkative = [
            f"{name} logged {lines} lines for {self.faults.total()} faults"
            for name, lines in self.lines.items()
            if lines > 50 + MOST_LINES * self.faults.total()
        ]
        return [*served_badly(self.status), *self.slow, *found, *talkative]

    def longest_age_ms(self) -> float:
        """Of all answers from the live block."""
        ranges = self.status.get("ranges", {})
        return max(
            (part["longest_measured_age_ms"] or 0.0 for name, part in ranges.items() if _limit_ms(name) == LIMIT_MS),
            default=0.0,
        )
