"""Counts and times all transactions, together and by range [core]."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final

from ksem_simulators.percentiles import Samples
from ksem_simulators.plenticore.answer import GOOD, UNJUDGED

_PROBLEMS: Final = 50


@dataclass(frozen=True, slots=True)
class Transaction:
    """One request and what came of it. Times are CLOCK_BOOTTIME and seconds."""

    number: int
    at: float
    range: str
    outcome: str
    why: str
    turnaround: float | None
    age: float | None
    measured_age: float | None
    cycle: int | None
    disturbed: bool
    received: bytes
    answered_at: float | None
    """When the answer's first byte began, by the line's log."""

    def as_dict(self) -> dict[str, Any]:
        """For a log line."""
        return {
            "number": self.number,
            "at": round(self.at, 6),
            "answered_at": None if self.answered_at is None else round(self.answered_at, 6),
            "range": self.range,
            "outcome": self.outcome,
            "why": self.why,
            "turnaround_ms": _ms(self.turnaround),
            "age_ms": _ms(self.age),
            "measured_age_ms": _ms(self.measured_age),
            "cycle": self.cycle,
            "disturbed": self.disturbed,
        }


@dataclass(slots=True)
class _Part:
    outcomes: Counter[str] = field(default_factory=Counter)
    turnarounds: Samples = field(default_factory=Samples)
    ages: Samples = field(default_factory=Samples)
    measured_ages: Samples = field(default_factory=lambda: Samples(1))
    early: int = 0
    disturbed: int = 0

    def add(self, transaction: Transaction, shortest: float) -> None:
        self.outcomes[transaction.outcome] += 1
        if transaction.disturbed:
            self.disturbed += 1
        elif transaction.turnaround is not None and transaction.turnaround >= 0:
            self.turnarounds.add(transaction.turnaround)
            self.early += transaction.turnaround < shortest
        if transaction.age is not None:
            self.ages.add(transaction.age)
        if transaction.measured_age is not None:
            self.measured_ages.add(transaction.measured_age)

    def as_dict(self) -> dict[str, Any]:
        return {
            "requests": self.outcomes.total(),
            "outcomes": dict(self.outcomes),
            "turnaround_ms": self.turnarounds.summary(1000.0),
            "age_ms": self.ages.summary(1000.0),
            "longest_measured_age_ms": _ms(self.measured_ages.largest),
            "early": self.early,
            "disturbed": self.disturbed,
        }


class Tally:
    """`shortest`: the silence (t3.5) that an answer must keep; one that begins sooner counts as early.

    Ages are those of all answers that the meter's words could be found in, stale ones too. Turnarounds leave out those
    that the host disturbed.
    """

    def __init__(self, shortest: float) -> None:
        self._shortest = shortest
        self._all = _Part()
        self._ranges: dict[str, _Part] = {}
        self.problems: deque[dict[str, Any]] = deque(maxlen=_PROBLEMS)

    def add(self, transaction: Transaction) -> None:
        """Counts one transaction."""
        self._all.add(transaction, self._shortest)
        self._ranges.setdefault(transaction.range, _Part()).add(transaction, self._shortest)
        if transaction.outcome not in {GOOD, UNJUDGED}:
            self.problems.append(transaction.as_dict() | {"received": transaction.received.hex()})

    def as_dict(self) -> dict[str, Any]:
        """For a status message."""
        return self._all.as_dict() | {
            "ranges": {name: part.as_dict() for name, part in self._ranges.items()},
            "problems": list(self.problems),
        }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000.0 * seconds, 3)
