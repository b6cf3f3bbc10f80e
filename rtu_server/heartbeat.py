"""Tells whether this process stood still: bytes found after that may be of any age."""

import threading
import time
from typing import Final

from service_runtime.clock import boottime

BEAT: Final = 0.025
STALL: Final = 0.1
"""Seconds without a beat that count as standing still; an answer later than this would be taken for the next one's."""


class Heartbeat:
    """A thread of its own that notes the time, and when it last had to notice a gap."""

    def __init__(self) -> None:
        self._last = boottime()
        self._stalled = -1.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._last = boottime()
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(1.0)

    def stalled_since(self, since: float, now: float) -> bool:
        """Tell whether the process stood still for over `STALL` at any time from `since` to `now`."""
        return now - self._last > STALL or self._stalled >= since

    def _beat(self) -> None:
        while not self._stop.is_set():
            now = boottime()
            if now - self._last > STALL:
                self._stalled = now
            self._last = now
            time.sleep(BEAT)
