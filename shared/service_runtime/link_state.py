"""How one link of a service is, since when and why, as health messages tell it [core]."""

from ksem_contract.link_health import LinkCondition, LinkHealth


class LinkState:
    """Starts as `waiting`; `changes` counts the changes of state, not of the reason."""

    def __init__(self, why: str, now: float, wall: str) -> None:
        """`now` in seconds of CLOCK_BOOTTIME; `wall` is the wall clock for display."""
        self.state: LinkCondition = "waiting"
        self.why = why
        self.since = wall
        self.since_boot = now
        self.changes = 0

    def update(self, state: LinkCondition, why: str, now: float, wall: str) -> bool:
        """Tell what is so now; True where the state or the reason has changed."""
        if (state, why) == (self.state, self.why):
            return False
        self.why = why
        if state != self.state:
            self.state, self.since, self.since_boot = state, wall, now
            self.changes += 1
        return True

    def seconds(self, now: float) -> float:
        """How long it has been in this state."""
        return now - self.since_boot

    @property
    def health(self) -> LinkHealth:
        return LinkHealth(state=self.state, since=self.since, why=self.why, changes=self.changes)
