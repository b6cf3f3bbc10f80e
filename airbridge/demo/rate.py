"""How often something happens, over the last seconds [core]."""

from collections import deque
from typing import Final

WINDOW: Final = 3.0


class Rate:
    """Counts single happenings, or follows a counter that somebody else keeps. Times in seconds of one clock."""

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._seen: deque[tuple[float, int]] = deque()
        self._total = 0
        self._begin: float | None = None

    def happened(self, now: float) -> None:
        """One more."""
        self._total += 1
        self.counted(self._total, now)

    def counted(self, total: int, now: float) -> None:
        """The counter stands at `total`. One that fell has begun anew."""
        if self._begin is None:
            self._begin = now
        if self._seen and total < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, total))
        self._drop(now)

    def per_s(self, now: float) -> float:
        """A second, lately."""
        self._drop(now)
        if len(self._seen) < 2:
            return 0.0
        first, last = self._seen[0], self._seen[-1]
        # Up to now, not up to the last one: what has stopped sinks to nothing.
        elapsed = max(last[0] - first[0], now - first[0] - (last[0] - first[0]) / (len(self._seen) - 1))
        return (last[1] - first[1]) / elapsed if elapsed > 0 else 0.0

    def _drop(self, now: float) -> None:
        while self._seen and self._seen[0][0] < now - self._window:
            self._seen.popleft()
