"""Tells whether this process stood still: bytes found after that may be of any age."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from service_runtime.clock import boottime

BEAT: Final = 0.04
"""Seconds between beats. Whatever stands still for over `STALL` is noticed with any beat below it; a third fewer
wake-ups than with 25 ms are a tenth of what the service costs at rest."""
STALL: Final = 0.1
"""Seconds without a beat that count as standing still; an answer later than this would be taken for the next one's."""

log = logging.getLogger(__name__)


class Heartbeat:
    """A thread of its own that notes the time, when it last had to notice a gap, and looks after the lines."""

    def __init__(self) -> None:
        self._last = boottime()
        self._gap = (0.0, 0.0)
        self._stop = threading.Event()
        self._after_beat: list[Callable[[bool], None]] = []
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._last = boottime()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(1.0)

    def after_beat(self, call: Callable[[bool], None]) -> None:
        """Call this after each beat, with True if the process had stood still before it."""
        self._after_beat.append(call)

    def stalled_between(self, since: float, now: float) -> bool:
        """Tell whether the process stood still for over `STALL` in one piece from `since` to `now`."""
        began, ended = self._gap
        return now - max(self._last, since) > STALL or min(ended, now) - max(began, since) > STALL

    def _beat(self) -> None:
        while not self._stop.is_set():
            now = boottime()
            stalled = now - self._last > STALL
            if stalled:
                self._gap = (self._last, now)
            self._last = now
            for call in self._after_beat:
                try:
                    call(stalled)
                except Exception:
                    log.exception("after a heartbeat")
            time.sleep(BEAT)
