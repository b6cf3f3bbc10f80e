"""When to ask a publisher for its clock, and which answers count."""

from dataclasses import dataclass
from math import inf
from typing import Final

from ksem_contract.echo import PING_EVERY, PING_SELDOM

HURRY: Final = 0.25
"""Seconds between pings at least, and to the second one while blocks wait for an echo: the first one may have come
before the publisher listened. Each further one waits twice as long, for a session that answers none never will."""
RETURNED: Final = 2.0
"""A session whose blocks come again after so many seconds without one may answer now: it is pinged as a new one is."""
FORGOTTEN_AFTER: Final = 30.0
"""Seconds without a block after which a session is no reason to ping."""
MAX_WAITING: Final = 4
ANSWERED_WITHIN: Final = 30.0
"""A pong later than this is of no use: its bound is looser than the ones that came since."""
MAX_OPEN: Final = 16
DOUBT: Final = 1.0
"""Seconds between pings while blocks are too old as they arrive: the publisher's clock may have stood still."""
MAX_COUNTED: Final = 16
_ANY: Final = ""
"""Stands for whatever session there is, after the link came up."""


@dataclass(slots=True)
class _Wait:
    """A session that has answered no ping yet."""

    due: float
    step: float
    wanted: float


class EchoSchedule:
    """Pings of one node to one meter's publisher. Times in seconds of CLOCK_BOOTTIME."""

    def __init__(self) -> None:
        self._sent: dict[str, float] = {}
        self._every = PING_EVERY
        self._last = -PING_EVERY
        self._waiting: dict[str, _Wait] = {}
        self._doubted = False
        self._counted: dict[str, float] = {}
        """When the ping was sent whose pong counted last, by session."""

    def on_link_up(self, now: float) -> None:
        """Ping at once, and again until one is answered."""
        self._waiting.clear()
        self.want(_ANY, now)

    def want(self, session: str, now: float) -> None:
        """A block of this session waits for an echo: ping now, then ever more seldom until it answers."""
        waiting = self._waiting
        for known in [known for known, wait in waiting.items() if now - wait.wanted > FORGOTTEN_AFTER]:
            del waiting[known]
        if session in waiting and now - waiting[session].wanted <= RETURNED:
            waiting[session].wanted = now
            return
        waiting.pop(_ANY, None)
        if session in waiting or len(waiting) < MAX_WAITING:  # else the pings for the others do for it, too
            waiting[session] = _Wait(due=now, step=HURRY, wanted=now)

    def doubt(self) -> None:
        """A block was too old as it arrived: its way was long, or the publisher's clock is not what it was."""
        self._doubted = True

    def void(self) -> None:
        """A clock was disproved: no pong to a ping of before counts."""
        self._sent.clear()

    def dated(self, session: str) -> None:
        """This session has answered."""
        self._waiting.pop(session, None)
        self._waiting.pop(_ANY, None)

    def due(self, now: float) -> bool:
        """Tell whether a ping should be sent now."""
        hurried = min((wait.due for wait in self._waiting.values()), default=now + 1)
        since = now - self._last
        return since >= self._every or (now >= hurried and since >= HURRY) or (self._doubted and since >= DOUBT)

    def pace(self, every_ms: int | None) -> None:
        """Ask as seldom as the publisher wishes, which hears many nodes (None: it has no wish)."""
        self._every = min(max(PING_EVERY, (every_ms or 0) / 1000), PING_SELDOM)

    def sent(self, nonce: str, now: float) -> None:
        """Note a ping that was handed to the broker at `now`."""
        self._last = now
        self._doubted = False
        for wait in self._waiting.values():
            if now >= wait.due:
                wait.due, wait.step = now + wait.step, min(2 * wait.step, PING_EVERY)
        self._sent[nonce] = now
        while len(self._sent) > MAX_OPEN:
            del self._sent[next(iter(self._sent))]

    def answered(self, nonce: str, session: str, now: float) -> float | None:
        """Return when the ping with this nonce was sent; None if this pong does not count.

        It counts if the ping was ours, lately, and newer than the last one that this session answered: a pong that was
        overtaken by a newer one, or comes twice, may be of before a pause. The ping stays open for other sessions:
        where two publishers run for one meter, both answer.
        """
        sent = self._sent.get(nonce)
        if sent is None or now - sent > ANSWERED_WITHIN or sent <= self._counted.get(session, -inf):
            return None
        self._counted.pop(session, None)
        self._counted[session] = sent
        while len(self._counted) > MAX_COUNTED:
            del self._counted[next(iter(self._counted))]
        return sent
