"""Holds the options of a demo [core]."""

from dataclasses import dataclass
from pathlib import Path

ANSWERS_PER_SECOND = 5.0
"""Good answers that a passing run has at least, a second: a Plenticore sends 12.5 requests, so a slow host has room."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, default_port: int) -> "Address":
        """`HOST`, `HOST:PORT` or `[IPv6]:PORT`. ValueError for a port that is none."""
        host, port = text, ""
        if text.startswith("["):
            host, _, rest = text[1:].partition("]")
            port = rest.removeprefix(":")
        elif text.count(":") == 1:
            host, _, port = text.partition(":")
        if not host or (port and not (port.isdigit() and 0 < int(port) < 65536)):
            raise ValueError(f"{text!r}: HOST or HOST:PORT is expected")
        return cls(host, int(port) if port else default_port)


@dataclass(frozen=True, slots=True)
class Options:
    """How the demo runs, and which ends are real."""

    plain: bool = False
    seconds: float | None = None
    """Ends so long after the first good answers; None: by a key or Ctrl-C."""
    meter: Address | None = None
    """A real meter; None: the simulated one."""
    push_port: int | None = None
    """Where a real meter writes to."""
    serial: str | None = None
    """A real RS485 port with a real inverter; None: the simulated line and inverter."""
    broker: Address | None = None
    """A real broker; None: one of the demo's own."""
    username: str | None = None
    password_file: Path | None = None
    export_svg: Path | None = None
    replay: Path | None = None
    """A recording that the simulated ends replay; None: a made-up day."""
    keep: Path | None = None
    """Where settings, logs and records go; None: a temporary folder."""

    def expected_good(self, seconds: float | None) -> int:
        """Good answers below which a run of so many seconds has failed; None: one that was ended by hand."""
        if seconds is None or self.serial is not None or self.replay is not None:
            return 1
        return max(1, int(ANSWERS_PER_SECOND * seconds))
