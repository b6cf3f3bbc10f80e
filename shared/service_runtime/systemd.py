"""Reports to systemd (ready, status, watchdog) and to a container's health check (a file) [shell].

Without systemd and without HEALTH_FILE every call does nothing. The file is one line: seconds of CLOCK_BOOTTIME (what
/proc/uptime shows), `ok` or `bad`, and why. `healthcheck` reads it with nothing but a shell: starting Python
every few seconds would cost a small machine more than the service.
"""

import contextlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service_runtime.clock import uptime


def notify(*states: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send lines like `READY=1`, `STATUS=...`, `WATCHDOG=1` (sd_notify(3)); False without a receiver."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
            sender.sendto("\n".join(states).encode(), address)
    except OSError:
        return False
    return True


def state_directory(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The folder that a service may keep files in (`StateDirectory=`); None where it was given none."""
    first = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(first) if first else None


def watchdog_interval(environ: Mapping[str, str] = os.environ) -> float | None:
    """Seconds between two `WATCHDOG=1` (half of what systemd allows); None where it expects none."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    meant_for = environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or int(microseconds) == 0 or meant_for not in ("", str(os.getpid())):
        return None
    return int(microseconds) / 2_000_000


RENEW_EVERY: Final = 0.9
"""Seconds between two writes while nothing changes, or with a service's next tick: `healthcheck` calls a line
older than 5 s hung."""


class HealthFile:
    """Keeps the file current: written on change, and renewed while the service's loop works."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        name = environ.get("HEALTH_FILE", "")
        self._path = Path(name) if name else None
        self._reported: tuple[bool, str] | None = None
        self._due = 0.0

    def write(self, ok: bool, why: str, now: float) -> None:
        """Write it, if it is due or has changed. Call from the service's loop, once a second or more often.

        `now` in seconds of the service's clock, which is not the kernel's for long: see `clock`.

        A file that can't be written stops no service: the check then finds an old line, or none, and reports that.
        """
        if self._path is None or (now < self._due and self._reported == (ok, why)):
            return
        new = self._path.with_name(self._path.name + ".new")
        with contextlib.suppress(OSError):
            new.write_text(f"{int(uptime())} {'ok' if ok else 'bad'} {why or '-'}\n", encoding="utf-8")
            new.replace(self._path)
        self._reported, self._due = (ok, why), now + RENEW_EVERY
