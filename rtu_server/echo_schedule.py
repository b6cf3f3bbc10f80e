"""When to ask a publisher for its clock, and which answers count."""

from typing import Final

from ksem_contract.echo import PING_EVERY, PING_SELDOM

HURRY: Final = 0.25
"""Seconds between pings while blocks wait for an echo: the first one may have come before the publisher listened."""
ANSWERED_WITHIN: Final = 30.0
"""A pong later than this is of no use: its bound is looser than the ones that came since."""
MAX_OPEN: Final = 16


class EchoSchedule:
    """Pings of one node to one meter's publisher. Times in seconds of CLOCK_BOOTTIME."""

    def __init__(self) -> None:
        self._sent: dict[str, float] = {}
        self._every = PING_EVERY
        self._last = -PING_EVERY
        self._hurry_until = 0.0

    def want(self, now: float) -> None:
        """Ask soon, and again in short steps for a while: something waits for an answer."""
        self._hurry_until = now + 1.0

    def due(self, now: float) -> bool:
        """Tell whether a ping should be sent now."""
        return now - self._last >= (HURRY if now < self._hurry_until else self._every)

    def pace(self, every_ms: int | None) -> None:
        """Ask as seldom as the publisher wishes, which hears many nodes (None: it has no wish)."""
        self._every = min(max(PING_EVERY, (every_ms or 0) / 1000), PING_SELDOM)

    def sent(self, nonce: str, now: float) -> None:
        """Note a ping that was handed to the broker at `now`."""
        self._last = now
        self._sent[nonce] = now
        while len(self._sent) > MAX_OPEN:
            del self._sent[next(iter(self._sent))]

    def answered(self, nonce: str, now: float) -> float | None:
        """Return when the ping with this nonce was sent; None if it was none of ours, or long ago.

        It stays open: where two publishers run for one meter, both answer.
        """
        sent = self._sent.get(nonce)
        return sent if sent is not None and now - sent <= ANSWERED_WITHIN else None
