"""Whether data flows, as a file for a container's health check [shell]. Without HEALTH_FILE every call does nothing.

The file is one line: seconds of CLOCK_BOOTTIME (what /proc/uptime shows), `ok` or `bad`, and why. `docker/healthcheck`
reads it with nothing but a shell: starting Python every few seconds would cost a small machine more than the service.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .clock import uptime

RENEW_EVERY: Final = 0.9
"""Seconds between two writes while nothing changes, or with a service's next beat: `docker/healthcheck` calls a line
older than 5 s hung."""


class HealthFile:
    """Keeps the file true: written on change, and renewed while the service's loop turns."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        name = environ.get("HEALTH_FILE", "")
        self._path = Path(name) if name else None
        self._told: tuple[bool, str] | None = None
        self._due = 0.0

    def tell(self, ok: bool, why: str, now: float) -> None:
        """Write it, if it is due or has changed. Call from the service's loop, once a second or more often.

        `now` in seconds of the service's clock, which is not the kernel's for long: see `clock`.

        A file that can't be written stops no service: the check then finds an old line, or none, and says so.
        """
        if self._path is None or (now < self._due and self._told == (ok, why)):
            return
        new = self._path.with_name(self._path.name + ".new")
        with contextlib.suppress(OSError):
            new.write_text(f"{int(uptime())} {'ok' if ok else 'bad'} {why or '-'}\n", encoding="utf-8")
            new.replace(self._path)
        self._told, self._due = (ok, why), now + RENEW_EVERY
