"""Derives events from the services' logs and the inverter's record, and judges what answers it got [shell and core]."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

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


Level = Literal["info", "warning", "error"]
_LEVELS: Final[dict[str, Level]] = {"WARNING": "warning", "ERROR": "error", "CRITICAL": "error"}
_line = re.compile(r"(\d\d:\d\d:\d\d)\.\d{3} (DEBUG|INFO|WARNING|ERROR|CRITICAL) +(.*)").fullmatch


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    time: str
    """Wall clock, HH:MM:SS."""
    who: str
    text: str
    level: Level = "info"


def parse_log_line(who: str, line: str, time: str) -> Event | None:
    """A service's log line as an event; a line of another form (a traceback) becomes an error."""
    if not line.strip():
        return None
    parts = _line(line)
    if parts is None:
        return Event(time, who, line.strip(), "error")
    return Event(parts[1], who, parts[3], _LEVELS.get(parts[2], "info"))


class InverterWatch:
    """Reports when the inverter stops getting data, what it gets instead, and when data is back [core]."""

    def __init__(self) -> None:
        self._since = 0.0
        self.lately: str | None = None
        """What it got last: `data`, or the outcome that was not."""

    def take(self, record: str, time: str) -> Event | None:
        """One line of the inverter's record."""
        try:
            one = json.loads(record)
            outcome, at, why = str(one["outcome"]), float(one["at"]), str(one.get("why", ""))
        except (ValueError, KeyError, TypeError):
            return None
        state = "data" if outcome in GOOD else outcome
        if state == self.lately:
            return None
        before, since, self.lately = self.lately, self._since, state
        if before in (None, "data") or state == "data":
            self._since = at
        if state == "data":
            gone = "" if before is None else f" again after {at - since:.1f} s"
            return Event(time, "inverter", f"gets data{gone}")
        return Event(time, "inverter", f"gets {outcome}" + (f": {why}" if why else ""), "warning")


class FileFollower:
    """The lines that were added to a file since the last call [shell]."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = 0
        self._rest = ""

    def lines(self) -> Iterator[str]:
        """Whole new lines. A file that is not there has none."""
        try:
            with self._path.open(encoding="utf-8", errors="replace") as file:
                file.seek(self._place)
                text = self._rest + file.read()
                self._place = file.tell()
        except OSError:
            return
        *lines, self._rest = text.split("\n")
        yield from lines
