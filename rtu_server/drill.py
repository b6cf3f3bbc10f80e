"""Withholds data from the inverter on purpose, for a while [core].

`airbridge drill` sends SIGUSR2 ten times a second, and each signal holds for a second only: if the tool, its terminal
or this service dies, data flows again at once. Only root and this service's user may send the signal. It stands apart
from the replies that it withholds: nothing that answers in normal service depends on a drill.
"""

from typing import Final

from ksem_contract.registers import RegisterRange
from rtu_server.reply_cache import Refused, Reply
from rtu_server.responder import ReplySource

HOLD: Final = 1.0
"""Seconds that one signal withholds data for: longer than a busy host keeps the tool from its next signal."""
MOST: Final = 30.0
"""Seconds that a drill lasts at most."""
REST: Final = 5.0
"""Seconds without a signal before another drill may begin."""


class Drill:
    """Whether data is withheld. Times in seconds of CLOCK_BOOTTIME; any thread may call it."""

    def __init__(self) -> None:
        self._begun = self._last = self._until = float("-inf")

    def extend(self, now: float) -> None:
        """A signal came."""
        if now - self._last > REST:
            self._begun = now
        self._last = now
        self._until = min(now + HOLD, self._begun + MOST)

    def is_on(self, now: float) -> bool:
        """Whether the inverter gets no data now."""
        return now < self._until


class WithheldReplies:
    """Replies of `cache`, none while a drill is on: every range is stale then, as if the meter were gone."""

    def __init__(self, cache: ReplySource, drill: Drill) -> None:
        self._source = cache
        self._drill = drill

    def ready(self, request: bytes, now: float) -> Reply | None:
        """As `ReplySource.ready`."""
        return None if self._drill.is_on(now) else self._source.ready(request, now)

    def find(self, request: bytes, unit: int, wanted: RegisterRange, now: float) -> Reply | Refused:
        """As `ReplySource.find`."""
        return Refused.STALE if self._drill.is_on(now) else self._source.find(request, unit, wanted, now)

    def doubt(self, now: float) -> None:
        """As `ReplySource.doubt`."""
        self._source.doubt(now)
