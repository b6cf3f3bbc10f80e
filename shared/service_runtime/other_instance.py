"""Notices another instance of a service by the status topic that both of them publish on [core]."""

import threading
from collections import deque
from typing import Final

BACK_WITHIN: Final = 5.0
"""Seconds within which the broker returns what we published; another client published what comes later."""
ENOUGH: Final = 3
WITHIN: Final = 120.0
"""So many messages of others, within so many seconds of one connection, are another instance. One alone is a late last
will of a process that died; a restart of the broker ends the connection, and the count."""
APART: Final = 20.0
"""Seconds between two that repeat what we publish ourselves, to count: a bridge to another broker repeats it whenever
that broker returns, an instance that agrees with us does so every 30 s."""
REMEMBERED: Final = 60.0


class OtherInstance:
    """Distinguishes our own messages on one topic from those of others; any thread may call it.

    Times in seconds of CLOCK_BOOTTIME.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._own: deque[tuple[bytes, float]] = deque(maxlen=32)
        """Published and not returned yet."""
        self._others: deque[float] = deque(maxlen=ENOUGH)
        self._noticed = float("-inf")

    def on_connected(self) -> None:
        """Start over: messages published on an earlier connection do not return."""
        with self._lock:
            self._own.clear()
            self._others.clear()

    def publishing(self, payload: bytes, now: float) -> None:
        """Note what is handed to the link next, before it can return."""
        with self._lock:
            self._own.append((payload, now))

    def received(self, payload: bytes, own: bytes, now: float, *, retained: bool) -> None:
        """Note a message on the topic; `own` is what we publish. A retained message does not show who runs now."""
        with self._lock:
            if retained or self._is_back(payload, now):
                return
            if payload == own and self._others and now - self._others[-1] < APART:
                return
            self._others.append(now)
            if len(self._others) == ENOUGH and now - self._others[0] <= WITHIN:
                self._noticed = now

    def seen(self, now: float) -> bool:
        """Whether another instance runs, as far as messages of the last minute show."""
        return now - self._noticed <= REMEMBERED

    def _is_back(self, payload: bytes, now: float) -> bool:
        while self._own and now - self._own[0][1] > BACK_WITHIN:
            self._own.popleft()
        for noted in self._own:
            if noted[0] == payload:
                self._own.remove(noted)
                return True
        return False
