"""Renders what a drill showed as lines for people [core]."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ksem_contract.health import NodeHealth

_MANAGER: Final[Mapping[int, str]] = {0: "idle", 2: "emergency battery charge", 8: "winter mode", 16: "winter mode"}
_CHANGED: Final = 0.05
"""W by which a believed power differs from another one."""


@dataclass(frozen=True, slots=True)
class Belief:
    """What the inverter believed; `at` in seconds since the drill began."""

    at: float
    power: float
    frequency: float
    manager: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it had no meter: all values are 0."""
        return self.power == 0 and self.frequency == 0


@dataclass(frozen=True, slots=True)
class Drilled:
    """What was seen. Times in seconds."""

    requested: float
    lasted: float
    ended_early: str
    """Why it ended before its time; empty where it did not."""
    before: NodeHealth | None
    after: NodeHealth | None
    beliefs: Sequence[Belief]


def report(drilled: Drilled) -> list[str]:
    """One line a fact."""
    lines = [f"Data was withheld for {drilled.lasted:.1f} s ({drilled.requested:g} s were requested)."]
    if drilled.ended_early:
        lines.append(f"It ended early: {drilled.ended_early}.")
    return [*lines, *_requests(drilled), *_beliefs(drilled)]


def _requests(drilled: Drilled) -> list[str]:
    if drilled.before is None or drilled.after is None:
        return ["The inverter's requests are not known: rtu-server's health did not arrive from the broker."]
    lines = []
    earlier = {(unit.line, unit.unit): unit for unit in drilled.before.units}
    for unit in drilled.after.units:
        was = earlier.get((unit.line, unit.unit))
        if was is None or unit.requests < was.requests:
            lines.append(f"Unit {unit.unit} on {unit.line}: rtu-server was started anew meanwhile.")
            continue
        refused = unit.refused.get("stale", 0) - was.refused.get("stale", 0)
        lines.append(
            f"Unit {unit.unit} on {unit.line}: {unit.requests - was.requests} requests between the two reports,"
            f" {refused} of them without data."
        )
    return [*lines, f"rtu-server now: {drilled.after.state}, {drilled.after.why}"]


def _beliefs(drilled: Drilled) -> list[str]:
    during = [one for one in drilled.beliefs if 0 <= one.at <= drilled.lasted]
    after = [one for one in drilled.beliefs if one.at > drilled.lasted]
    before = [one for one in drilled.beliefs if one.at < 0]
    if not during:
        remedy = "run inverter-reader, or give --inverter HOST (docs/inverter.md), and drill again"
        return [f"What the inverter believed is not known: {remedy}."]
    lines = [_during(before, during), *_manager(before, during)]
    last = during[-1]
    back = next((one for one in after if not one.is_empty and _differ(one, last)), None)
    if back is None:
        return [*lines, f"Until {after[-1].at if after else last.at:.0f} s after the begin it had not changed again."]
    return [*lines, f"It believed measured values again {max(0.0, back.at - drilled.lasted):.1f} s after the end."]


def _during(before: Sequence[Belief], during: Sequence[Belief]) -> str:
    empty = next((one for one in during if one.is_empty), None)
    if empty is not None:
        return f"The inverter showed 0 for all values from {empty.at:.1f} s on: it had noticed that its meter was gone."
    started = before[-1] if before else during[0]
    if not any(_differ(one, during[-1]) for one in during[len(during) // 2 :]):
        return f"The inverter kept the last value, {during[-1].power:.0f} W, to the end."
    return f"The inverter's power changed from {started.power:.0f} W to {during[-1].power:.0f} W."


def _manager(before: Sequence[Belief], during: Sequence[Belief]) -> list[str]:
    states = [one.manager for one in (*before[-1:], *during) if one.manager is not None]
    seen = list(dict.fromkeys(states))
    if not seen:
        return []
    shown = ", then ".join(_MANAGER.get(state, f"state {state}") for state in seen)
    return [f"Its energy manager: {shown}."]


def _differ(one: Belief, other: Belief) -> bool:
    return abs(one.power - other.power) > _CHANGED
