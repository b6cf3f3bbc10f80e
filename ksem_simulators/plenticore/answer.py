"""Reads strictly what came back on the line, when, and judges it [core]: exactly one outcome for each request."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from ksem_simulators.line.wire_log import ECHO, INJECTED, TO_CLIENT, TO_SERVER, UNCERTAIN, WireByte
from ksem_simulators.truth import Verdict
from modbus_codec.crc import has_valid_crc
from modbus_codec.pdu import ReadRequest

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


AnswerKind = Literal["data", "exception", "foreign", "other-request", "broken", "nothing"]
_SHORTEST: Final = 5
"""Bytes of an exception, and of the shortest answer at all."""
_READS: Final = (3, 4)
_EXCEPTION: Final = 0x80


@dataclass(frozen=True, slots=True)
class Answer:
    """`data`: exactly the requested registers; `exception`: a well-formed refusal of this function by this unit;
    `foreign`: a whole frame of another unit or function; `other-request`: a whole answer with another number of
    registers than requested; `broken`: anything else.
    """

    kind: AnswerKind
    registers: tuple[int, ...] = ()
    code: int = 0
    why: str = ""


def expected_length(received: bytes) -> int | None:
    """How long the frame that begins so will be; None while that is unknown. A client waits for so many bytes."""
    if len(received) < 3 or received[1] & _EXCEPTION:
        return _SHORTEST
    return _SHORTEST + received[2] if received[1] in _READS else None


def read_answer(unit: int, request: ReadRequest, received: bytes) -> Answer:
    """Judges all bytes that came back, to the last one: unit, function, lengths, CRC."""
    if not received:
        return Answer("nothing")
    if len(received) < _SHORTEST:
        return Answer("broken", why=f"{len(received)} bytes: {received.hex(' ')}")
    if not has_valid_crc(received):
        return Answer("broken", why=f"CRC of {len(received)} bytes")
    if received[0] != unit:
        return Answer("foreign", why=f"unit {received[0]} answers for unit {unit}")
    function = int(request.function)
    if received[1] == function | _EXCEPTION:
        if len(received) != _SHORTEST:
            return Answer("broken", why=f"exception of {len(received)} bytes")
        return Answer("exception", code=received[2])
    if received[1] != function:
        return Answer("foreign", why=f"function {received[1]:#04x} answers function {function:#04x}")
    # A CRC also fits with zeros behind it, so both lengths count.
    if len(received) != _SHORTEST + received[2]:
        return Answer("broken", why=f"{len(received)} bytes that announce {received[2]} of data")
    if received[2] != 2 * request.count:
        return Answer("other-request", why=f"{received[2] // 2} registers, {request.count} were requested")
    return Answer("data", struct.unpack(f">{request.count}H", received[3:-2]))


GOOD: Final = "good"
UNJUDGED: Final = "data"
"""Well-formed data, but nobody knows what the meter sent (a real one)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`name` is good, wrong, torn, stale, late, foreign, broken, timeout, exception-N or data (unjudged)."""

    name: str
    why: str = ""


def judge_outcome(
    answer: Answer, turnaround: float | None, timeout: float, verdict: Verdict | None, limit: float | None
) -> Outcome:
    """`turnaround`: seconds from the request's end to the answer's begin, None when unknown; less than nothing means
    that the answer was under way before the request was whole, so it can't be meant for it. `limit`: seconds that the
    meter's words may be old; None for any age.
    """
    if answer.kind == "nothing":
        return Outcome("timeout", f"nothing within {timeout:g} s")
    if turnaround is not None and turnaround < 0:
        return Outcome("late", f"began {-1000 * turnaround:.1f} ms before the request's end: of an earlier request")
    if turnaround is not None and turnaround > timeout:
        return Outcome("late", f"began {1000 * turnaround:.1f} ms after the request, the client waits {timeout:g} s")
    if answer.kind == "other-request":
        return Outcome("late", f"{answer.why}: the answer to another request")
    if answer.kind == "exception":
        return Outcome(f"exception-{answer.code}")
    if answer.kind != "data":
        return Outcome(answer.kind, answer.why)
    if verdict is None:
        return Outcome(UNJUDGED)
    if verdict.kind != "good":
        return Outcome(verdict.kind, verdict.why)
    if limit is not None and verdict.age is not None and verdict.age > limit:
        return Outcome("stale", f"sent by the meter {verdict.age:.3f} s ago (cycle {verdict.cycle}), limit {limit:g} s")
    return Outcome(GOOD)
