"""Frames on a TCP connection [core]. Source: Modbus messaging on TCP/IP implementation guide V1.0b, section 3.1.3."""

import struct
from dataclasses import dataclass
from typing import Final

from modbus_codec.pdu import ADDRESSES, MAX_PDU, MAX_WRITE, WRITE_REPLY, BadFrame, FunctionCode

HEADER: Final = 7
_LENGTH_END: Final = 6
_WRITE: Final = struct.Struct(">HHHBBHHB")
"""A write of registers (function 16) up to them: transaction, protocol, length, unit, function, start, count, bytes."""
_WRITE_REPLY_REST: Final = b"\0\6"
"""The length of what follows it in a write's reply: unit, function, start, count."""


@dataclass(frozen=True, slots=True)
class MbapFrame:
    """`transaction` 0 to 65535 (a reply has its request's), `unit` 0 to 255, `pdu` 1 to 253 bytes."""

    transaction: int
    unit: int
    pdu: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.transaction <= 0xFFFF:
            raise ValueError(f"transaction {self.transaction}: 0 to 65535 is allowed")
        if not 0 <= self.unit <= 255:
            raise ValueError(f"unit {self.unit}: 0 to 255 is allowed")
        if not 1 <= len(self.pdu) <= MAX_PDU:
            raise ValueError(f"a PDU of {len(self.pdu)} bytes: 1 to {MAX_PDU} is allowed")

    def encode(self) -> bytes:
        return encode_frame(self.transaction, self.unit, self.pdu)


def encode_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """Return a frame as it travels; its parts as in MbapFrame, not checked."""
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def whole_write(data: bytes) -> tuple[int, int] | None:
    """Return start and count where `data` is one write of registers (function 16) from its first byte to its last.

    None for everything else, also for wrong writes: `MbapReader` finds what that is. Fast: clients wait.
    """
    size = len(data) - _WRITE.size
    if size < 2:
        return None
    _, protocol, length, _, function, start, count, byte_count = _WRITE.unpack_from(data)
    if function != FunctionCode.WRITE_MULTIPLE_REGISTERS or protocol or length != len(data) - _LENGTH_END:
        return None
    if not byte_count == 2 * count == size or count > MAX_WRITE or start + count > ADDRESSES:
        return None
    return start, count


def write_reply(write: bytes) -> bytes:
    """Return the reply to a whole write of registers: its own begin, with another length."""
    return write[:4] + _WRITE_REPLY_REST + write[_LENGTH_END : HEADER + WRITE_REPLY]


class MbapReader:
    """Finds the frames in one direction of one connection; holds less than one frame (260 bytes) between feeds."""

    def __init__(self) -> None:
        self._held = b""
        self._broken = ""

    def feed(self, data: bytes) -> list[MbapFrame]:
        """Return the frames that are complete now, in order.

        Raises BadFrame when a header can't be Modbus TCP, as soon as its wrong bytes are there. Where the next
        frame begins is lost then: every later call raises too, and the connection is to be closed.
        """
        if self._broken:
            raise BadFrame(self._broken)
        held = self._held + data
        frames: list[MbapFrame] = []
        begin = 0
        while (size := self._frame_size(held, begin)) and begin + size <= len(held):
            transaction = int.from_bytes(held[begin : begin + 2])
            frames.append(MbapFrame(transaction, held[begin + 6], held[begin + HEADER : begin + size]))
            begin += size
        self._held = held[begin:]
        return frames

    @property
    def pending(self) -> int:
        """Bytes held of a frame that isn't complete."""
        return len(self._held)

    def _frame_size(self, held: bytes, begin: int) -> int:
        """Return the size in bytes of the frame at `begin`, 0 while it isn't known."""
        protocol = held[begin + 2 : begin + 4]
        if any(protocol):
            self._fail(f"protocol id {protocol.hex(' ')}: only 00 00 is Modbus")
        if len(held) < begin + _LENGTH_END:
            return 0
        length = int.from_bytes(held[begin + 4 : begin + _LENGTH_END])
        if not 2 <= length <= MAX_PDU + 1:
            self._fail(f"length {length}: 2 to {MAX_PDU + 1} is allowed")
        return _LENGTH_END + length

    def _fail(self, text: str) -> None:
        self._held = b""
        self._broken = text
        raise BadFrame(text)
