import pytest

from modbus_codec import BadFrame, RtuFrame

from .frames import EXAMPLES, KSEM, Example


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_example_is_read_and_written_back(example: Example) -> None:
    frame = RtuFrame.decode(example.frame)
    assert frame == RtuFrame(example.frame[0], example.frame[1:-2])
    assert frame.encode() == example.frame


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_a_frame_damaged_in_any_bit_is_refused(example: Example) -> None:
    for bit in range(8 * len(example.frame)):
        damaged = bytearray(example.frame)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFrame, match="CRC"):
            RtuFrame.decode(bytes(damaged))


def test_a_wrong_crc_is_told_with_the_right_one() -> None:
    with pytest.raises(BadFrame, match="CRC ce 05 where ce 04 was due"):
        RtuFrame.decode(KSEM[0].frame[:-1] + b"\x05")


@pytest.mark.parametrize("length", [0, 1, 2, 3, 257, 1000])
def test_a_length_that_no_frame_has_is_refused(length: int) -> None:
    with pytest.raises(BadFrame, match=f"a frame of {length} bytes"):
        RtuFrame.decode(bytes(length))


@pytest.mark.parametrize(
    ("unit", "pdu", "written"),
    [(-1, b"\x03", "unit -1"), (256, b"\x03", "unit 256"), (1, b"", "0 bytes"), (1, bytes(254), "254 bytes")],
)
def test_a_frame_that_breaks_a_limit_can_not_be_built(unit: int, pdu: bytes, written: str) -> None:
    with pytest.raises(ValueError, match=written):
        RtuFrame(unit, pdu)


def test_the_longest_frame_has_256_bytes() -> None:
    frame = RtuFrame(247, bytes(range(253)))
    assert len(frame.encode()) == 256
    assert RtuFrame.decode(frame.encode()) == frame
