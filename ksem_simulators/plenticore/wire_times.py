"""Finds in the line's own log when a request ended and its answer began [core]."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ksem_simulators.line.wire_log import ECHO, INJECTED, TO_CLIENT, TO_SERVER, UNCERTAIN, WireByte

_GAP: Final = 0.00075
"""t1.5, fixed at this above 19200 baud: a longer gap inside a request was not the client's doing."""


@dataclass(frozen=True, slots=True)
class WireTimes:
    """CLOCK_BOOTTIME; None: it was not on the wire (yet)."""

    request_end: float | None
    """End of the request's last stop bit, and later by as much as the line was late with handing it over."""
    answer_start: float | None
    """Begin of the answer's first start bit: when the server's write was seen."""
    disturbed: bool
    """The host took the CPU away during the request: its turnaround has no meaning."""

    @property
    def turnaround(self) -> float | None:
        """Seconds from the request's end to the answer's begin."""
        if self.request_end is None or self.answer_start is None:
            return None
        return self.answer_start - self.request_end


def wire_times(received: Sequence[WireByte], character: float) -> WireTimes:
    """The times of one transaction; `received`: all bytes since the request was written, oldest first."""
    request = [byte for byte in received if byte.direction == TO_SERVER and not byte.flags & (INJECTED | ECHO)]
    answer = [byte.due for byte in received if byte.direction == TO_CLIENT and not byte.flags & INJECTED]
    ends = [byte.delivered - (byte.owed - byte.due) for byte in request]
    gaps = [later - earlier for earlier, later in pairwise(ends)]
    return WireTimes(
        request_end=ends[-1] if ends else None,
        answer_start=min(answer) - character if answer else None,
        disturbed=any(gap > character + _GAP for gap in gaps) or bool(request and request[-1].flags & UNCERTAIN),
    )


@dataclass(frozen=True, slots=True)
class Burst:
    """Bytes that followed one another without a gap."""

    data: bytes
    start: float
    end: float


def bursts(received: Sequence[WireByte], direction: int, character: float) -> list[Burst]:
    """The bytes of one direction, without those of nobody on the line."""
    joined: list[Burst] = []
    wanted = [byte for byte in received if byte.direction == direction and not byte.flags & (INJECTED | ECHO)]
    for byte in sorted(wanted, key=lambda byte: byte.due):
        if joined and byte.due - joined[-1].end <= character + _GAP:
            joined[-1] = Burst(joined[-1].data + bytes((byte.value,)), joined[-1].start, byte.due)
        else:
            joined.append(Burst(bytes((byte.value,)), byte.due - character, byte.due))
    return joined
