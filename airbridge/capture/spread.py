"""How a time varies, in a few figures [core]."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Least, middle and greatest of some times, and their jitter; all in the unit of the times."""

    count: int
    least: float
    median: float
    greatest: float
    jitter: float
    """Half of the span in which the middle 90 % lie: "median +- jitter" holds for 9 of 10."""


def spread(times: Iterable[float]) -> Spread | None:
    """The figures, None without any time."""
    ordered = sorted(times)
    if not ordered:
        return None
    return Spread(
        len(ordered),
        ordered[0],
        quantile(ordered, 0.5),
        ordered[-1],
        (quantile(ordered, 0.95) - quantile(ordered, 0.05)) / 2,
    )


def quantile(ordered: list[float], share: float) -> float:
    """The value below which `share` of the ordered values lie, interpolated."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
