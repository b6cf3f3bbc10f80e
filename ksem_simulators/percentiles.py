"""Computes medians and tails of many measured times, in bounded memory [core]."""

from array import array
from typing import Final

_KEPT: Final = 20_000
"""Sorting them for a summary takes some milliseconds."""


class Samples:
    """The newest 20 000 samples, and the count and the largest of all."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._values = array("d")
        self._kept = kept
        self.count = 0
        self.largest: float | None = None

    def add(self, value: float) -> None:
        """Counts one sample."""
        if len(self._values) < self._kept:
            self._values.append(value)
        else:
            self._values[self.count % self._kept] = value
        self.count += 1
        if self.largest is None or value > self.largest:
            self.largest = value

    def summary(self, factor: float = 1.0) -> dict[str, float | int | None]:
        """`{"count","p50","p90","p99","max"}`, times `factor` (1000 makes ms of s); None: no sample."""
        ordered = sorted(self._values)
        return {
            "count": self.count,
            "p50": _at(ordered, 0.5, factor),
            "p90": _at(ordered, 0.9, factor),
            "p99": _at(ordered, 0.99, factor),
            "max": None if self.largest is None else round(self.largest * factor, 4),
        }


def _at(ordered: list[float], share: float, factor: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * factor, 4)
