import asyncio
import struct
from typing import Any

import pytest

from ksem_publisher.push_connection import PushConnection, PushedWrite, WrittenRegisters


class FakeTransport(asyncio.Transport):
    """Keeps what was written, and in which order it was written and handed on."""

    def __init__(self, order: list[str]) -> None:
        super().__init__()
        self.order = order
        self.written = b""
        self.aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.168.1.20", 4711) if name == "peername" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.order.append("answer")
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.aborted = True


class FakeOwner:
    """Lets everyone in."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.writes: list[PushedWrite] = []
        self.complaints: list[str] = []
        self.lets_in = True

    def opened(self, connection: PushConnection) -> WrittenRegisters | None:
        return WrittenRegisters() if self.lets_in else None

    def wrote(self, connection: PushConnection, writes: list[PushedWrite]) -> None:
        self.order.append("handed on")
        self.writes += writes

    def closed(self, connection: PushConnection) -> None: ...

    def complained(self, connection: PushConnection, what: str) -> None:
        self.complaints.append(what)


class Peer:
    """A meter that pushes."""

    def __init__(self, *, lets_in: bool = True) -> None:
        self.owner = FakeOwner()
        self.owner.lets_in = lets_in
        self.transport = FakeTransport(self.owner.order)
        self.connection = PushConnection(self.owner, clock=lambda: 5.0)
        self.connection.connection_made(self.transport)

    def say(self, data: bytes) -> bytes:
        self.transport.written = b""
        self.connection.data_received(data)
        return self.transport.written


def mbap(pdu: bytes, transaction: int = 7, unit: int = 1) -> bytes:
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def fc16(start: int, registers: tuple[int, ...]) -> bytes:
    return struct.pack(f">BHHB{len(registers)}H", 16, start, len(registers), 2 * len(registers), *registers)


READ_TWO = bytes((3, 0, 0, 0, 2))


def test_a_write_is_answered_before_anything_else_is_done_with_it() -> None:
    peer = Peer()
    assert peer.say(mbap(fc16(0, (1, 2)), unit=71)) == mbap(bytes((16, 0, 0, 0, 2)), unit=71)
    assert peer.owner.order == ["answer", "handed on"]
    assert peer.owner.writes == [PushedWrite(16, 71, 0, (1, 2), 5.0)]


def test_a_single_write_is_taken_too() -> None:
    peer = Peer()
    pdu = struct.pack(">BHH", 6, 40, 4711)
    assert peer.say(mbap(pdu)) == mbap(pdu)
    assert peer.owner.writes == [PushedWrite(6, 1, 40, (4711,), 5.0)]


def test_pipelined_writes_are_all_answered_in_one_go() -> None:
    peer = Peer()
    data = b"".join(mbap(fc16(start, (1,)), transaction=start) for start in range(5))
    answers = b"".join(mbap(struct.pack(">BHH", 16, start, 1), transaction=start) for start in range(5))
    assert peer.say(data) == answers
    assert peer.owner.order == ["answer", "handed on"]


def test_a_write_in_fragments_is_answered_once_it_is_whole() -> None:
    peer = Peer()
    data = mbap(fc16(0, tuple(range(28))))
    for byte in data[:-1]:
        assert peer.say(bytes((byte,))) == b""
    assert peer.say(data[-1:]) == mbap(bytes((16, 0, 0, 0, 28)))


def test_what_was_written_can_be_read_back_the_newest_first() -> None:
    peer = Peer()
    peer.say(mbap(fc16(0, (1, 2, 3))))
    peer.say(mbap(fc16(1, (9,))))
    assert peer.say(mbap(READ_TWO)) == mbap(bytes((3, 4, 0, 1, 0, 9)))


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
    assert peer.say(mbap(pdu)) == mbap(bytes(answer))
    assert peer.owner.writes == []


def test_garbage_closes_the_connection() -> None:
    peer = Peer()
    assert peer.say(b"GET / HTTP/1.1\r\n") == b""
    assert peer.transport.aborted
    assert "192.168.1.20" in peer.owner.complaints[0]


def test_a_refused_peer_is_not_listened_to() -> None:
    peer = Peer(lets_in=False)
    assert peer.transport.aborted
    assert peer.say(mbap(fc16(0, (1,)))) == b""
    assert peer.owner.writes == []


def test_written_registers_are_bounded() -> None:
    written = WrittenRegisters()
    for start in range(1000):
        written.note(start, (start,))
    assert written.read(999, 1) == (999,)
    assert written.read(0, 1) is None
