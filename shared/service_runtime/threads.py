"""A thread that the main thread watches [shell]: the main thread notices when it ends or hangs, and can restart it."""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Final

TURN_WITHIN: Final = 8.0
"""Seconds without a turn after which a thread counts as hanging: longer than any wait within a turn."""
MAX_STEP: Final = 1.5
"""Seconds between two checks that count at most: a host that was suspended let no thread turn."""


class WatchedThread:
    """Runs `work` in a thread. `work` calls `turned` at least every few seconds and ends where that returns False."""

    def __init__(self, name: str, work: Callable[[], None], turn_within: float = TURN_WITHIN) -> None:
        """`turn_within`: seconds without a turn after which it counts as hanging."""
        self.name = name
        self.restarts = 0
        self.on_restart: Callable[[str], None] = lambda _fault: None
        """Called in the main thread, with what was wrong, before another thread takes its place."""
        self._turn_within = turn_within
        self._work = work
        self._turns = self._seen = 0
        self._silent = 0.0
        self._checked: float | None = None
        self._error = ""
        self._thread = self._new_thread()
        self._replaced: threading.Thread | None = None
        self._beside = 0.0
        """Seconds that the replaced thread has lived on."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def restart(self) -> None:
        """Start another thread in its place; the old one, if it hangs, ends with its next turn.

        Until then it keeps what it holds, as a port, so that the new one can't work: if it lives on, that is a fault.
        """
        self.restarts += 1
        self._replaced, self._beside = self._thread, 0.0
        self._silent, self._error = 0.0, ""
        self._thread = self._new_thread()
        self._thread.start()

    @property
    def is_started(self) -> bool:
        """Whether `start` was called."""
        return self._thread.ident is not None

    @property
    def is_own(self) -> bool:
        """Whether the caller runs in this thread."""
        return threading.current_thread() is self._thread

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        self._thread.join(seconds)

    def turned(self) -> bool:
        """Note from within the thread that it works. False: another one has taken its place."""
        self._turns += 1
        return threading.current_thread() is self._thread

    def fault(self, now: float) -> str:
        """Return what is wrong with the thread, empty while it works. Call it every second."""
        step = 0.0 if self._checked is None else min(now - self._checked, MAX_STEP)
        self._checked = now
        if not self._thread.is_alive():
            return f"has ended{self._error}"
        self._silent = self._silent + step if self._turns == self._seen else 0.0
        self._seen = self._turns
        if self._replaced is not None and not self._replaced.is_alive():
            self._replaced = None
        self._beside = self._beside + step if self._replaced is not None else 0.0
        if self._beside > self._turn_within:
            return f"hangs for {self._turn_within + self._beside:.0f} s, though another one was started in its place"
        return f"hangs for {self._silent:.0f} s" if self._silent > self._turn_within else ""

    def _new_thread(self) -> threading.Thread:
        return threading.Thread(target=self._run, name=self.name, daemon=True)

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  # the main thread logs it and acts
            self._error = f": {error!r}"


def all_work(threads: Iterable[WatchedThread], now: float, log: logging.Logger) -> bool:
    """Restart a thread that ended or hangs, once. False where one failed again: the process must end.

    For the main thread, every second. The service manager's watchdog is to be fed only while this is True.
    """
    for thread in threads:
        fault = thread.fault(now) if thread.is_started else ""
        if fault and thread.restarts:
            log.error("thread %s %s again: the process ends", thread.name, fault)
            return False
        if fault:
            log.error("thread %s %s: started anew", thread.name, fault)
            thread.on_restart(fault)
            thread.restart()
    return True
