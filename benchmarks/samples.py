"""Computes percentiles of pooled samples, and ratios of them [core]."""

from collections.abc import Sequence
from math import ceil
from typing import Final

SHARES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def percentile(samples: Sequence[float], share: float) -> float | None:
    """The smallest sample that at least this share of all does not exceed; None where there are none."""
    if not samples:
        return None
    return sorted(samples)[max(0, ceil(share * len(samples)) - 1)]


def summary(samples: Sequence[float], factor: float = 1000.0) -> dict[str, float | int | None]:
    """Count, p50, p90, p99 and max; seconds become ms."""
    figures: dict[str, float | int | None] = {"count": len(samples)}
    for name, share in SHARES.items():
        value = percentile(samples, share)
        figures[name] = None if value is None else round(factor * value, 4)
    figures["max"] = round(factor * max(samples), 4) if samples else None
    return figures


def median(samples: Sequence[float]) -> float:
    """The median; samples must not be empty."""
    ordered = sorted(samples)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
