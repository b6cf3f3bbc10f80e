import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from modbus_codec import append_crc, crc16, has_valid_crc

from .frames import EXAMPLES, KSEM, Example


def test_crc_is_that_of_the_specifications_example() -> None:
    # Serial line specification 1.02, section 6.2.2: read exception status of unit 2
    assert append_crc(bytes.fromhex("02 07")) == bytes.fromhex("02 07 41 12")


@pytest.mark.parametrize("example", KSEM, ids=lambda example: example.name)
def test_crc_is_that_of_the_known_frames(example: Example) -> None:
    assert append_crc(example.frame[:-2]) == example.frame


@given(st.binary(max_size=300))
def test_crc_is_pymodbuss(data: bytes) -> None:
    assert crc16(data).to_bytes(2, "little") == FramerRTU.compute_CRC(data).to_bytes(2, "big")


@pytest.mark.parametrize("byte", [0x00, 0x01, 0x80, 0xA5, 0xFF])
def test_crc_is_pymodbuss_at_every_length(byte: int) -> None:
    for size in (*range(262), 1000):
        data = bytes((byte,)) * size
        assert crc16(data).to_bytes(2, "little") == FramerRTU.compute_CRC(data).to_bytes(2, "big"), size


@given(st.binary(min_size=1, max_size=260))
def test_bytes_with_their_crc_are_valid(data: bytes) -> None:
    assert has_valid_crc(append_crc(data))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_every_single_wrong_bit_is_noticed(example: Example) -> None:
    for bit in range(8 * len(example.frame)):
        damaged = bytearray(example.frame)
        damaged[bit // 8] ^= 1 << bit % 8
        assert not has_valid_crc(damaged)


def test_a_crc_alone_does_not_tell_where_a_frame_ends() -> None:
    assert has_valid_crc(KSEM[0].frame + b"\x00")


@pytest.mark.parametrize("nothing", [b"", b"\x00", b"\xff\xff"])
def test_bytes_too_few_to_have_a_crc_have_no_valid_one(nothing: bytes) -> None:
    assert not has_valid_crc(nothing)
