"""Logs when each byte was on the wire [shell]: the line writes the log, the inverter reads it live.

The line knows best: it sees the answer's first byte when the server writes it and hands over the request's last byte
itself. Its own lateness is in the log, so turnarounds leave it out. What stays in them is the time between the server's
write and the line's wake-up.
"""

import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from ksem_simulators.ring_file import RingFile, RingShape

MAGIC: Final = b"RS485WL1"
TO_SERVER: Final = 0
TO_CLIENT: Final = 1
INJECTED: Final = 1
"""Flag: the byte came from nobody on the line (noise, a foreign device)."""
ECHO: Final = 2
"""Flag: the server receives its own bytes."""
UNCERTAIN: Final = 4
"""Flag: the host took the CPU away during the hand-over; the time is not known well."""
LOST: Final = 8
"""Flag: nobody took the byte, its buffer was full."""

_RECORD: Final = struct.Struct("=BBHIddd")
_FLAGS_AT: Final = 2 if sys.byteorder == "little" else 3


class WireByte(NamedTuple):
    """A byte that was on the wire. Times are CLOCK_BOOTTIME."""

    direction: int
    value: int
    flags: int
    line: int
    due: float
    """End of its last stop bit."""
    owed: float
    """When it should have been handed over (`due`, or later with an adapter's grain)."""
    delivered: float
    """When it was."""


class WireLogWriter:
    """The line's side; holds the newest bytes."""

    def __init__(self, path: Path, capacity: int = 65_536) -> None:
        self._file = RingFile.create(path, MAGIC, [RingShape(capacity, _RECORD.size)])
        self._ring = self._file.rings[0]

    def add(self, direction: int, value: int, flags: int, due: float, owed: float, delivered: float) -> int:
        """A byte is about to be handed over: logs it before, so that its receiver finds it here. Returns its number."""
        return self._ring.append(_RECORD.pack(direction, value, flags, 0, due, owed, delivered))

    def set_flags(self, number: int, flags: int) -> None:
        """What became of a byte."""
        self._ring.patch(number, _FLAGS_AT, flags)


class WireLogReader:
    """The measuring side. FileNotFoundError when there is no log yet."""

    def __init__(self, path: Path) -> None:
        self._file = RingFile.open(path, MAGIC)
        self._ring = self._file.rings[0]

    def newest_first(self) -> Iterator[WireByte]:
        """All bytes that are still in the log."""
        for number in range(self._ring.head, self._ring.oldest - 1, -1):
            body = self._ring.read(number)
            if body is not None:
                yield WireByte(*_RECORD.unpack_from(body))

    def since(self, moment: float) -> list[WireByte]:
        """The bytes handed over after `moment`, oldest first."""
        logged = []
        for byte in self.newest_first():
            if byte.delivered <= moment:
                break
            logged.append(byte)
        logged.reverse()
        return logged

    @property
    def newest(self) -> int:
        """Number of the newest byte."""
        return self._ring.head

    def after(self, number: int) -> list[tuple[int, WireByte]]:
        """The bytes that came after the one of this number, each with its own, oldest first.

        Bytes that a late line hands over together have one time, but each its number.
        """
        logged = []
        for each in range(max(number + 1, self._ring.oldest), self._ring.head + 1):
            body = self._ring.read(each)
            if body is None:
                break
            logged.append((each, WireByte(*_RECORD.unpack_from(body))))
        return logged

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()
