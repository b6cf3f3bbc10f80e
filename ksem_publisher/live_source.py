"""Who carries `live` now: the push, or polling."""

from ksem_publisher.push_rhythm import AWAY_PERIODS, AWAY_SECONDS, is_off_pace

SLOWEST_PUSH = 0.55
"""Seconds. A meter measures every 200 or 500 ms; pushes further apart are a chosen interval, polling is newer."""
HALF_SECOND = 0.45
"""Seconds from which a slow push is the menu's half second, which counts as fast enough. A pace between this and the
meter's own is nothing that a meter should have."""
POLL_GAP = 1.0
"""Seconds without polled data after which a slow push is better than nothing."""


class LiveSource:
    """Push supervision. Times are CLOCK_BOOTTIME seconds."""

    def __init__(self, *, push: bool) -> None:
        self._push = push
        self._period = 0.0
        self._off_pace = False
        self._last_push = self._last_poll = self._newest = float("-inf")
        self.cycles = 0
        """Whole cycles pushed so far."""

    def push_carries(self, now: float) -> bool:
        """True while whole cycles arrive often enough."""
        fast = 0 < self._period <= SLOWEST_PUSH and not self._off_pace
        return self._push and fast and now <= self._away_at()

    def poll_wanted(self, now: float) -> bool:
        """True while `live` must be polled."""
        return not self.push_carries(now)

    def next_change(self, now: float) -> float | None:
        """When the push will be away if no further cycle comes; None if it is."""
        return self._away_at() if self.push_carries(now) else None

    def take_push(self, period: float, measured: float, now: float, interval: float | None = None) -> bool:
        """A whole cycle was pushed. True if it is to be published. The meter measures each `interval` seconds."""
        self.cycles += 1
        self._period = period
        self._off_pace = period < HALF_SECOND and is_off_pace(period, interval)
        self._last_push = now
        useful = self.push_carries(now) or now - self._last_poll > POLL_GAP
        return useful and self._is_newer(measured)

    def take_poll(self, measured: float, now: float) -> bool:
        """`live` was polled. True if it is to be published."""
        self._last_poll = now
        return not self.push_carries(now) and self._is_newer(measured)

    def drop_push(self) -> None:
        """Nothing that was pushed counts any more."""
        self._last_push = float("-inf")

    def _is_newer(self, measured: float) -> bool:
        if measured < self._newest:
            return False
        self._newest = measured
        return True

    def _away_at(self) -> float:
        return self._last_push + min(AWAY_PERIODS * self._period, AWAY_SECONDS)
