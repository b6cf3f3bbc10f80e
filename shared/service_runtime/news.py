"""Decides what is news for a log and for health [core].

New lines are logged at once; repeated ones are counted and logged in one summary a minute. A change of state is logged
once its reason is clear: a fault shows its cause a moment later (a push that lacks a group first looks like one write
missing), and what comes back within that moment was no change. A link's state has a reason and the time since when.
"""

from typing import Final

import attrs

from ksem_contract.health import LinkCondition, LinkHealth
from ksem_contract.reasons import Reason, sentence


@attrs.define
class _Kind:
    since: float
    text: str
    logged: int = 0
    hidden: int = 0


class QuietLog:
    """Decides which lines reach the log. Methods take `now` in seconds and return the lines to log."""

    def __init__(self, *, every: float = 60.0, most_kinds: int = 50) -> None:
        self._every = every
        self._most_kinds = most_kinds
        self._kinds: dict[str, _Kind] = {}

    def line(self, kind: str, text: str, now: float, *, at_once: int = 1) -> str | None:
        """The line to log now; None where this kind was logged `at_once` times within the minute already.

        Kinds beyond the bound share one, so that memory and log stay bounded whatever arrives.
        """
        if kind not in self._kinds and len(self._kinds) >= self._most_kinds:
            self._drop_old(now)
            if len(self._kinds) >= self._most_kinds:
                kind = "..."
        known = self._kinds.setdefault(kind, _Kind(now, text))
        known.text = text
        if now - known.since >= self._every:
            if known.hidden:
                return self._summary(known, now)
            known.since, known.logged = now, 0
        if known.logged < at_once:
            known.logged += 1
            return text
        known.hidden += 1
        return None

    def settle(self, kind: str) -> None:
        """This trouble is over: its counted lines need no summary any more."""
        if kind in self._kinds:
            self._kinds[kind].hidden = 0

    def due(self, now: float) -> list[str]:
        """Summaries whose minute is over; call it now and then, so that the last lines are logged too."""
        late = [known for known in self._kinds.values() if known.hidden and now - known.since >= self._every]
        return [self._summary(known, now) for known in late]

    def _summary(self, known: _Kind, now: float) -> str:
        line = f"{known.text} ({known.hidden} times in the last {now - known.since:.0f} s)"
        known.since, known.logged, known.hidden = now, 1, 0
        return line

    def _drop_old(self, now: float) -> None:
        old = [kind for kind, known in self._kinds.items() if not known.hidden and now - known.since >= self._every]
        for kind in old:
            del self._kinds[kind]


STILL: Final = 0.9
"""Seconds for which a reason must be stable: two ticks of a service while something is wrong, and no third."""
PATIENCE: Final = 2.5
"""Seconds after which it is logged although it is not stable."""


class StableChange:
    """Watches one state and its reason. Times are seconds of any clock."""

    def __init__(self, reported: str | None, *, still: float = STILL) -> None:
        """`reported`: the state that needs no line; None for none. `still`: seconds, as STILL."""
        self._still = still
        self._reported = reported
        self._state = reported
        self._why: str | None = None
        self._reported_why: str | None = None
        self._since = self._still_since = float("-inf")

    @property
    def is_logged(self) -> bool:
        """Whether state and reason are as they were logged last."""
        return (self._state, self._why) == (self._reported, self._reported_why)

    def is_due(self, state: str, why: str, now: float, *, at_once: bool) -> bool:
        """True, once a change, when it is to be logged. `at_once`: it needs no reason."""
        if state != self._state:
            self._state, self._since = state, now
            self._why = None
        if why != self._why:
            self._why, self._still_since = why, now
        if state == self._reported:
            return False
        if not at_once and now - self._still_since < self._still and now - self._since < PATIENCE:
            return False
        self._reported, self._reported_why = state, why
        return True

    def is_clearer(self, now: float) -> bool:
        """True, once, when the state is as it was logged, but for another reason, which is stable."""
        if self._state != self._reported or self._why == self._reported_why or now - self._still_since < self._still:
            return False
        self._reported_why = self._why
        return True


class LinkState:
    """Starts as `waiting`; `changes` counts the changes of state, not of the reason."""

    def __init__(self, reason: Reason, now: float, wall: str) -> None:
        """`now` in seconds of CLOCK_BOOTTIME; `wall` is the wall clock for display."""
        self.state: LinkCondition = "waiting"
        self.reasons: tuple[Reason, ...] = (reason,)
        self.since = wall
        self.since_boot = now
        self.changes = 0

    @property
    def why(self) -> str:
        """The sentences of the reasons."""
        return sentence(self.reasons)

    def update(self, state: LinkCondition, reasons: tuple[Reason, ...], now: float, wall: str) -> bool:
        """Set the present state; True where the state or a reason has changed."""
        if (state, reasons) == (self.state, self.reasons):
            return False
        self.reasons = reasons
        if state != self.state:
            self.state, self.since, self.since_boot = state, wall, now
            self.changes += 1
        return True

    def seconds(self, now: float) -> float:
        """How long it has been in this state."""
        return now - self.since_boot

    @property
    def health(self) -> LinkHealth:
        return LinkHealth(self.state, self.since, self.why, self.changes, self.reasons)
