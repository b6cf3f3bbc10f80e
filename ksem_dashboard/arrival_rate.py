"""How often something comes, over the last seconds [core]."""

from collections import deque
from typing import Final

_MOST: Final = 64


class ArrivalRate:
    """Times in seconds of one clock."""

    __slots__ = ("_seen", "_window")

    def __init__(self, window: float = 3.0) -> None:
        self._window = window
        self._seen: deque[float] = deque(maxlen=_MOST)

    def happened(self, now: float) -> None:
        """One more."""
        self._seen.append(now)

    def per_s(self, now: float) -> float:
        """A second, lately. What has stopped sinks to nothing."""
        recent = [at for at in self._seen if at > now - self._window]
        if len(recent) < 2:
            return 0.0
        mean = (recent[-1] - recent[0]) / (len(recent) - 1)
        return (len(recent) - 1) / max(recent[-1] - recent[0], now - recent[0] - mean, 0.001)
