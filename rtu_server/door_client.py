"""One reader's connection: frames in, frames out, free of sockets and clocks."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from modbus_codec.crc import append_crc
from modbus_codec.pdu import ExceptionCode, ExceptionReply
from modbus_codec.tcp import MbapFrame, MbapReader

from .reply_book import Answer
from .responder import Responder

MOST_UNSENT: Final = 4096
"""Bytes that a reader may leave lying; it gets no further answers before it has taken them."""


@dataclass(slots=True)
class DoorClient:
    """What was asked and not answered yet, and what was answered and not sent yet."""

    last: float
    """When it asked last, seconds of CLOCK_BOOTTIME."""
    reader: MbapReader = field(default_factory=MbapReader)
    asked: deque[MbapFrame] = field(default_factory=deque)
    unsent: bytes = b""

    @property
    def may_ask(self) -> bool:
        """Whether more is to be read from it."""
        return not self.asked and len(self.unsent) < MOST_UNSENT

    def feed(self, data: bytes, now: float) -> None:
        """Take what came. Raises BadFrame where it can't be Modbus TCP: close the connection."""
        self.last = now
        self.asked.extend(self.reader.feed(data))

    def answer_one(self, responder: Responder, now: float, any_unit: int | None = None) -> tuple[bytes, Answer]:
        """Answer the request that came first; return it as a frame of the line, and what became of it.

        `any_unit`: the unit that answers for all unit ids; None: each id stands for itself.
        """
        frame = self.asked.popleft()
        unit = frame.unit if any_unit is None else any_unit
        request = append_crc(bytes((unit,)) + frame.pdu)
        answer = responder.answer(request, now) if responder.serves(unit) else _no_such_unit(frame)
        responder.written(request, answer, now)
        responder.left(request, answer, now)
        if answer.frame:
            self.unsent += MbapFrame(frame.transaction, frame.unit, answer.frame[1:-2]).encode()
        return request, answer


def _no_such_unit(frame: MbapFrame) -> Answer:
    """Silence would be right on a line that others share; a reader over TCP would wait for it in vain."""
    code = ExceptionCode.GATEWAY_PATH_UNAVAILABLE
    pdu = ExceptionReply(frame.pdu[0] & 0x7F or 1, code).encode()
    return Answer(append_crc(bytes((frame.unit,)) + pdu), f"exception-{int(code)}")
