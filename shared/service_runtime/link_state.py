"""How one link of a service is, since when and why, as health messages tell it [core]."""

from ksem_contract.link_health import LinkCondition, LinkHealth
from ksem_contract.reasons import Reason, sentence


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
        """Set what is so now; True where the state or a reason has changed."""
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
