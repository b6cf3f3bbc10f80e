"""Runs and steers native/wire.c: the line and the client on it [shell]."""

import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

CHARACTER: Final = 11 / 38400
FRAME_GAP: Final = 0.00175
_RECORD: Final = struct.Struct("=ddddiiii")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came of it. Times in seconds of CLOCK_BOOTTIME."""

    begun: float
    requested: float
    """The end of the request's last stop bit."""
    answered: float
    """The begin of the answer; 0 where none came in time."""
    handing: float
    """Seconds that handing over the last byte took: part of the measuring error."""
    first: int
    count: int
    disturbed: bool
    """The host held the request's own bytes up for longer than t1.5: its turnaround has no meaning."""
    answer: bytes

    @property
    def turnaround(self) -> float:
        return self.answered - self.requested

    @property
    def is_data(self) -> bool:
        return len(self.answer) == 5 + 2 * self.count and self.answer[1] == 3

    @property
    def registers(self) -> tuple[int, ...]:
        return struct.unpack(f">{self.count}H", self.answer[3:-2])


def least_time(count: int) -> float:
    """Seconds that a read of `count` registers takes on the wire: request, t3.5, answer, t3.5."""
    return (8 + 5 + 2 * count) * CHARACTER + 2 * FRAME_GAP


class Wire:
    """One line. `port` is where a server finds it."""

    def __init__(self, program: Path, folder: Path, name: str) -> None:
        self.port = folder / f"{name}.port"
        self._log = folder / f"{name}.log"
        self._read = 0
        self._process = subprocess.Popen(
            [program, self.port, self._log, "38400"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.is_realtime = self._reply().endswith("realtime")

    def begin(self, seconds: float, period_ms: float, ranges: Sequence[str]) -> None:
        """Poll these ranges in turn, each turn `period_ms` after the last, 0: at once. `finish` waits for the end."""
        self._send(f"run {seconds} {period_ms} {' '.join(ranges)}")

    def finish(self) -> list[Exchange]:
        """Wait until the polling that was begun is over; return what happened."""
        self._reply()
        return self._new_records()

    def run(self, seconds: float, period_ms: float, ranges: Sequence[str]) -> list[Exchange]:
        self.begin(seconds, period_ms, ranges)
        return self.finish()

    def begin_until_data(self, seconds: float, wanted: str = "0-27") -> None:
        self._send(f"until {seconds} {wanted}")

    def first_data(self) -> float | None:
        """When the first answer with data began; None where none came in time."""
        return float(self._reply().split()[1]) or None

    def unplug(self) -> None:
        self._send("unplug")
        self._reply()

    def plug(self) -> float:
        """The port is back; return when."""
        self._send("plug")
        return float(self._reply().split()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def _send(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def _reply(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the line's process has ended"
        return line

    def _new_records(self) -> list[Exchange]:
        exchanges = []
        with self._log.open("rb") as log:
            log.seek(self._read)
            while head := log.read(_RECORD.size):
                begun, requested, answered, handing, first, count, disturbed, length = _RECORD.unpack(head)
                answer = log.read(length)
                exchanges.append(Exchange(begun, requested, answered, handing, first, count, bool(disturbed), answer))
            self._read = log.tell()
        return exchanges
