"""How the meter pushes [core]."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

from ksem_contract.blocks import PUSH_GROUPS
from ksem_contract.register_range import RegisterRange
from ksem_simulators.ksem.push_plan import ENERGY_SPLITS, SPLITS, parse_split, plan

Order = Literal["up", "down", "shuffled"]


@dataclass(frozen=True, slots=True)
class PushSettings:
    """All that can be chosen; the defaults are what a KSEM is believed to do. Times are seconds."""

    enabled: bool = True
    silent: bool = False
    """Keep the connections, but write nothing."""
    groups: tuple[str, ...] = ("total", "phases")
    split: str = "groups"
    energy_split: str = "halves"
    interval: float = 0.0
    """0: after each measuring cycle; else every so many seconds."""
    gap: float = 0.0
    """Between the writes of a cycle."""
    second_half: float = 0.0
    """Extra wait before the second half of a cycle's writes."""
    jitter: float = 0.0
    """Each push begins up to this much later."""
    offset: float = 0.0
    """Push begins so long after the measuring cycle."""
    order: Order = "up"
    pipeline: bool = False
    """Do not wait for the answer to a write before the next."""
    unit: int = 1
    connections: int = 1
    """Writes take turns over so many connections."""
    reconnect: bool = False
    """A new connection for each cycle."""
    timeout: float = 1.0
    retry: float = 0.5
    """Pause before a lost connection is opened again."""

    def __post_init__(self) -> None:
        if unknown := set(self.groups) - set(PUSH_GROUPS):
            raise ValueError(f"groups {', '.join(sorted(unknown))}: allowed are {', '.join(PUSH_GROUPS)}")
        if self.interval and not 0.02 <= self.interval <= 60.0:
            raise ValueError(f"interval {self.interval}: 0 (each cycle), or 0.02 to 60 s")
        if self.order not in {"up", "down", "shuffled"}:
            raise ValueError(f"order {self.order!r}: up, down or shuffled")
        if not 1 <= self.connections <= 4:
            raise ValueError(f"connections {self.connections}: 1 to 4")
        self.writes()

    def writes(self) -> tuple[RegisterRange, ...]:
        """The writes of a cycle, in ascending order of the split."""
        return plan(self.groups, parse_split(self.split, SPLITS), parse_split(self.energy_split, ENERGY_SPLITS))

    def changed(self, changes: dict[str, Any]) -> Self:
        """With these fields changed. ValueError names an unknown field, or what is wrong with a value."""
        known = {field.name: field for field in fields(self)}
        if unknown := set(changes) - set(known):
            raise ValueError(f"{', '.join(sorted(unknown))}: a push has {', '.join(known)}")
        typed: dict[str, Any] = {
            name: tuple(value) if name == "groups" else type(getattr(self, name))(value)
            for name, value in changes.items()
        }
        return replace(self, **typed)
