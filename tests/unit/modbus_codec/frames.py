"""Frames for the tests of this folder, each with a comment a field, and hypothesis strategies that build any."""

from typing import NamedTuple

from hypothesis import assume
from hypothesis import strategies as st

from modbus_codec import FunctionCode, RtuFrame, append_crc, has_valid_crc


class Example(NamedTuple):
    name: str
    frame: bytes
    is_request: bool


def _hex(text: str) -> bytes:
    """The bytes of a text in which each line may end with a comment."""
    return bytes.fromhex(" ".join(line.split("#")[0] for line in text.splitlines()))


def _of_the_specification(name: str, pdu: str, *, is_request: bool) -> Example:
    return Example(name, append_crc(b"\x11" + _hex(pdu)), is_request)


# Computed for a KSEM as unit 1; the requests are those that a Plenticore sends.
KSEM = (
    Example(
        "read the measuring interval",
        _hex("""
            01     # unit
            03     # read holding registers
            20 34  # start 8244
            00 01  # count 1
            ce 04  # CRC
        """),
        True,
    ),
    Example(
        "200 ms",
        _hex("""
            01     # unit
            03     # read holding registers
            02     # byte count
            00 c8  # 200
            b9 d2  # CRC
        """),
        False,
    ),
    Example(
        "read the totals",
        _hex("""
            01     # unit
            03     # read holding registers
            00 00  # start 0
            00 1c  # count 28
            44 03  # CRC
        """),
        True,
    ),
    Example(
        "read the phases",
        _hex("""
            01     # unit
            03     # read holding registers
            00 28  # start 40
            00 6a  # count 106
            45 ed  # CRC
        """),
        True,
    ),
    Example(
        "1234.5 W and 0 W",
        _hex("""
            01           # unit
            03           # read holding registers
            08           # byte count
            00 00 30 39  # active power+ 12345 x 0.1 W
            00 00 00 00  # active power- 0 W
            0c 22        # CRC
        """),
        False,
    ),
    Example(
        "exception 4",
        _hex("""
            01     # unit
            83     # read holding registers, refused
            04     # server device failure
            40 f3  # CRC
        """),
        False,
    ),
    Example(
        "exception 2",
        _hex("""
            01     # unit
            83     # read holding registers, refused
            02     # illegal data address
            c0 f1  # CRC
        """),
        False,
    ),
)

# The worked examples of the application protocol specification V1.1b3, sections 6 and 7, for unit 17.
SPECIFICATION = (
    _of_the_specification("6.1 read coils 20-38", "01 0013 0013", is_request=True),
    _of_the_specification("6.1 coils 20-38", "01 03 cd6b05", is_request=False),
    _of_the_specification("6.2 read discrete inputs 197-218", "02 00c4 0016", is_request=True),
    _of_the_specification("6.2 discrete inputs 197-218", "02 03 acdb35", is_request=False),
    _of_the_specification("6.3 read registers 108-110", "03 006b 0003", is_request=True),
    _of_the_specification("6.3 registers 108-110", "03 06 022b 0000 0064", is_request=False),
    _of_the_specification("6.4 read input register 9", "04 0008 0001", is_request=True),
    _of_the_specification("6.4 input register 9", "04 02 000a", is_request=False),
    _of_the_specification("6.5 coil 173 on", "05 00ac ff00", is_request=True),
    _of_the_specification("6.6 write register 2", "06 0001 0003", is_request=True),
    _of_the_specification("6.11 write coils 20-29", "0f 0013 000a 02 cd01", is_request=True),
    _of_the_specification("6.11 coils 20-29 written", "0f 0013 000a", is_request=False),
    _of_the_specification("6.12 write registers 2-3", "10 0001 0002 04 000a 0102", is_request=True),
    _of_the_specification("6.12 registers 2-3 written", "10 0001 0002", is_request=False),
    _of_the_specification("6.16 mask register 5", "16 0004 00f2 0025", is_request=True),
    _of_the_specification("6.17 read 4-9, write 15-17", "17 0003 0006 000e 0003 06 00ff 00ff 00ff", is_request=True),
    _of_the_specification("6.17 registers 4-9", "17 0c 00fe 0acd 0001 0003 000d 00ff", is_request=False),
    _of_the_specification("7 coil 1186 does not exist", "81 02", is_request=False),
)

EXAMPLES = KSEM + SPECIFICATION
REQUESTS = tuple(example for example in EXAMPLES if example.is_request)

READ_TOTALS = KSEM[2].frame

words = st.integers(0, 0xFFFF)
units = st.integers(0, 255)
reads = st.sampled_from((FunctionCode.READ_HOLDING_REGISTERS, FunctionCode.READ_INPUT_REGISTERS))


def registers(limit: int) -> st.SearchStrategy[tuple[int, ...]]:
    """1 to `limit` register values, now and then the longest."""
    few = st.lists(words, min_size=1, max_size=8)
    return st.one_of(few, few, st.lists(words, min_size=limit, max_size=limit)).map(tuple)


@st.composite
def ranges(draw: st.DrawFn, limit: int) -> tuple[int, int]:
    """Start and count of registers that exist."""
    count = draw(st.integers(1, limit))
    return draw(st.integers(0, 0x10000 - count)), count


@st.composite
def request_frames(draw: st.DrawFn) -> bytes:
    """A whole request of a function that the reader knows the length of."""
    start, count = draw(ranges(123))
    values = draw(registers(20))
    payload = b"".join(value.to_bytes(2) for value in values)
    place = start.to_bytes(2) + count.to_bytes(2)
    sized = start.to_bytes(2) + len(values).to_bytes(2) + bytes((len(payload),)) + payload
    pdu = draw(
        st.sampled_from((
            b"\x01" + place, b"\x02" + place, b"\x03" + place, b"\x04" + place, b"\x05" + place, b"\x06" + place,
            b"\x0f" + sized, b"\x10" + sized, b"\x16" + place + b"\0\0", b"\x17" + place + sized,
        ))
    )  # fmt: skip
    frame = RtuFrame(draw(units), pdu).encode()
    # One write in 65536 has a CRC by chance where a write's reply has its own: told apart only once it is whole.
    assume(frame[1] not in (15, 16) or not has_valid_crc(frame[:8]))
    return frame


@st.composite
def reply_frames(draw: st.DrawFn) -> bytes:
    """A whole reply of a function that the reader knows the length of, other than a request said back."""
    start, count = draw(ranges(123))
    payload = b"".join(value.to_bytes(2) for value in draw(registers(125)))
    place = start.to_bytes(2) + count.to_bytes(2)
    sized = bytes((len(payload),)) + payload
    refused = bytes((draw(st.integers(0x81, 0xFF)), draw(st.integers(1, 11))))
    pdu = draw(
        st.sampled_from((
            b"\x01" + sized, b"\x02" + sized, b"\x03" + sized, b"\x04" + sized, b"\x17" + sized,
            b"\x0f" + place, b"\x10" + place, refused,
        ))
    )  # fmt: skip
    return RtuFrame(draw(units), pdu).encode()
