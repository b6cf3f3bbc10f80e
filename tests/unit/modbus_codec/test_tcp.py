import pytest
from hypothesis import given
from hypothesis import strategies as st

from modbus_codec import BadFrame, MbapFrame, MbapReader

from .listening import single_bytes

# Messaging on TCP/IP implementation guide V1.0b, section 3.1.3: a read of register 5
READ = bytes.fromhex(
    "1501"  # transaction
    "0000"  # Modbus
    "0006"  # bytes that follow
    "ff"  # unit
    "03 0004 0001"  # read holding registers, start 4, count 1
)
FRAME = MbapFrame(0x1501, 0xFF, bytes.fromhex("03 0004 0001"))
LONGEST = MbapFrame(0xFFFF, 1, bytes(253))

frames = st.builds(MbapFrame, st.integers(0, 0xFFFF), st.integers(0, 255), st.binary(min_size=1, max_size=253))


def test_a_frame_is_the_guides_bytes() -> None:
    assert FRAME.encode() == READ
    assert MbapReader().feed(READ) == [FRAME]


@pytest.mark.parametrize("frame", [FRAME, LONGEST, MbapFrame(0, 0, b"\x07")])
def test_a_frame_is_found_with_its_last_byte(frame: MbapFrame) -> None:
    reader = MbapReader()
    *first, last = single_bytes(frame.encode())
    for count, byte in enumerate(first, 1):
        assert reader.feed(byte) == []
        assert reader.pending == count
    assert reader.feed(last) == [frame]
    assert reader.pending == 0


@given(st.lists(frames, max_size=6), st.data())
def test_pipelined_frames_are_found_in_any_chunks(sent: list[MbapFrame], data: st.DataObject) -> None:
    stream = b"".join(frame.encode() for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = MbapReader()
    read: list[MbapFrame] = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        read += reader.feed(stream[begin:end])
        assert reader.pending < 260
    assert read == sent
    assert reader.pending == 0


@pytest.mark.parametrize(
    ("garbage", "written"),
    [
        (b"GET / HTTP/1.1\r\n", "protocol id 54 20"),
        (bytes.fromhex("0001 0007 0006 01 03 0000 0001"), "protocol id 00 07"),
        (bytes.fromhex("0001 0100"), "protocol id 01 00"),
        (bytes.fromhex("0001 01"), "protocol id 01"),
        (bytes.fromhex("0001 0000 0000 01 03"), "length 0: 2 to 254"),
        (bytes.fromhex("0001 0000 0001 01 03"), "length 1: 2 to 254"),
        (bytes.fromhex("0001 0000 00ff"), "length 255: 2 to 254"),
        (bytes.fromhex("0001 0000 ffff"), "length 65535: 2 to 254"),
    ],
)
def test_a_header_that_is_not_modbus_is_refused_as_soon_as_it_is_there(garbage: bytes, written: str) -> None:
    with pytest.raises(BadFrame, match=written):
        MbapReader().feed(garbage)
    with pytest.raises(BadFrame, match=written):
        MbapReader().feed(READ + garbage)
    reader = MbapReader()
    with pytest.raises(BadFrame, match=written.split(maxsplit=1)[0]):
        for byte in single_bytes(garbage):
            reader.feed(byte)


def test_nothing_is_read_behind_a_header_that_was_refused() -> None:
    reader = MbapReader()
    with pytest.raises(BadFrame):
        reader.feed(b"GET /")
    with pytest.raises(BadFrame, match="protocol id"):
        reader.feed(READ)
    assert reader.pending == 0


@pytest.mark.parametrize(
    ("transaction", "unit", "pdu", "written"),
    [
        (-1, 1, b"\x03", "transaction -1"),
        (65536, 1, b"\x03", "transaction 65536"),
        (0, 256, b"\x03", "unit 256"),
        (0, 1, b"", "0 bytes"),
        (0, 1, bytes(254), "254 bytes"),
    ],
)
def test_a_frame_that_breaks_a_limit_can_not_be_built(transaction: int, unit: int, pdu: bytes, written: str) -> None:
    with pytest.raises(ValueError, match=written):
        MbapFrame(transaction, unit, pdu)


@given(st.lists(st.binary(max_size=600), max_size=5))
@pytest.mark.promise(10)
def test_any_bytes_are_frames_that_encode_back_or_refused_and_never_held_for_long(chunks: list[bytes]) -> None:
    reader = MbapReader()
    read = b""
    try:
        for chunk in chunks:
            read += b"".join(frame.encode() for frame in reader.feed(chunk))
            assert reader.pending < 260
    except BadFrame:
        assert reader.pending == 0
    else:
        assert len(read) + reader.pending == sum(map(len, chunks))
    assert b"".join(chunks).startswith(read)
