"""What another device would answer at the meter's address [core]: an inverter, with its own registers."""

import struct

from ksem_contract.register_range import RegisterRange


def foreign_words(wanted: RegisterRange, seconds: float) -> bytes:
    """Registers of a made-up inverter: floats with the low word first, as a Plenticore has them, moving with time."""
    words = []
    for address in range(wanted.start, wanted.stop):
        high, low = struct.unpack(">HH", struct.pack(">f", 231.4 + address // 2 + seconds % 10.0))
        words.append(low if address % 2 == 0 else high)
    return struct.pack(f">{len(words)}H", *words)
