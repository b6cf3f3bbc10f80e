"""How old a block is on another host, without a common clock: when to ping, and which pongs count [core].

The publisher stamps blocks with its CLOCK_BOOTTIME. An echo shows what that clock read at some moment between the
ping's sending and the pong's arrival here; taking the earliest of these moments, the sending, makes every age at least
the true one, and too great by at most the echo's round trip. The clocks may run apart by 1000 ppm in relation to one
another, which is allowed for over the time between echo and block, however long that is: each within the 500 ppm that
Linux can correct at all (MAXFREQ of <linux/timex.h>), so an oscillator beyond that never keeps time. Both sides are
expected to count without what a time service slews (`service_runtime.clock`); 10 s cost a block 10 ms.

Rounding to whole milliseconds stays on the same side: a publisher uses `block_stamp` and `pong_stamp`.
"""

import math
from dataclasses import dataclass
from math import inf
from typing import Final

DRIFT: Final = 1000e-6
"""How much faster or slower one clock may run than the other."""

_SLOWEST: Final = 1 - DRIFT
_SLACK: Final = 0.001  # s, a block may seem to come from the future by this: the rounding of a foreign publisher


def block_stamp(now: float, measured: float) -> tuple[int, int]:
    """`boot_ms` and `age_ms` of a block published at `now` whose oldest word was measured at `measured` (seconds).

    Their difference is the moment of measuring rounded down, so the block never looks younger than it is.
    """
    boot_ms = math.floor(now * 1000)
    return boot_ms, max(0, boot_ms - math.floor(measured * 1000))


def pong_stamp(now: float) -> int:
    """`boot_ms` of a pong sent at `now` (seconds): rounded up, so that no block looks younger than it is."""
    return math.ceil(now * 1000)


@dataclass(frozen=True, slots=True)
class _Echo:
    sent: float
    boot: float

    @property
    def lead(self) -> float:
        """Of two echoes the one that leads gives the later, so the tighter, bound for all that comes after both."""
        return self.sent - self.boot * _SLOWEST

    @property
    def trail(self) -> float:
        """Of two echoes, seen as moments of receiving, the one that trails gives the earlier, so the tighter, bound."""
        return self.sent - self.boot / _SLOWEST

    def latest(self, boot: float) -> float:
        """The latest local time at which the other clock can have shown `boot`; `sent` is when the pong came."""
        since = boot - self.boot
        return self.sent + (since / _SLOWEST if since >= 0 else since * _SLOWEST)

    def earliest(self, boot: float) -> float:
        """The earliest local time at which the other clock can have shown `boot`, all in seconds."""
        since = boot - self.boot
        return self.sent + (since * _SLOWEST if since >= 0 else since / _SLOWEST)


