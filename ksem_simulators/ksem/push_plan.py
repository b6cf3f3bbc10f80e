"""Decides when the meter pushes, and which writes a cycle's push is made of [core].

What a real KSEM writes has never been published: the four groups can be switched on and off, one of them can't go in a
single write (limit 123 registers), all else is open. So the split is a choice.
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, Final, Literal, Self

from ksem_contract.blocks import LIVE, PUSH_GROUPS
from ksem_contract.register_map import REGISTERS
from ksem_contract.registers import RegisterRange

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


MAX_WRITE: Final = 123
"""Registers that one write can carry, by the Modbus specification."""


def parse_ranges(text: str) -> tuple[RegisterRange, ...]:
    """`0-27,40-145` as ranges. ValueError for anything else, and for a range too long for one write."""
    ranges = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdigit() and last.isdigit() and dash and int(first) <= int(last)):
            raise ValueError(f"range {part.strip()!r}: expected FIRST-LAST, like 0-27")
        ranges.append(RegisterRange(int(first), int(last) - int(first) + 1))
    return tuple(ranges)


def _values() -> tuple[RegisterRange, ...]:
    pushed = (PUSH_GROUPS["total"], PUSH_GROUPS["phases"])
    return tuple(register.range for register in REGISTERS if any(group.covers(register.range) for group in pushed))


SPLITS: Final[dict[str, tuple[RegisterRange, ...]]] = {
    "groups": parse_ranges("0-27,40-145"),
    "hundred": parse_ranges("0-99,100-147"),
    "longest": parse_ranges("0-122,123-147"),
    "phases": parse_ranges("0-27,40-65,80-105,120-145"),
    "overlap": parse_ranges("0-27,20-99,80-145"),
    "values": _values(),
}
"""Splits of the instantaneous values by name; `values` is one write a value, without the gaps."""

ENERGY_SPLITS: Final[dict[str, tuple[RegisterRange, ...]]] = {
    "halves": parse_ranges("512-551,592-711,712-791"),
    "phases": parse_ranges("512-551,592-631,672-711,752-791"),
    "most": parse_ranges("512-551,592-714,715-791"),
}
"""Splits of the energy counters; `most` cuts through a value's neighbourhood, not through a value."""


def parse_split(text: str, named: dict[str, tuple[RegisterRange, ...]]) -> tuple[RegisterRange, ...]:
    """A split by name, or as ranges. ValueError names what is allowed."""
    if text in named:
        return named[text]
    try:
        ranges = parse_ranges(text)
    except ValueError as error:
        raise ValueError(f"split {text!r}: {', '.join(named)}, or ranges ({error})") from None
    for one in ranges:
        if one.count > MAX_WRITE:
            raise ValueError(f"range {one}: {one.count} registers, one write carries at most {MAX_WRITE}")
    return ranges


@lru_cache
def plan(
    groups: tuple[str, ...], live: tuple[RegisterRange, ...], energy: tuple[RegisterRange, ...]
) -> tuple[RegisterRange, ...]:
    """The writes of a cycle: those of the split, cut down to the groups that are on.

    With all instantaneous groups on, a write may also reach over the gaps between them (0-99 + 100-147).
    """
    on = [PUSH_GROUPS[name] for name in groups]
    both = PUSH_GROUPS["total"] in on and PUSH_GROUPS["phases"] in on
    writes: list[RegisterRange] = []
    for span in (*live, *energy):
        if both and LIVE.covers(span):
            writes.append(span)
        else:
            writes.extend(_overlap(span, group) for group in on if group.overlaps(span))
    return tuple(writes)


def _overlap(one: RegisterRange, other: RegisterRange) -> RegisterRange:
    start = max(one.start, other.start)
    return RegisterRange(start, min(one.stop, other.stop) - start)
