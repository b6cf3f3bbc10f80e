"""When a change of state is worth a line in the log: once its reason is clear.

What goes wrong shows its cause a moment later (a push that lacks a group first looks like one write missing), and what
comes back within that moment was no change.
"""

from typing import Final

STILL: Final = 0.9
"""Seconds for which a reason must stand still: two beats of whoever looks while something is wrong, and no third."""
PATIENCE: Final = 2.5
"""Seconds after which it is told although it does not."""


class SettledChange:
    """Watches one state and its reason. Times are seconds of any clock."""

    def __init__(self, told: str | None, *, still: float = STILL) -> None:
        """`told`: the state that everybody takes for granted; None for none. `still`: seconds, as STILL."""
        self._still = still
        self._told = told
        self._state = told
        self._why: str | None = None
        self._told_why: str | None = None
        self._since = self._still_since = float("-inf")

    @property
    def is_logged(self) -> bool:
        """Whether state and reason are as they were told last."""
        return (self._state, self._why) == (self._told, self._told_why)

    def is_due(self, state: str, why: str, now: float, *, at_once: bool) -> bool:
        """True, once a change, when it is to be told. `at_once`: it needs no reason."""
        if state != self._state:
            self._state, self._since = state, now
            self._why = None
        if why != self._why:
            self._why, self._still_since = why, now
        if state == self._told:
            return False
        if not at_once and now - self._still_since < self._still and now - self._since < PATIENCE:
            return False
        self._told, self._told_why = state, why
        return True

    def is_clearer(self, now: float) -> bool:
        """True, once, when the state is as it was told, but for another reason, which stands still."""
        if self._state != self._told or self._why == self._told_why or now - self._still_since < self._still:
            return False
        self._told_why = self._why
        return True
