import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksem_publisher.push_connection import PushConnection, PushedWrite, WrittenRegisters
from modbus_codec.pdu import BadFrame


class Peer:
    """A meter that pushes."""

    def __init__(self) -> None:
        self.writes: list[PushedWrite] = []
        self.connection = PushConnection("192.168.1.20", 4711, "main", WrittenRegisters(), 0.0)

    def send(self, data: bytes) -> bytes:
        answers = self.connection.take(data, 5.0)
        self.writes += self.connection.writes()
        return answers


def mbap(pdu: bytes, transaction: int = 7, unit: int = 1) -> bytes:
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def fc16(start: int, registers: tuple[int, ...]) -> bytes:
    return struct.pack(f">BHHB{len(registers)}H", 16, start, len(registers), 2 * len(registers), *registers)


READ_TWO = bytes((3, 0, 0, 0, 2))


def test_a_write_is_answered_and_handed_out_with_its_time() -> None:
    peer = Peer()
    assert peer.send(mbap(fc16(0, (1, 2)), unit=71)) == mbap(bytes((16, 0, 0, 0, 2)), unit=71)
    assert peer.writes == [PushedWrite(16, 71, 0, (1, 2), 5.0)]


def test_a_single_write_is_taken_too() -> None:
    peer = Peer()
    pdu = struct.pack(">BHH", 6, 40, 4711)
    assert peer.send(mbap(pdu)) == mbap(pdu)
    assert peer.writes == [PushedWrite(6, 1, 40, (4711,), 5.0)]


def test_pipelined_writes_are_all_answered_in_one_go() -> None:
    peer = Peer()
    data = b"".join(mbap(fc16(start, (1,)), transaction=start) for start in range(5))
    answers = b"".join(mbap(struct.pack(">BHH", 16, start, 1), transaction=start) for start in range(5))
    assert peer.send(data) == answers


def test_a_write_in_fragments_is_answered_once_it_is_whole() -> None:
    peer = Peer()
    data = mbap(fc16(0, tuple(range(28))))
    for byte in data[:-1]:
        assert peer.send(bytes((byte,))) == b""
    assert peer.send(data[-1:]) == mbap(bytes((16, 0, 0, 0, 28)))


@st.composite
def nearly_writes(draw: st.DrawFn) -> list[bytes]:
    """A write of registers, whole and right; with one byte changed, lost, too many, too many registers; and two."""
    few, many = (st.lists(st.integers(0, 0xFFFF), min_size=low, max_size=high) for low, high in ((0, 4), (121, 125)))
    words = draw(few | many)
    pdu = fc16(draw(st.integers(0, 200) | st.integers(0xFF80, 0xFFFF)), tuple(words))
    frame = mbap(pdu, unit=draw(st.integers(0, 255)))
    at, byte = draw(st.integers(0, 12)), draw(st.binary(min_size=1, max_size=1))
    wrong = frame[:at] + byte + frame[at + 1 :], frame[:at] + frame[at + 1 :], frame[:at] + byte + frame[at:]
    return [frame, *wrong, mbap(pdu + byte + byte), frame + frame]


def written(chunks: list[bytes]) -> tuple[bytes, list[PushedWrite], str]:
    """What a peer receives that sends this, what it wrote, and why the connection ended."""
    connection = PushConnection("192.168.1.20", 4711, "main", WrittenRegisters(), 0.0)
    answers, why = b"", ""
    try:
        for chunk in chunks:
            answers += connection.take(chunk, 5.0)
    except BadFrame as error:
        why = str(error)
    return answers, connection.writes(), why


@given(nearly_writes())
def test_a_write_is_taken_alike_in_one_piece_and_in_many(frames: list[bytes]) -> None:
    for data in frames:
        halves = [data[: len(data) // 2], data[len(data) // 2 :]]
        whole = written([data])
        if whole[2]:  # in pieces it may end sooner, over another of its mistakes
            assert written(halves)[2]
        else:
            assert written(halves) == whole


def test_what_was_written_can_be_read_back_the_newest_first() -> None:
    peer = Peer()
    peer.send(mbap(fc16(0, (1, 2, 3))))
    peer.send(mbap(fc16(1, (9,))))
    assert peer.send(mbap(READ_TWO)) == mbap(bytes((3, 4, 0, 1, 0, 9)))


def test_what_comes_in_one_go_is_noted_in_its_order() -> None:
    peer = Peer()
    single = struct.pack(">BHH", 6, 1, 8)
    data = mbap(fc16(0, (1, 2))) + mbap(single) + mbap(READ_TWO) + mbap(fc16(0, (3,)))
    answers = mbap(bytes((16, 0, 0, 0, 2))) + mbap(single) + mbap(bytes((3, 4, 0, 1, 0, 8)))
    assert peer.send(data) == answers + mbap(bytes((16, 0, 0, 0, 1)))
    assert [(one.function, one.start, one.registers) for one in peer.writes] == [
        (16, 0, (1, 2)),
        (6, 1, (8,)),
        (16, 0, (3,)),
    ]


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [
        (READ_TWO, (0x83, 2)),
        (bytes((4, 0, 0, 0, 2)), (0x84, 1)),
        (bytes((1, 0, 0, 0, 2)), (0x81, 1)),
        (bytes((16, 0, 0, 0, 2, 4, 0)), (0x90, 3)),
        (bytes((16, 0, 0, 0, 0, 0)), (0x90, 3)),
    ],
)
def test_what_can_not_be_served_gets_its_exception(pdu: bytes, answer: tuple[int, int]) -> None:
    peer = Peer()
    assert peer.send(mbap(pdu)) == mbap(bytes(answer))
    assert peer.writes == []


def test_garbage_ends_the_connection() -> None:
    with pytest.raises(BadFrame):
        Peer().send(b"GET / HTTP/1.1\r\n")


@pytest.mark.promise(10)
def test_written_registers_are_bounded() -> None:
    written = WrittenRegisters()
    for start in range(1000):
        written.note(start, (start,))
    assert written.read(999, 1) == (999,)
    assert written.read(0, 1) is None
