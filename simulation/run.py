"""Runs one seed for some seconds under the oracle; makes the run smaller where it fails."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from .faults import Fault, draw, shrink
from .oracle import Violation
from .scene import House, Scene


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    seed: str
    seconds: float
    faults: int
    violations: list[Violation]
    counts: dict[str, int]
    cpu: float
    events: int
    oldest: float
    timeline: list[tuple[float, str, str]] = field(default_factory=list)

    @property
    def speed(self) -> float:
        return self.seconds / max(self.cpu, 1e-9)


def run(
    seed: str, seconds: float, faults: Sequence[Fault] | None = None, *, trace: bool = False, limit: float = 1.5
) -> Outcome:
    """Run a seed; with `faults`, only those of what it draws. `limit`: how old live data may be."""
    chosen = draw(seed, seconds) if faults is None else faults
    begun = time.process_time()
    scene = Scene(seed, House.drawn(seed), trace=trace)
    scene.oracle.limits["live"] = limit
    for fault in chosen:
        if fault.at < seconds:
            fault.plan(scene)
    with scene.logging():
        scene.world.run(seconds)
    oracle = scene.oracle
    return Outcome(
        seed=seed,
        seconds=seconds,
        faults=len(chosen),
        violations=oracle.violations,
        counts=oracle.counts,
        cpu=time.process_time() - begun,
        events=scene.world.events,
        oldest=max(oracle.ages, default=0.0),
        timeline=list(scene.world.timeline),
    )


def smaller(outcome: Outcome, *, limit: float = 1.5) -> tuple[float, list[Fault]]:
    """Return a shorter time and fewer faults with which the first broken promise of a seed still breaks."""
    first = outcome.violations[0]

    def until(violation: Violation) -> float:
        return round(violation.at + 0.1, 1)

    seconds = until(first)

    def fails(faults: Sequence[Fault]) -> bool:
        nonlocal seconds
        found = [
            one for one in run(outcome.seed, seconds, faults, limit=limit).violations if one.promise == first.promise
        ]
        if found:
            seconds = min(seconds, until(found[0]))
        return bool(found)

    return seconds, shrink(draw(outcome.seed, seconds), fails)


def command(seed: str, seconds: float, faults: Sequence[Fault] | None = None) -> str:
    """Return the one command that repeats a run."""
    only = "" if faults is None else f" --faults {','.join(str(one.number) for one in faults) or 'none'}"
    return f"TRACE=1 python -m simulation --seed {seed} --seconds {seconds:g}{only}"
