"""What the judge says of an answer."""

from dataclasses import dataclass
from typing import Literal

VerdictKind = Literal["good", "wrong", "torn"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`good`: the meter said exactly these words; `torn`: it said each of them at its place, but never together;
    `wrong`: it never said them.
    """

    kind: VerdictKind
    why: str
    """What is wrong, naming the registers; empty when good."""
    age: float | None = None
    """Seconds since the meter last said the words, of the word said longest ago; None unless good."""
    cycle: int | None = None
    """The measuring cycle (of the oldest word); None unless good."""
    measured_age: float | None = None
    """Seconds since the values were measured: more than `age` on a frozen meter; None unless good."""
