"""Holds which ranges the inverter polls, and how [core]."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Self

from ksem_contract.registers import RegisterRange
from ksem_simulators.ksem.push_plan import parse_ranges
from ksem_simulators.truth import Block
from ksem_simulators.truth.truth_file import block_of

LIMITS: Final = {"live": 1.5, "energy": 60.0, "sunspec": 60.0, "energy_flow": 60.0, "device": None}


@dataclass(frozen=True, slots=True)
class Plan:
    """Times are seconds. The defaults are what is known of a Plenticore Plus G2 (the ranges are deduced)."""

    unit: int = 1
    function: int = 3
    ranges: tuple[RegisterRange, ...] = parse_ranges("0-27,40-145")
    period: float = 0.16
    """From cycle to cycle; 0: one request after the other."""
    gap: float = 0.002
    """Silence that the inverter keeps before each request, at least 3.5 characters."""
    timeout: float = 0.15
    """An answer must have begun by then. Not known of a real inverter, which polls again after 0.16."""
    detect: bool = True
    """Poll 8244 until there is an answer, before all else."""
    detect_period: float = 0.5
    limits: dict[str, float | None] = field(default_factory=lambda: dict(LIMITS))

    def __post_init__(self) -> None:
        for span in self.ranges:
            if span.count > 125:
                raise ValueError(f"range {span}: {span.count} registers, one request has at most 125")
        if unknown := set(self.limits) - set(LIMITS):
            raise ValueError(f"limit {', '.join(sorted(unknown))}: allowed are {', '.join(LIMITS)}")

    def limit(self, span: RegisterRange) -> float | None:
        """How old the meter's words may be; None for any age."""
        block = block_of(span)
        return None if block is None else self.limits[Block(block).name.lower()]

    def changed(self, changes: dict[str, Any]) -> Self:
        """With these fields changed; ranges as text, `limits` as those that differ. ValueError names what is wrong."""
        known = {one.name for one in fields(self)}
        if unknown := set(changes) - known:
            raise ValueError(f"{', '.join(sorted(unknown))}: a plan has {', '.join(sorted(known))}")
        typed = dict(changes)
        if "ranges" in typed:
            typed["ranges"] = parse_ranges(typed["ranges"])
        if "limits" in typed:
            typed["limits"] = self.limits | typed["limits"]
        return replace(self, **typed)


def parse_limits(text: str) -> dict[str, float | None]:
    """`live=1.5,device=none`. ValueError for anything else."""
    limits: dict[str, float | None] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"limit {part!r}: expected NAME=SECONDS or NAME=none")
        limits[name] = None if value == "none" else float(value)
    return limits
