"""The CRC of Modbus RTU, by the table of the specification [core].

Polynomial x^16 + x^15 + x^2 + 1, bits reflected, start 0xFFFF, low byte first on the wire.
Source: Modbus over serial line specification 1.02, section 6.2.2.
"""

from typing import Final

_START: Final = 0xFFFF
_POLYNOMIAL: Final = 0xA001
"""Without x^16, reflected: the highest power in the lowest bit."""


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE: Final = tuple(_remainder(byte) for byte in range(256))
"""The remainder of each byte, one look-up for eight steps of division."""


def crc16(data: bytes | bytearray) -> int:
    """Return the CRC of `data`; over a whole frame with its CRC it is 0.

    Zeros behind such a frame leave it 0, so a CRC alone never shows where a frame ends.
    """
    crc = _START
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def append_crc(data: bytes) -> bytes:
    """Return `data` (unit and PDU), followed by its CRC."""
    return data + crc16(data).to_bytes(2, "little")


def has_valid_crc(frame: bytes | bytearray) -> bool:
    """Return whether the last two bytes are the CRC of the bytes before them."""
    return len(frame) > 2 and crc16(frame) == 0
