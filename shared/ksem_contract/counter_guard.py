"""Keeps energy counters from stepping backwards, or leaping, on the value topics [core].

A dashboard counts a counter that goes down as a new meter, and one that leaps as a month's use in a second; neither
can be undone there. So such a value is withheld and reported, and nothing replaces it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MOST_POWER: Final = 1000.0
"""kW: no counter grows faster. A KSEM measures 63 A directly, or through transformers far beyond a house."""
ALLOWANCE: Final = 1.0
"""kWh: a counter may grow by this at once."""
MOST_ENERGY: Final = 1e9
"""kWh: no counter goes beyond."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """A counter's value that was withheld, and the last that passed (None before the first)."""

    key: str
    value: float
    last: float | None


class CounterGuard:
    """Remembers each counter's last value that passed.

    A lower value is withheld as long as it stays lower, however often it is read again; so is one that grew faster than
    1 MW allows, until the time since makes it possible. A meter that was replaced starts lower on purpose: by its new
    serial number the publisher knows it, and takes a new guard.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, float]] = {}

    def check(self, counters: Mapping[str, float], now: float) -> tuple[dict[str, float], tuple[Withheld, ...]]:
        """The counters (kWh) read at `now` (s) that may be published, and those withheld."""
        passed: dict[str, float] = {}
        withheld: list[Withheld] = []
        for key, value in counters.items():
            last, at = self._last.get(key, (None, now))
            if self._is_believable(value, last, now - at):
                self._last[key] = (value, now)
                passed[key] = value
            else:
                withheld.append(Withheld(key, value, last))
        return passed, tuple(withheld)

    @staticmethod
    def _is_believable(value: float, last: float | None, elapsed: float) -> bool:
        if not 0 <= value <= MOST_ENERGY:
            return False
        if last is None:
            return True
        return last <= value <= last + ALLOWANCE + MOST_POWER * max(0.0, elapsed) / 3600
