"""Where a frame ends that begins at a known byte: by the lengths that its function allows, and the CRC.

Nothing on the line tells a request from a reply but its shape, and shapes overlap: a read request for an address from
512 to 767 begins like a reply of one register, and if its CRC ends in 00 (one in 256 does) its first seven bytes have
a valid CRC too. So both readings are weighed before either is believed.
"""

from enum import Enum
from typing import Final, NamedTuple

from modbus_codec.codes import EXCEPTION_BIT
from modbus_codec.crc import crc16
from modbus_codec.rtu import MAX_FRAME


class Kind(Enum):
    """What the bytes are so far."""

    REQUEST = "request"
    REPLY = "reply"
    INCOMPLETE = "incomplete"
    """More bytes, or the end of the burst, must tell."""
    UNKNOWN_FUNCTION = "unknown function"
    """Only the end of the burst can tell where it ends."""
    NONE = "none"
    """No frame begins here, whatever may follow."""


class Shape(NamedTuple):
    """A kind, and for requests and replies the length of the frame in bytes."""

    kind: Kind
    length: int = 0


INCOMPLETE: Final = Shape(Kind.INCOMPLETE)
UNKNOWN_FUNCTION: Final = Shape(Kind.UNKNOWN_FUNCTION)
NONE: Final = Shape(Kind.NONE)

_READ_REQUEST: Final = Shape(Kind.REQUEST, 8)
_FIXED: Final = {5: Shape(Kind.REQUEST, 8), 6: Shape(Kind.REQUEST, 8), 22: Shape(Kind.REQUEST, 10)}
"""Write single coil, write single register, mask write register: the reply is the request said back."""
_EXCEPTION: Final = Shape(Kind.REPLY, 5)
_WRITE_REPLY: Final = Shape(Kind.REPLY, 8)
_READ_COUNTS: Final = {1: 2000, 2: 2000, 3: 125, 4: 125}


def shape_at(held: bytearray, begin: int, *, ended: bool) -> Shape:
    """Return what begins at `begin`; `ended` says that nothing will follow what is held."""
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
    if have < 8 and not ended and not _asks_too_much(held, begin, have):
        return INCOMPLETE
    reply = _counted_reply(held, begin, have)
    if not _asks_too_much(held, begin, have):
        return _first_valid(held, begin, have, (_unless_zeros(held, begin, reply), _READ_REQUEST, reply))
    # A count that no server gives is more likely a register's value in a reply, of which the rest is still to come.
    likely = _first_valid(held, begin, have, (reply,), more=have < 3)
    return _first_valid(held, begin, have, (_READ_REQUEST,)) if likely is NONE else likely


def _asks_too_much(held: bytearray, begin: int, have: int) -> bool:
    """Tell whether this, read as a request to read, has a count of 0 or over the limit; False while that is open."""
    return have >= 6 and not 1 <= held[begin + 4] << 8 | held[begin + 5] <= _READ_COUNTS[held[begin + 1]]


def _counted_reply(held: bytearray, begin: int, have: int) -> Shape | None:
    """Return the reply whose third byte counts the bytes of its values."""
    if have < 3:
        return None
    count = held[begin + 2]
    whole_words = held[begin + 1] < 3 or count % 2 == 0
    return Shape(Kind.REPLY, 5 + count) if count and whole_words and 5 + count <= MAX_FRAME else None


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
