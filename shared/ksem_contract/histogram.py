"""Durations counted by fixed bounds, the way Prometheus counts them."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

from ksem_contract.declared import Declared
from ksem_contract.errors import InvalidMessage
from ksem_contract.fields import Fields

TURNAROUND_BOUNDS_MS: Final = (0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""An answer on the line begins after some 2 ms, one at a door after less than 1 ms."""
AGE_BOUNDS_MS: Final = (50.0, 100.0, 150.0, 200.0, 250.0, 300.0, 400.0, 500.0, 750.0, 1000.0, 1500.0, 2500.0)
"""A measuring cycle takes 200 or 500 ms; live data is refused from 1.5 s on by default."""
MAX_BOUNDS: Final = 64


@dataclass(frozen=True, slots=True)
class Histogram(Declared):
    """How many durations were at most so long, since the service's start. Bounds and sum in ms.

        {"le":[1,2,5],"counts":[3,40,41,41],"sum":71.5}

    A reader takes the bounds from the message: another version may have others.
    """

    le: tuple[float, ...]
    """Bounds, ascending; a duration that equals one counts there."""
    counts: tuple[int, ...]
    """Durations up to each bound, and at the end all of them: one more than there are bounds, never descending."""
    sum: float

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """From a message. Raises InvalidMessage also where bounds and counts don't go together."""
        found = super(Histogram, cls).from_json(fields)
        if not 0 < len(found.le) <= MAX_BOUNDS or len(found.counts) != len(found.le) + 1:
            raise InvalidMessage(f"a histogram of {len(found.le)} bounds has {len(found.counts)} counts")
        descends = any(low >= high for low, high in pairwise(found.le))
        if descends or any(low > high for low, high in pairwise(found.counts)):
            raise InvalidMessage("a histogram's bounds or counts descend")
        return found
