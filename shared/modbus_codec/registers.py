"""Register addresses and values, checked."""

import struct

from modbus_codec.codes import ADDRESSES


def check_range(start: int, count: int, limit: int) -> None:
    """Raise ValueError unless `count` is 1 to `limit` and all addresses lie within 0 to 65535."""
    if not 1 <= count <= limit:
        raise ValueError(f"count {count}: 1 to {limit} is allowed")
    if not 0 <= start <= ADDRESSES - count:
        raise ValueError(f"start {start} with count {count}: all addresses must lie within 0 to 65535")


def pack_words(words: tuple[int, ...]) -> bytes:
    """Return register values as they travel, high byte first. Raises ValueError where one is not 0 to 65535."""
    try:
        return struct.pack(f">{len(words)}H", *words)
    except struct.error:
        wrong = next(word for word in words if not isinstance(word, int) or not 0 <= word < ADDRESSES)
        raise ValueError(f"{wrong!r} is no register value: 0 to 65535 is allowed") from None
