"""A PUBLISH packet of QoS 0, the only packet that is not paho's [core].

A publisher sends 35 of them a second. paho builds each with a condition variable, a queue entry and a dozen look-ups:
80 us where this takes 8, a quarter of what the whole service costs. For each that it receives it makes tables of all
properties of MQTT 5 first: 230 us on a processor that has slept, a quarter of what a block costs its reader. Everything
that has a state (connecting, subscribing, acknowledgements, keepalive) stays paho's.
"""

import struct
from typing import Final

_PUBLISH: Final = 0x30
_RETAIN: Final = 0x01
_QOS: Final = 0x06
_EXPIRY: Final = 0x02
"""Message expiry interval: MQTT 5.0, section 3.3.2.3.3."""


def publish_packet(topic: str, payload: bytes, *, retain: bool, expiry: int | None, version: int) -> bytes:
    """The packet (MQTT 5.0 and 3.1.1, section 3.3). `version` is 5 or 3; only 5 knows `expiry`, in seconds."""
    name = topic.encode()
    if version != 5:
        properties = b""
    elif expiry is None:
        properties = b"\0"
    else:
        properties = struct.pack(">BBI", 5, _EXPIRY, expiry)
    rest = len(payload) + len(name) + len(properties) + 2
    length = bytearray()
    while rest > 127:  # a variable byte integer: section 1.5.5
        length.append(rest & 127 | 128)
        rest >>= 7
    length.append(rest)
    head = bytes((_PUBLISH | (_RETAIN if retain else 0),))
    return b"".join((head, length, len(name).to_bytes(2), name, properties, payload))


def is_plain(head: int) -> bool:
    """Whether a PUBLISH whose packet begins with this byte has QoS 0."""
    return not head & _QOS


def read_publish(head: int, body: bytes | bytearray, *, version: int) -> tuple[str, bytes, bool]:
    """Topic, payload and retain of a message of QoS 0: `head` is its packet's first byte, `body` all behind its length.

    Properties are skipped. ValueError where it is no such packet; UnicodeDecodeError, which is one, for its topic.
    """
    end = at = 2 + int.from_bytes(body[:2])
    if version == 5:
        length = shift = 0
        while True:
            byte = body[at] if at < len(body) and shift <= 21 else None
            if byte is None:
                raise ValueError("a message whose properties have no end")
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        at += length
    if at > len(body):
        raise ValueError(f"a message of {len(body)} bytes where its fields take {at}")
    return body[2:end].decode(), bytes(body[at:]), bool(head & _RETAIN)
