"""Finds the speed at which the inverter sends its requests, if it does [core]."""

from collections.abc import Sequence
from typing import Final

from airbridge.setup.steps import LineAnswer, LineMode
from modbus_codec.rtu import Noise, Reply, Request

PLENTICORE: Final = LineMode()
OTHERS: Final = (
    LineMode(19200, "N", 2),
    LineMode(9600, "N", 1),
    LineMode(19200, "E", 1),
    LineMode(9600, "N", 2),
    LineMode(57600, "N", 2),
    LineMode(115200, "N", 1),
)
"""What other inverters use, the likely ones first. A receiver takes 8N2 for 8N1: stop bits need no trial."""
NOISE: Final = 4
"""Bytes from which a line is not silent: fewer come from plugging in."""
ENOUGH: Final = 2
"""Requests that decide: one can come about by chance, at a wrong speed."""


class LineScan:
    """Takes what was received at one speed after the other. The first round listens long, the others shortly."""

    def __init__(self, first: LineMode, seconds: float) -> None:
        self._modes = [first, *(one for one in (PLENTICORE, *OTHERS) if one != first)]
        self._seconds = seconds
        self._noise = 0
        self._requests: list[int] = []
        self._at = 0

    @property
    def mode(self) -> LineMode:
        """The speed to listen at now."""
        return self._modes[self._at]

    @property
    def seconds(self) -> float:
        """How long to listen at it. A Plenticore requests some six times a second."""
        return self._seconds if self._at == 0 else min(2.0, self._seconds)

    def receive(self, frames: Sequence[Request | Reply | Noise]) -> LineAnswer | None:
        """Take what the frame reader found; returns the answer as soon as it is clear."""
        for frame in frames:
            if isinstance(frame, Request):
                self._requests.append(frame.unit)
            elif isinstance(frame, Noise):
                self._noise += len(frame.data)
        if len(self._requests) >= ENOUGH:
            return LineAnswer("requests", self.mode, tuple(sorted(set(self._requests))))
        return None

    def end_of_turn(self) -> LineAnswer | None:
        """Go on to the next speed; returns the answer where no other speed would help."""
        if self._noise < NOISE and not self._requests:
            return LineAnswer("silent", self.mode)
        self._requests.clear()
        self._at += 1
        if self._at < len(self._modes):
            return None
        self._at = 0
        return LineAnswer("noise", self.mode)
