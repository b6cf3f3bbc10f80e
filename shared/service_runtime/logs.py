"""Sends log lines to stderr, in the form that its reader needs [shell]."""

import atexit
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from queue import SimpleQueue
from typing import Final, TextIO

MAX_WAITING: Final = 1000
"""Lines that wait to be written at most: what an hour of faults logs."""
DRAIN: Final = 0.3
"""Seconds that the end of the process waits for the last lines."""
LEVELS = ("debug", "info", "warning", "error")
# syslog(3) priorities, which the journal reads from a `<N>` in front of a line (sd-daemon(3)).
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class JournalFormatter(logging.Formatter):
    """`<4>rs485: port is gone`: each line of a message with its priority; the journal adds the time."""

    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITIES.get(record.levelno, 6)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


class PatientHandler(logging.Handler):
    """Writes lines in a thread of its own: a blocked stderr delays no thread that logs."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream, self._fd = stream, _descriptor(stream)
        self._lines: SimpleQueue[str] = SimpleQueue()
        self._written = self._queued = self._dropped = 0
        threading.Thread(target=self._write, name="log", daemon=True).start()
        atexit.register(self.drain)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line; beyond `MAX_WAITING` lines are counted and dropped."""
        if self._queued - self._written >= MAX_WAITING:
            self._dropped += 1
            return
        line = self.format(record)
        if self._dropped:
            line, self._dropped = f"{line} ({self._dropped} lines before it were dropped)", 0
        self._queued += 1
        self._lines.put(line)

    def drain(self) -> None:
        """Wait until all is written, for `DRAIN` at most."""
        until = time.monotonic() + DRAIN
        while self._written < self._queued and time.monotonic() < until:
            time.sleep(0.005)

    def _put(self, text: str) -> None:
        if self._fd is None:
            self._stream.write(text)
            return
        # Past the stream: the interpreter's end would wait for a lock that a blocked write holds.
        rest = text.encode(errors="replace")
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            with contextlib.suppress(OSError, ValueError):  # no reader is left, or the stream is closed
                self._put(f"{line}\n")
            self._written += 1


def configure(level: str = "info", *, environ: Mapping[str, str] = os.environ) -> None:
    """Send log lines of `level` (one of LEVELS) and above to stderr: for the journal under systemd, else with time."""
    handler = PatientHandler(sys.stderr)
    if _is_journal(environ):
        handler.setFormatter(JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # No thread or process names are shown; looking them up costs time with every record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # These log every state change and every packet; our own lines report what matters of it.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def drain() -> None:
    """Wait for what is logged to be written, before a process ends at once."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, PatientHandler):
            handler.drain()


def _is_journal(environ: Mapping[str, str]) -> bool:
    """Whether stderr leads to the journal: JOURNAL_STREAM names its device and inode (systemd.exec(5))."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
