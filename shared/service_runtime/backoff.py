"""How long to wait before the next attempt [core]."""

import attrs


@attrs.frozen
class Backoff:
    """A delay between `low` and `high` seconds, drawn again each time and never doubled.

    A house has two clients, and its broker returns at a time of its own: waiting longer each time would only make the
    outage longer. The spread keeps clients from connecting in step.
    """

    low: float = 0.5
    high: float = 1.0

    def delay(self, chance: float) -> float:
        """Seconds to wait; `chance` is a random number from 0 to 1."""
        return self.low + (self.high - self.low) * chance
