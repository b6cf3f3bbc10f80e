"""How old a block is, seen from another host, with no common clock.

The publisher stamps blocks with its CLOCK_BOOTTIME. An echo tells what that clock showed at some moment between the
ping's sending and the pong's arrival here; taking the earliest of these moments, the sending, makes every age at least
the true one, and too great by at most the echo's round trip. The clocks may run apart by 1000 ppm in relation to one
another, which is allowed for over the time between echo and block, however long that is: each within the 500 ppm that
Linux can correct at all (MAXFREQ of <linux/timex.h>), so an oscillator beyond that never keeps time. Both sides are
expected to count without what a time service slews (`service_runtime.clock`); 10 s cost a block 10 ms.

Rounding to whole milliseconds stays on the same side: `block_stamp` and `pong_stamp` are what a publisher uses.
"""

import math
from dataclasses import dataclass
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
        """Of two echoes the one that leads tells the later, so the tighter, bound for all that comes after both."""
        return self.sent - self.boot * _SLOWEST

    @property
    def trail(self) -> float:
        """Of two echoes, seen as moments of receiving, the one that trails tells the earlier, so the tighter, bound."""
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
    """The clock of one session of a publisher, as far as echoes tell. Times in seconds of the local CLOCK_BOOTTIME."""

    __slots__ = ("_best", "_trailing", "_uncertainty", "last_round_trip")

    def __init__(self) -> None:
        self._best: _Echo | None = None
        self._trailing: _Echo | None = None
        """The echo that tells best how late the clock can have shown anything: when it was received."""
        self._uncertainty = math.inf
        self.last_round_trip: float | None = None
        """How long the newest echo took, in seconds."""

    def add_echo(self, sent: float, received: float, boot_ms: int) -> bool:
        """Take in an echo: ping sent, pong received, and the clock that the pong told.

        False if it contradicts the earlier ones, by more than clocks drift: then these are forgotten, and what was
        dated by them should be dated anew (`expires_at`). ValueError if it was received before it was sent.
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
        """Whether the clock can have shown what this echo tells: one that stood still tells of too early a time."""
        if self._best is None or self._trailing is None:
            return True
        # The pong's clock was rounded up by less than 1 ms: it may have been read when it showed 1 ms less.
        too_soon = self._best.earliest(echo.boot - 0.001) > trailing.sent + _SLACK
        too_late = self._trailing.latest(echo.boot + 0.001) < echo.sent - _SLACK
        return not (too_soon or too_late)

    def earliest_local(self, boot_ms: int, now: float) -> float | None:
        """The earliest local time at which the publisher's clock can have shown `boot_ms`.

        None if no echo tells, and if that time lies in the future: then `is_disproved` is true as well.
        """
        if self._best is None:
            return None
        earliest = self._best.earliest(boot_ms / 1000)
        return earliest if earliest <= now + _SLACK else None

    def is_disproved(self, boot_ms: int, now: float) -> bool:
        """Whether a message stamped `boot_ms`, held in hand at `now`, could only come from the future.

        Then the other clock is not the one that the echoes told of: start with a new EchoClock, and ping.
        """
        return self._best is not None and self._best.earliest(boot_ms / 1000) > now + _SLACK

    def age_of(self, boot_ms: int, age_ms: int, now: float) -> float | None:
        """Age in seconds of the oldest word of a block with these stamps; None if it can't be told.

        Never under the true age; over it by at most `round_trip(now)` and 2 ms of rounding.
        """
        if self._best is None or self.is_disproved(boot_ms, now):
            return None
        return max(0.0, now - self._best.earliest((boot_ms - age_ms) / 1000))

    def expires_at(self, boot_ms: int, age_ms: int, limit: float, now: float) -> float:
        """Local time from which on the block is older than `limit` seconds; -inf if its age can't be told.

        It does not move until the next echo: a block's moment is fixed here, and only the own clock counts from then
        on. So a reader computes it once and compares.
        """
        if self._best is None or self.is_disproved(boot_ms, now):
            return -math.inf
        return self._best.earliest((boot_ms - age_ms) / 1000) + limit

    def offset(self, now: float) -> tuple[float, float] | None:
        """Return what to add to the publisher's clock to get the own one, and how far that may be off, in seconds.

        None where no echo tells. Two clocks that agree within their uncertainty are one: both services run on one host.
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
