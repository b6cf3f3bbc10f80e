"""Finds RTU frames in the bytes of a port on a shared RS485 line, by length and CRC [core].

The silence of 3.5 characters that ends a frame is lost in adapters that deliver in grains of 1 to 16 ms. So a frame is
found by its length and CRC, and an idle gap, longer than any grain, only ends what is ambiguous otherwise. Frames
of other units are consumed whole: what their registers hold is never searched for requests while they are intact.

On the line only its shape marks a frame as request or reply, and shapes overlap: a read request for an address from
512 to 767 begins like a reply of one register, and if its CRC ends in 00 (one in 256 does) its first seven bytes have
a valid CRC too. So both readings are weighed before either is believed.

Source: Modbus over serial line specification 1.02, section 2.5.1.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from modbus_codec.crc import append_crc, crc16, has_valid_crc
from modbus_codec.pdu import EXCEPTION_BIT, MAX_PDU, BadFrame


class Kind(Enum):
    """What the bytes are so far."""

    REQUEST = "request"
    REPLY = "reply"
    INCOMPLETE = "incomplete"
    """More bytes, or the end of the burst, must decide."""
    UNKNOWN_FUNCTION = "unknown function"
    """Only the end of the burst can show where it ends."""
    NONE = "none"
    """No frame begins here, whatever may follow."""


class Shape(NamedTuple):
    """A kind, and for requests and replies the length of the frame in bytes."""

    kind: Kind
    length: int = 0


UNKNOWN_FUNCTION: Final = Shape(Kind.UNKNOWN_FUNCTION)
NONE: Final = Shape(Kind.NONE)

INCOMPLETE: Final = Shape(Kind.INCOMPLETE)

_READ_REQUEST: Final = Shape(Kind.REQUEST, 8)
_FIXED: Final = {5: Shape(Kind.REQUEST, 8), 6: Shape(Kind.REQUEST, 8), 22: Shape(Kind.REQUEST, 10)}
"""Write single coil, write single register, mask write register: the reply echoes the request."""
_EXCEPTION: Final = Shape(Kind.REPLY, 5)
_WRITE_REPLY: Final = Shape(Kind.REPLY, 8)
_READ_COUNTS: Final = {1: 2000, 2: 2000, 3: 125, 4: 125}


def shape_at(held: bytearray, begin: int, *, ended: bool) -> Shape:
    """Return what begins at `begin`; `ended` means that nothing will follow the held bytes."""
    have = len(held) - begin
    if have < 2:
        return INCOMPLETE
    function = held[begin + 1]
    if function in _READ_COUNTS:
        return _read_shape(held, begin, have, ended=ended)
    if function in _FIXED:
        return _first_valid(held, begin, have, (_FIXED[function],))
    if function > EXCEPTION_BIT:
        return _first_valid(held, begin, have, (_EXCEPTION,))
    if function in (15, 16):
        request = Shape(Kind.REQUEST, 9 + held[begin + 6]) if have > 6 and held[begin + 6] else None
        longer = _unless_zeros(held, begin, request)
        return _first_valid(held, begin, have, (longer, _WRITE_REPLY, request), more=have <= 6)
    if function == 23:
        request = Shape(Kind.REQUEST, 13 + held[begin + 10]) if have > 10 and held[begin + 10] else None
        return _first_valid(held, begin, have, (request, _counted_reply(held, begin, have)), more=have <= 10)
    return NONE if function in (0, EXCEPTION_BIT) else UNKNOWN_FUNCTION


def _read_shape(held: bytearray, begin: int, have: int, *, ended: bool) -> Shape:
    if have < 8 and not ended and not _requests_too_much(held, begin, have):
        return INCOMPLETE
    reply = _counted_reply(held, begin, have)
    if not _requests_too_much(held, begin, have):
        return _first_valid(held, begin, have, (_unless_zeros(held, begin, reply), _READ_REQUEST, reply))
    # A count that no server gives is more likely a register's value in a reply, of which the rest is still to come.
    likely = _first_valid(held, begin, have, (reply,), more=have < 3)
    return _first_valid(held, begin, have, (_READ_REQUEST,)) if likely is NONE else likely


def _requests_too_much(held: bytearray, begin: int, have: int) -> bool:
    """Return whether this, read as a read request, has a count of 0 or over the limit; False while that is open."""
    return have >= 6 and not 1 <= held[begin + 4] << 8 | held[begin + 5] <= _READ_COUNTS[held[begin + 1]]


def _counted_reply(held: bytearray, begin: int, have: int) -> Shape | None:
    """Return the reply whose third byte counts the bytes of its values."""
    if have < 3:
        return None
    count = held[begin + 2]
    whole_registers = held[begin + 1] < 3 or count % 2 == 0
    return Shape(Kind.REPLY, 5 + count) if count and whole_registers and 5 + count <= MAX_FRAME else None


def _unless_zeros(held: bytearray, begin: int, shape: Shape | None) -> Shape | None:
    """Return `shape`, or None where zeros are all that it has behind 8 bytes: noise behind a frame of that length."""
    return shape if shape and any(held[begin + 8 : begin + shape.length]) else None


def _first_valid(
    held: bytearray, begin: int, have: int, shapes: tuple[Shape | None, ...], *, more: bool = False
) -> Shape:
    """Return the first of `shapes` that is whole and has a valid CRC; with `more`, longer ones are possible."""
    for shape in shapes:
        if shape is None or shape.length > MAX_FRAME:
            continue
        if shape.length > have:
            more = True
        elif not crc16(held[begin : begin + shape.length]):
            return shape
    return INCOMPLETE if more else NONE


GLITCH: Final = 2
"""Bytes that a driver may leave behind a frame as it releases the line; a client's next frame has more."""


