"""How long to wait before the next attempt [core]."""

import attrs


@attrs.frozen
class Backoff:
    """A delay between `low` and `high` seconds, drawn anew each time and never doubled.

    A house has two clients and its broker is back when it is back: waiting longer each time would only make the
    outage longer. The spread keeps clients from knocking in step.
    """

    low: float = 0.5
    high: float = 1.0

    def delay(self, chance: float) -> float:
        """Seconds to wait; `chance` is a random number from 0 to 1."""
        return self.low + (self.high - self.low) * chance


class QuickEnds:
    """Notices connections that the other side ends soon after each start, one after the other.

    MQTT 3.1.1 has no word for "another client took your client id", and mosquitto 2.0.11 does not say it in MQTT 5: the
    broker just closes. Two instances with one client id then throw each other out about once a second.
    """

    def __init__(self, *, quick: float = 3.0, limit: int = 3) -> None:
        self._quick = quick
        self._limit = limit
        self._ends = 0

    def ended(self, lasted: float, *, closed_by_peer: bool) -> bool:
        """Tell of a connection's end, `lasted` seconds after it was up; True where it was one too many.

        An attempt that failed is told as one that lasted for ever: a broker that restarts refuses connections between.
        """
        self._ends = self._ends + 1 if closed_by_peer and lasted < self._quick else 0
        if self._ends < self._limit:
            return False
        self._ends = 0
        return True
