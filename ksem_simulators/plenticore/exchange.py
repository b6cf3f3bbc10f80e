"""Carries out one exchange on the line [shell]: sends bytes, collects what comes back, returns the times.

The inverter's serial port is here: the only place of this package that knows pyserial.
"""

import os
import select
import time
from dataclasses import dataclass
from typing import Final

import serial

from ksem_simulators.line.direction import FRAME_GAP, character_time
from ksem_simulators.line.wire_log import WireByte, WireLogReader
from ksem_simulators.plenticore.answer import WireTimes, expected_length, wire_times
from service_runtime.clock import boottime


class PortGone(Exception):
    """The port is not there, or no longer."""


class RtuPort:
    """A port that is read as bytes come."""

    def __init__(self, path: str, baudrate: int) -> None:
        try:
            self._serial = serial.Serial(path, baudrate or 38400, stopbits=serial.STOPBITS_TWO, timeout=0)
        except (OSError, serial.SerialException) as error:
            raise PortGone(str(error)) from None
        self._descriptor: int = self._serial.fileno()

    def write(self, data: bytes) -> None:
        """Sends bytes."""
        try:
            os.write(self._descriptor, data)
        except OSError as error:
            raise PortGone(str(error)) from None

    def read(self, wait: float = 0.0) -> bytes:
        """The bytes that are there, or the first that come within `wait` seconds; empty when none do."""
        try:
            ready = select.select((self._descriptor,), (), (), max(0.0, wait))[0]
            if not ready:
                return b""
            data = os.read(self._descriptor, 4096)
        except OSError as error:
            raise PortGone(str(error)) from None
        if not data:
            raise PortGone("hung up")
        return data

    def close(self) -> None:
        """Lets go of the port."""
        self._serial.close()


_SILENCE: Final = 0.03
"""This long no byte: the answer has ended, whole or not. Longer than the grain of a USB adapter."""
_PAUSE: Final = 0.25
"""The same inside an answer whose length is known. A server hands over whole frames, and the line paces them: what is
missing for longer than a silence is held back by a host that gave the line no CPU, and not cut off."""
_SLACK: Final = 0.01
"""An answer that begins so soon after the time-out is still waited for, to count as late and not as missing."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came back for one request. Times are CLOCK_BOOTTIME."""

    unsolicited: bytes
    """What lay there before the request was sent."""
    received: bytes
    times: WireTimes
    from_log: bool
    """Whether the times are the line's; else they are this process's own, and some 0.1 ms too long."""


class LineClient:
    """Exchanges over a port; with the line's log the times are those of the wire."""

    def __init__(self, port: RtuPort, baudrate: int, log: WireLogReader | None) -> None:
        self.port = port
        self.character = character_time(baudrate)
        self.log = log

    def request(self, frame: bytes, timeout: float) -> Exchange:
        """Sends a request and waits for its answer, to its last byte and a frame gap beyond."""
        unsolicited = self.port.read()
        sent = boottime()
        self.port.write(frame)
        end = sent + len(frame) * self.character
        received, first = self._collect(end + timeout + _SLACK - sent)
        if received:
            time.sleep(max(FRAME_GAP, 3.5 * self.character))
            received += self.port.read()
        on_wire = self.log.since(sent) if self.log else []
        times = wire_times(on_wire, self.character)
        if times.request_end is not None and (times.answer_start is not None or not received):
            return Exchange(unsolicited, received, times, from_log=True)
        begun = None if first is None else first - self.character
        return Exchange(unsolicited, received, WireTimes(end, begun, disturbed=False), from_log=False)

    def _collect(self, wait: float) -> tuple[bytes, float | None]:
        """The bytes of one answer, whose first comes within `wait` seconds, and when that was."""
        received, first = b"", None
        while data := self.port.read(wait):
            if first is None:
                first = boottime()
            received += data
            expected = expected_length(received)
            wait = _SILENCE if expected is None else _PAUSE
            if expected is None:
                continue
            missing = expected - len(received)
            if missing <= 0:
                break
            # One wake-up for many bytes: the line's log has their times.
            time.sleep(max(0, missing - 2) * self.character)
        return received, first

    def send(self, frames: list[tuple[bytes, float]], listen: float) -> tuple[float, bytes, list[WireByte]]:
        """Sends raw frames, each after a silence of so many seconds, and listens.

        Returns when the first was sent, all that came back, and what was on the wire.
        """
        received = self.port.read()
        sent = boottime()
        free = sent
        for frame, gap in frames:
            free = max(free, boottime()) if not gap else free + gap
            received += self._listen_until(free)
            self.port.write(frame)
            free = max(free, boottime()) + len(frame) * self.character
        received += self._listen_until(free + listen)
        return sent, received, self.log.since(sent) if self.log else []

    def _listen_until(self, moment: float) -> bytes:
        received = b""
        while (left := moment - boottime()) > 0:
            received += self.port.read(left)
        return received
