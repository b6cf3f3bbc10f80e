"""What an answer is worth [core]: exactly one outcome for each request."""

from dataclasses import dataclass
from typing import Final

from ksem_simulators.plenticore.answer import Answer
from ksem_simulators.truth import Verdict

GOOD: Final = "good"
UNJUDGED: Final = "data"
"""Well-formed data, but nobody knows what the meter said (a real one)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`name` is good, wrong, torn, stale, late, foreign, broken, timeout, exception-N or data (unjudged)."""

    name: str
    why: str = ""


def judge_outcome(
    answer: Answer, turnaround: float | None, timeout: float, verdict: Verdict | None, limit: float | None
) -> Outcome:
    """`turnaround`: seconds from the request's end to the answer's begin, None when unknown; less than nothing means
    that the answer was under way before the request was whole, so it can't be meant for it. `limit`: seconds that the
    meter's words may be old; None for any age.
    """
    if answer.kind == "nothing":
        return Outcome("timeout", f"nothing within {timeout:g} s")
    if turnaround is not None and turnaround < 0:
        return Outcome("late", f"began {-1000 * turnaround:.1f} ms before the request's end: of an earlier request")
    if turnaround is not None and turnaround > timeout:
        return Outcome("late", f"began {1000 * turnaround:.1f} ms after the request, the client waits {timeout:g} s")
    if answer.kind == "other-request":
        return Outcome("late", f"{answer.why}: the answer to another request")
    if answer.kind == "exception":
        return Outcome(f"exception-{answer.code}")
    if answer.kind != "data":
        return Outcome(answer.kind, answer.why)
    if verdict is None:
        return Outcome(UNJUDGED)
    if verdict.kind != "good":
        return Outcome(verdict.kind, verdict.why)
    if limit is not None and verdict.age is not None and verdict.age > limit:
        return Outcome("stale", f"said by the meter {verdict.age:.3f} s ago (cycle {verdict.cycle}), limit {limit:g} s")
    return Outcome(GOOD)
