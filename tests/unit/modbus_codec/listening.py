"""A line for the reader's tests: bytes go in at a time, what was heard comes out in short."""

from collections.abc import Iterable

from modbus_codec import FrameEvent, Noise, Reply, Request, RtuFrameReader

GAP = 0.025
CHARACTER = 0.000286
"""Seconds a character takes at 38400 8N2."""


def short(received: Iterable[FrameEvent]) -> list[tuple[str, bytes]]:
    """Kind and bytes, without times; noise that comes in pieces as one."""
    written: list[tuple[str, bytes]] = []
    for one in received:
        if not isinstance(one, Noise):
            written.append(("request" if isinstance(one, Request) else "reply", one.frame))
        elif written and written[-1][0] == "noise":
            written[-1] = ("noise", written[-1][1] + one.data)
        else:
            written.append(("noise", one.data))
    return written


def request(frame: bytes) -> tuple[str, bytes]:
    return "request", frame


def reply(frame: bytes) -> tuple[str, bytes]:
    return "reply", frame


def noise(data: bytes | bytearray) -> tuple[str, bytes]:
    return "noise", bytes(data)


def bytes_of(received: Iterable[FrameEvent]) -> bytes:
    """All that was heard, put together again."""
    return b"".join(one.data if isinstance(one, Noise) else one.frame for one in received)


def on_message(*chunks: bytes, reader: RtuFrameReader | None = None, start: float = 100.0) -> list[FrameEvent]:
    """Feed `chunks` a character's time apart, then nothing for an idle gap."""
    reader = reader or RtuFrameReader(GAP)
    received: list[FrameEvent] = []
    now = start
    for chunk in chunks:
        now += CHARACTER
        received += reader.feed(chunk, now)
    received += reader.flush(now + GAP)
    assert reader.pending == 0
    return received


def single_bytes(data: bytes | bytearray) -> list[bytes]:
    return [bytes((byte,)) for byte in data]


def requests_for(unit: int, received: Iterable[FrameEvent]) -> list[Request]:
    """What unit `unit` would answer."""
    return [one for one in received if isinstance(one, Request) and one.unit == unit and not one.superseded]


def replies(received: Iterable[FrameEvent]) -> list[Reply]:
    return [one for one in received if isinstance(one, Reply)]