class EchoClock:
    """The clock of one session of a publisher, as far as echoes show it. Times are local CLOCK_BOOTTIME seconds."""

    __slots__ = ("_best", "_trailing", "_uncertainty", "last_round_trip")

    def __init__(self) -> None:
        self._best: _Echo | None = None
        self._trailing: _Echo | None = None
        """The echo that best bounds how late the clock can have shown anything: when it was received."""
        self._uncertainty = math.inf
        self.last_round_trip: float | None = None
        """How long the newest echo took, in seconds."""

    def add_echo(self, sent: float, received: float, boot_ms: int) -> bool:
        """Add an echo: ping sent, pong received, and the clock in the pong.

        False if it contradicts the earlier ones, by more than clocks drift: then these are forgotten, and the caller
        dates again what they dated (`expires_at`). ValueError if it was received before it was sent.
        """
        if received < sent:
            raise ValueError(f"pong received at {received}, before its ping was sent at {sent}")
        echo, trailing = _Echo(sent, boot_ms / 1000), _Echo(received, boot_ms / 1000)
        self.last_round_trip = received - sent
        agrees = self._agrees(echo, trailing)
        if not agrees:
            self._best = self._trailing = None
            self._uncertainty = math.inf
        if self._trailing is None or trailing.trail <= self._trailing.trail:
            self._trailing = trailing
        # All bounds widen at the same rate, so the best of two stays the best: one is all there is to keep.
        if self._best is None or echo.lead >= self._best.lead:
            self._best = echo
        self._uncertainty = min(self._uncertainty, received - sent - 2 * DRIFT * sent)
        return agrees

    def _agrees(self, echo: _Echo, trailing: _Echo) -> bool:
        """Whether the clock can have shown what this echo shows: one that had stopped shows too early a time."""
        if self._best is None or self._trailing is None:
            return True
        # The pong's clock was rounded up by less than 1 ms: it may have been read when it showed 1 ms less.
        too_soon = self._best.earliest(echo.boot - 0.001) > trailing.sent + _SLACK
        too_late = self._trailing.latest(echo.boot + 0.001) < echo.sent - _SLACK
        return not (too_soon or too_late)

    def earliest_local(self, boot_ms: int, now: float) -> float | None:
        """The earliest local time at which the publisher's clock can have shown `boot_ms`.

        None without an echo, and if that time lies in the future: then `is_disproved` is true as well.
        """
        if self._best is None:
            return None
        earliest = self._best.earliest(boot_ms / 1000)
        return earliest if earliest <= now + _SLACK else None

    def is_disproved(self, boot_ms: int, now: float) -> bool:
        """Whether a message stamped `boot_ms`, held in hand at `now`, could only come from the future.

        Then the other clock is not the one that the echoes showed: start with a new EchoClock, and ping.
        """
        return self._best is not None and self._best.earliest(boot_ms / 1000) > now + _SLACK

    def age_of(self, boot_ms: int, age_ms: int, now: float) -> float | None:
        """Age in seconds of the oldest register of a block with these stamps; None if it is unknown.

        Never under the true age; over it by at most `round_trip(now)` and 2 ms of rounding.
        """
        if self._best is None or self.is_disproved(boot_ms, now):
            return None
        return max(0.0, now - self._best.earliest((boot_ms - age_ms) / 1000))

    def expires_at(self, boot_ms: int, age_ms: int, limit: float, now: float) -> float:
        """Local time from which on the block is older than `limit` seconds; -inf if its age is unknown.

        It does not move until the next echo: a block's moment is fixed here, and only the local clock counts from then
        on. So a reader computes it once and compares.
        """
        if self._best is None or self.is_disproved(boot_ms, now):
            return -math.inf
        return self._best.earliest((boot_ms - age_ms) / 1000) + limit

    def offset(self, now: float) -> tuple[float, float] | None:
        """Return what to add to the publisher's clock to get the local one, and how far that may be off, in seconds.

        None without an echo. Two clocks that agree within their uncertainty are one: both services run on one host.
        """
        if self._best is None or self._trailing is None:
            return None
        boot = now - self._best.lead
        earliest, latest = self._best.earliest(boot) - boot, self._trailing.latest(boot) - boot
        middle, half = (earliest + latest) / 2, (latest - earliest) / 2
        return (0.0, 0.0) if abs(middle) <= half else (middle, half)

    def round_trip(self, now: float) -> float | None:
        """The tightest round trip so far in seconds, widened by what the clocks may have run apart since."""
        return None if self._best is None else self._uncertainty + 2 * DRIFT * now


PING_EVERY: Final = 10.0
"""Seconds between a node's pings when all is well."""
PING_SELDOM: Final = 200.0
"""The same at most, however many nodes there are: in this time two clocks may run apart by a tenth of what live data
may be old."""


HURRY: Final = 0.25
"""Seconds between pings at least, and to the second one while blocks wait for an echo: the first one may have arrived
before the publisher subscribed. Each further one waits twice as long, as a session that answers none never will."""
RETURNED: Final = 2.0
"""A session whose blocks return after so many seconds without one may answer now: it is pinged as a new one is."""
FORGOTTEN_AFTER: Final = 30.0
"""Seconds after its last block for which a session is pinged."""
MAX_WAITING: Final = 4
ANSWERED_WITHIN: Final = 30.0
"""A later pong is useless: its bound is looser than the ones that came since."""
MAX_OPEN: Final = 16
DOUBT: Final = 1.0
"""Seconds between pings while blocks are too old as they arrive: the publisher's clock may have stopped for a while."""
MAX_COUNTED: Final = 16
_ANY: Final = ""
"""Stands for any session, after the link came up."""


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
        """A block of this session waits for an echo: ping now, then ever less often until it answers."""
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
        """A block was too old as it arrived: its way was long, or the publisher's clock has changed."""
        self._doubted = True

    def void(self) -> None:
        """A clock was disproved: no pong to an earlier ping counts."""
        self._sent.clear()

    def dated(self, session: str) -> None:
        """This session has answered."""
        self._waiting.pop(session, None)
        self._waiting.pop(_ANY, None)

    def due(self, now: float) -> bool:
        """Return whether a ping should be sent now."""
        hurried = min((wait.due for wait in self._waiting.values()), default=now + 1)
        since = now - self._last
        return since >= self._every or (now >= hurried and since >= HURRY) or (self._doubted and since >= DOUBT)

    def pace(self, every_ms: int | None) -> None:
        """Ping as seldom as the publisher requests, which serves many nodes (None: it requests nothing)."""
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
        overtaken by a newer one, or comes twice, may be from before a pause. The ping stays open for other sessions:
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
