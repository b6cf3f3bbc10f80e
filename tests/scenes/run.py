"""Runs one scene for a while and returns what was seen."""

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .scenes import Scene


@dataclass(frozen=True)
class Seen:
    """Of one scene."""

    scene: str
    steps: int
    status: dict[str, Any]
    slowest_recovery: float
    lines: dict[str, int]
    changes: int
    problems: list[str]
    logs: str

    @property
    def oldest_ms(self) -> float:
        """The longest age of what was served as valid."""
        ages = [part["age_ms"]["max"] for part in self.status["ranges"].values() if part["age_ms"]["count"]]
        return float(max(ages, default=0.0))

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(self.status["outcomes"].items()))
        lines = ", ".join(f"{count} of {name}" for name, count in self.lines.items())
        return (
            f"{self.scene}: {self.steps} steps; {outcomes}; oldest {self.oldest_ms:.0f} ms;"
            f" slowest recovery {self.slowest_recovery:.1f} s; log lines {lines} for {self.changes} changes"
        )


def run(scene: Scene, folder: Path, seconds: float, chance: random.Random, longest: float = 20.0) -> Seen:
    """Let things go wrong for so long. `longest`: seconds that one fault may last."""
    with scene.running(folder, chance, longest) as bench:
        bench.chain.inverter.command("reset")
        until, steps = time.monotonic() + seconds, 0
        try:
            while time.monotonic() < until:
                scene.step(bench)
                steps += 1
        except AssertionError as error:  # data did not come back
            bench.found.append(str(error).partition("\n")[0])
        problems = bench.problems()
        logs = bench.chain.logs() if problems else ""
        return Seen(scene.name, steps, bench.status, bench.slowest, bench.logged(), bench.changes, problems, logs)
