"""Ages without asking: a publisher's clock, as far as the arrival of its messages tells [core].

A reader may not ping, so it can't date blocks as an RTU server does. But of all messages of a session one came fastest;
every other one was late by at least what it took longer. So a burst after an outage looks as old as it is. Ages are
under the true ones by the fastest message's way, some milliseconds in a house: good for showing, not for serving.
"""

from typing import Final

DRIFT: Final = 1e-3
"""How much faster or slower one clock may run than the other: time services slew each by up to 500 ppm.

An outage hides as much of what comes late after it: 0.6 s after ten minutes.
"""


class ArrivalClock:
    """One session's clock. Times in seconds of the local CLOCK_BOOTTIME."""

    __slots__ = ("_at", "_offset", "heard")

    def __init__(self) -> None:
        self._offset = 0.0
        self._at = 0.0
        self.heard = 0
        """Messages that told of it. One alone may be somebody's replay."""

    def heard_at(self, boot_ms: int, received: float) -> None:
        """Take in a message that was published at `boot_ms` of the publisher's clock."""
        offset = received - boot_ms / 1000
        if self.heard:
            offset = min(offset, self._offset + DRIFT * max(0.0, received - self._at))
        self._offset, self._at = offset, received
        self.heard += 1

    def age_of(self, boot_ms: int, age_ms: int, now: float) -> float | None:
        """Age in seconds of a block with these stamps; None before there is a message to tell by."""
        if not self.heard:
            return None
        return max(0.0, now - self._offset - (boot_ms - age_ms) / 1000)
