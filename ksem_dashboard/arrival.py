"""Estimates a publisher's clock and pace from the arrival of its messages, without pings [core].

A reader may not ping, so it can't date blocks as an RTU server does. But of all messages of a session one came fastest;
every other one was late by at least what it took longer. So a burst after an outage looks as old as it is. Ages are
under the true ones by the fastest message's way, some milliseconds in a house: good for showing, not for serving.
"""

from collections import deque
from typing import Final

DRIFT: Final = 1e-3
"""How much faster or slower one clock may run than the other: time services slew each by up to 500 ppm.

An outage hides as much of what comes late after it: 0.6 s after ten minutes.
"""


class ArrivalClock:
    """One session's clock. Times in seconds of the local CLOCK_BOOTTIME."""

    __slots__ = ("_at", "_offset", "received")

    def __init__(self) -> None:
        self._offset = 0.0
        self._at = 0.0
        self.received = 0
        """Messages of this session. One alone may be an attacker's replay."""

    def received_at(self, boot_ms: int, received: float) -> None:
        """Take in a message that was published at `boot_ms` of the publisher's clock."""
        offset = received - boot_ms / 1000
        if self.received:
            offset = min(offset, self._offset + DRIFT * max(0.0, received - self._at))
        self._offset, self._at = offset, received
        self.received += 1

    def age_of(self, boot_ms: int, age_ms: int, now: float) -> float | None:
        """Age in seconds of a block with these stamps; None before the first message."""
        if not self.received:
            return None
        return max(0.0, now - self._offset - (boot_ms - age_ms) / 1000)


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
