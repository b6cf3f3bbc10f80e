"""Keeps the totals of `outages` in a small file, so that a restart does not forget them [shell]."""

import contextlib
import logging
from datetime import datetime
from pathlib import Path
from typing import Final

from ksem_contract.message_fields import InvalidMessage
from rtu_server.outages import WRITE_EVERY, Kept, Outages

NAME: Final = "outages.json"

log = logging.getLogger(__name__)


def local_time() -> datetime:
    """Return the wall clock in this host's time zone."""
    return datetime.now().astimezone()


class OutageFile:
    """Reads the file at the start, and replaces it as a whole once a minute and at the end.

    Without a folder, or where it can't be written, the totals count from this start on.
    """

    def __init__(self, folder: Path | None, outages: Outages, now: float) -> None:
        self._path = None if folder is None else folder / NAME
        self._outages = outages
        self._due = now + WRITE_EVERY
        self._problem = ""
        kept = self._read()
        if kept is not None:
            outages.resume(kept, now, local_time())

    def tick(self, now: float) -> None:
        """Write if it is due."""
        if now >= self._due:
            self.write(now, ended=False)

    def write(self, now: float, *, ended: bool) -> None:
        """Replace the file. It is not flushed to the disk: that could block this thread for seconds."""
        self._due = now + WRITE_EVERY
        if self._path is None:
            return
        fresh = self._path.with_suffix(".new")
        try:
            fresh.write_bytes(self._outages.kept(now, local_time(), ended=ended).encode())
            fresh.replace(self._path)
        except OSError as error:
            self._note(f"{self._path} can't be written: {error.strerror}; a restart will forget the time without data")
            with contextlib.suppress(OSError):
                fresh.unlink()
        else:
            self._problem = ""

    def _read(self) -> Kept | None:
        if self._path is None:
            return None
        try:
            return Kept.decode(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            self._note(f"{self._path} can't be read: {error.strerror}; the time without data counts anew")
        except InvalidMessage as bad:
            self._note(f"{self._path} is damaged: {bad}; it is replaced, and the time without data counts anew")
        return None

    def _note(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem
