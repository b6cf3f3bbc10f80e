"""The CRC of Modbus RTU: polynomial x^16 + x^15 + x^2 + 1, bits reflected, start 0xFFFF, low byte first on the wire.

Serial line specification 1.02, section 6.2. Its tables take a step of Python for each byte; whole numbers take a few
for the whole frame. The polynomial is (x + 1)(x^15 + x + 1), and the remainders by its factors come cheaply: by x + 1
it is the parity of all bits; by the other x^15 = x + 1 and, as squaring is linear over GF(2), x^15m = x^m + 1 for each
m that is a power of two. So the highest powers fold onto the others, nearly half of them at a time.
"""

from functools import lru_cache
from typing import Final

_START: Final = 0xFFFF
_TRINOMIAL: Final = 0xC001
"""x^15 + x + 1 as 16 bits, reflected: the highest power in the lowest bit."""

_STEPS: Final = tuple(1 << power for power in range(8))
"""m, as far as frames of 256 bytes have use for it."""


@lru_cache(maxsize=512)  # a frame has at most 256 bytes
def _folds(size: int) -> tuple[tuple[int, int, int, int], ...]:
    """How `size` bytes and a CRC's worth of zeros fold to 15 bits: mask of the bits that go, their number, two shifts.

    Reflected, the highest powers are the lowest bits: those go, and come back twice among the rest.
    """
    folds = []
    bits = 8 * size + 16
    while bits > 15:
        gone, step = max((min(bits - 15 * step, 14 * step), step) for step in _STEPS)
        folds.append(((1 << gone) - 1, gone, 14 * step - gone, 15 * step - gone))
        bits -= gone
    return tuple(folds)


def crc16(data: bytes | bytearray) -> int:
    """Return the CRC of `data`; over a whole frame with its CRC it is 0.

    Zeros behind such a frame leave it 0, so a CRC alone never tells where a frame ends.
    """
    rest = int.from_bytes(data, "little") ^ _START
    odd = rest.bit_count() & 1
    for mask, gone, near, far in _folds(len(data)):
        high = rest & mask
        rest = rest >> gone ^ high << near ^ high << far
    rest <<= 1  # from 15 bits to 16: the lowest is x^15
    return rest if rest.bit_count() & 1 == odd else rest ^ _TRINOMIAL


def append_crc(data: bytes) -> bytes:
    """Return `data` (unit and PDU) with its CRC behind it."""
    return data + crc16(data).to_bytes(2, "little")


def has_valid_crc(frame: bytes | bytearray) -> bool:
    """Tell whether the last two bytes are the CRC of what stands before them."""
    return len(frame) > 2 and crc16(frame) == 0