@dataclass(frozen=True, slots=True)
class Request:
    """A frame in the form of a request, or of no known form but with a valid CRC between two idle gaps.

    A write of a single value and its reply are the same bytes: both are requests here.
    """

    frame: bytes
    unit: int
    pdu: bytes
    at: float
    """When the bytes came after which it was known to be whole."""
    superseded: bool = False
    """More than `trailing` bytes came in behind it: not to be answered."""
    trailing: int = GLITCH
    """So many bytes behind it may be a glitch: none where any noise lies before it."""
    resynced: bool = False
    """More than a glitch lies before it, or another request without a silence between: it may be a part of something
    longer, of which more is still to come, so only an idle gap shows that it ends here."""
    since: float = field(default=0.0, compare=False)
    """Its last byte did not arrive before this moment."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A frame in the form of a reply: another unit's, or our own as the adapter echoes it."""

    frame: bytes
    unit: int
    pdu: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes that belong to no whole frame."""

    data: bytes
    at: float


FrameEvent = Request | Reply | Noise


class RtuFrameReader:
    """Takes bytes with their time of arrival, gives frames and noise: every byte once, in order.

    It holds at most one frame (256 bytes) between calls and twice that within one. Times are seconds of one clock.
    """

    def __init__(self, idle_gap: float = 0.025) -> None:
        if not idle_gap > 0:
            raise ValueError(f"idle_gap {idle_gap}: more than 0 seconds is allowed")
        self.idle_gap = idle_gap
        self._held = bytearray()
        self._begin = 0
        """Where a frame may begin; the bytes before it begin none."""
        self._after_gap = True
        """Nothing but silence or a whole frame lies before what is held, so that it may be one frame of any form."""
        self._crowded = False
        """What is held follows a request without the silence that ends a frame."""
        self._at = 0.0
        self._arrivals: list[tuple[int, float]] = []
        """For each piece of what is held: where it ends, and the moment before which it did not arrive."""

    @property
    def pending(self) -> int:
        """Bytes held."""
        return len(self._held)

    @property
    def is_settled(self) -> bool:
        """Nothing is held, and what comes next begins a frame."""
        return self._after_gap and not self._crowded and not self._held

    def feed(self, data: bytes, now: float, since: float | None = None) -> list[FrameEvent]:
        """Take bytes that arrived by `now`, and not before `since` (default: `now`).

        After a silence of more than `idle_gap`, which ends at `since`, what is held is flushed first.
        """
        since = now if since is None else since
        received: list[FrameEvent] = []
        if since > self._at + self.idle_gap:
            received = self._search(ended=True)
        if data:
            self._at = now
        for begin in range(0, len(data), MAX_FRAME):
            self._held += data[begin : begin + MAX_FRAME]
            self._arrivals.append((len(self._held), since))
            received += self._search(behind=max(0, len(data) - begin - MAX_FRAME))
        return received

    def flush(self, now: float) -> list[FrameEvent]:
        """Give what is held if nothing came for `idle_gap`, else nothing. Frames keep their time of arrival."""
        return self._search(ended=True) if now >= self._at + self.idle_gap else []

    def no_gap(self) -> None:
        """What comes next follows the last request without the silence that ends a frame.

        No client does that, so both may lie in another unit's frame whose head was lost.
        """
        self._crowded = True

    def reset(self, now: float) -> None:
        """Forget what is held: it can't be dated any more, or comes from another port.

        What comes next may lie in the middle of a frame, until the line was silent for `idle_gap` after `now`.
        """
        self._held.clear()
        self._arrivals.clear()
        self._begin = 0
        self._at = now
        self._after_gap = False
        self._crowded = False

    def _search(self, *, ended: bool = False, behind: int = 0) -> list[FrameEvent]:
        """Take all frames that are certain now; `behind` more bytes have arrived after the held ones."""
        received: list[FrameEvent] = []
        while self._begin < len(self._held):
            kind, length = shape_at(self._held, self._begin, ended=ended)
            if kind is Kind.REQUEST or kind is Kind.REPLY:
                self._take(received, kind, length, behind)
            elif ended:
                if self._is_one_frame():
                    self._begin = 0
                    self._take(received, Kind.REQUEST, len(self._held), behind)
                else:
                    self._after_gap = False
                    self._begin += 1
            elif kind is Kind.INCOMPLETE or (
                kind is Kind.UNKNOWN_FUNCTION and self._begin == 0 and self._may_become_one_frame()
            ):
                break
            else:
                self._begin += 1
        if ended or not self._may_become_one_frame():
            self._drop_noise(received)
        if ended:
            self._after_gap = True
            self._crowded = False
        return received

    def _may_become_one_frame(self) -> bool:
        return self._after_gap and len(self._held) <= MAX_FRAME

    def _is_one_frame(self) -> bool:
        if self._crowded or not self._may_become_one_frame() or len(self._held) < MIN_FRAME:
            return False
        return 0 < self._held[1] < EXCEPTION_BIT and has_valid_crc(self._held)

    def _take(self, received: list[FrameEvent], kind: Kind, length: int, behind: int) -> None:
        unclear = self._crowded or not self._after_gap
        after_noise = unclear or self._begin > 0
        resynced = unclear or self._begin > GLITCH
        self._crowded = False
        self._drop_noise(received)
        frame = bytes(self._held[:length])
        since = next(since for end, since in self._arrivals if end >= length)
        self._remove(length)
        if kind is Kind.REPLY:
            self._after_gap = not resynced
            received.append(Reply(frame, frame[0], frame[1:-2], self._at))
            return
        trailing = 0 if after_noise else GLITCH
        superseded = len(self._held) + behind > trailing
        # What follows may be the rest of what this one lay in: the registers of another unit's reply without its head.
        self._after_gap = not resynced and not superseded
        received.append(Request(frame, frame[0], frame[1:-2], self._at, superseded, trailing, resynced, since))

    def _drop_noise(self, received: list[FrameEvent]) -> None:
        """Let go of the bytes that begin no frame."""
        if self._begin:
            received.append(Noise(bytes(self._held[: self._begin]), self._at))
            self._remove(self._begin)
            self._begin = 0
            self._after_gap = False

    def _remove(self, count: int) -> None:
        del self._held[:count]
        self._arrivals = [(end - count, since) for end, since in self._arrivals if end > count]


MIN_FRAME: Final = 4
MAX_FRAME: Final = MAX_PDU + 3
BROADCAST: Final = 0


@dataclass(frozen=True, slots=True)
class RtuFrame:
    """`unit` 0 (broadcast) to 255 (248 and up are reserved, but occur), `pdu` 1 to 253 bytes."""

    unit: int
    pdu: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.unit <= 255:
            raise ValueError(f"unit {self.unit}: 0 to 255 is allowed")
        if not 1 <= len(self.pdu) <= MAX_PDU:
            raise ValueError(f"a PDU of {len(self.pdu)} bytes: 1 to {MAX_PDU} is allowed")

    def encode(self) -> bytes:
        return append_crc(bytes((self.unit,)) + self.pdu)

    @classmethod
    def decode(cls, frame: bytes) -> "RtuFrame":
        """Return the content of exactly one frame. Raises BadFrame on a wrong length or CRC."""
        if not MIN_FRAME <= len(frame) <= MAX_FRAME:
            raise BadFrame(f"a frame of {len(frame)} bytes: {MIN_FRAME} to {MAX_FRAME} is allowed")
        if not has_valid_crc(frame):
            due = append_crc(frame[:-2])[-2:]
            raise BadFrame(f"CRC {frame[-2:].hex(' ')} where {due.hex(' ')} was due")
        return cls(frame[0], frame[1:-2])
