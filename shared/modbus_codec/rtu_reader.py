"""Finds frames in what a port on a shared RS485 line delivers.

The silence of 3.5 characters that ends a frame is lost in adapters that deliver in grains of 1 to 16 ms. So a frame is
found by its length and CRC, and an idle gap, longer than any grain, only ends what could not be told otherwise. Frames
of other units are consumed whole: what their registers hold is never searched for requests while they are intact.
"""

from dataclasses import dataclass, field
from typing import Final

from modbus_codec.codes import EXCEPTION_BIT
from modbus_codec.crc import has_valid_crc
from modbus_codec.frame_shape import Kind, shape_at
from modbus_codec.rtu import MAX_FRAME, MIN_FRAME

GLITCH: Final = 2
"""Stray bytes that a driver may leave behind a frame as it lets go of the line; a client's next frame has more."""


@dataclass(frozen=True, slots=True)
class Request:
    """A frame in the form of a request, or of no known form but with a valid CRC between two idle gaps.

    A write of a single value and its reply are the same bytes: both are requests here.
    """

    frame: bytes
    unit: int
    pdu: bytes
    at: float
    """When the bytes came after which it was known to be whole."""
    overtaken: bool = False
    """More than `stray` bytes came in behind it: not to be answered."""
    stray: int = GLITCH
    """So many bytes behind it may be a glitch: none where any noise lies before it."""
    dug_out: bool = False
    """More than a glitch lies before it, or another request without a silence between: it may be a part of something
    longer, of which more is still to come, so only an idle gap tells that it ends here."""
    since: float = field(default=0.0, compare=False)
    """Its last byte did not arrive before this moment."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A frame in the form of a reply: another unit's, or our own as the adapter echoes it."""

    frame: bytes
    unit: int
    pdu: bytes
    at: float


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes that belong to no whole frame."""

    data: bytes
    at: float


Heard = Request | Reply | Noise


class RtuFrameReader:
    """Takes bytes with their time of arrival, gives frames and noise: every byte once, in order.

    It holds at most one frame (256 bytes) between calls and twice that within one. Times are seconds of one clock.
    """

    def __init__(self, idle_gap: float = 0.025) -> None:
        if not idle_gap > 0:
            raise ValueError(f"idle_gap {idle_gap}: more than 0 seconds is allowed")
        self.idle_gap = idle_gap
        self._held = bytearray()
        self._begin = 0
        """Where a frame may begin; the bytes before it begin none."""
        self._after_gap = True
        """Nothing but silence or a whole frame lies before what is held, so that it may be one frame of any form."""
        self._crowded = False
        """What is held follows a request without the silence that ends a frame."""
        self._at = 0.0
        self._arrivals: list[tuple[int, float]] = []
        """For each piece of what is held: where it ends, and the moment before which it did not arrive."""

    @property
    def pending(self) -> int:
        """Bytes held."""
        return len(self._held)

    @property
    def is_settled(self) -> bool:
        """Nothing is held, and what comes next begins a frame."""
        return self._after_gap and not self._crowded and not self._held

    def feed(self, data: bytes, now: float, since: float | None = None) -> list[Heard]:
        """Take bytes that arrived by `now`, and not before `since` (default: `now`).

        After a silence of more than `idle_gap`, which ends at `since`, what is held is flushed first.
        """
        since = now if since is None else since
        heard: list[Heard] = []
        if since > self._at + self.idle_gap:
            heard = self._search(ended=True)
        if data:
            self._at = now
        for begin in range(0, len(data), MAX_FRAME):
            self._held += data[begin : begin + MAX_FRAME]
            self._arrivals.append((len(self._held), since))
            heard += self._search(behind=max(0, len(data) - begin - MAX_FRAME))
        return heard

    def flush(self, now: float) -> list[Heard]:
        """Give what is held if nothing came for `idle_gap`, else nothing. Frames keep their time of arrival."""
        return self._search(ended=True) if now >= self._at + self.idle_gap else []

    def crowd(self) -> None:
        """What comes next follows the request heard last without the silence that ends a frame.

        No client does that, so both may lie in another unit's frame whose head was lost.
        """
        self._crowded = True

    def reset(self, now: float) -> None:
        """Forget what is held: it can't be dated any more, or comes from another port.

        What comes next may lie in the middle of a frame, until the line was silent for `idle_gap` after `now`.
        """
        self._held.clear()
        self._arrivals.clear()
        self._begin = 0
        self._at = now
        self._after_gap = False
        self._crowded = False

    def _search(self, *, ended: bool = False, behind: int = 0) -> list[Heard]:
        """Take all frames that can be told now; `behind` more bytes have arrived after what is held."""
        heard: list[Heard] = []
        while self._begin < len(self._held):
            kind, length = shape_at(self._held, self._begin, ended=ended)
            if kind is Kind.REQUEST or kind is Kind.REPLY:
                self._take(heard, kind, length, behind)
            elif ended:
                if self._is_one_frame():
                    self._begin = 0
                    self._take(heard, Kind.REQUEST, len(self._held), behind)
                else:
                    self._after_gap = False
                    self._begin += 1
            elif kind is Kind.INCOMPLETE or (
                kind is Kind.UNKNOWN_FUNCTION and self._begin == 0 and self._may_become_one_frame()
            ):
                break
            else:
                self._begin += 1
        if ended or not self._may_become_one_frame():
            self._drop_noise(heard)
        if ended:
            self._after_gap = True
            self._crowded = False
        return heard

    def _may_become_one_frame(self) -> bool:
        return self._after_gap and len(self._held) <= MAX_FRAME

    def _is_one_frame(self) -> bool:
        if self._crowded or not self._may_become_one_frame() or len(self._held) < MIN_FRAME:
            return False
        return 0 < self._held[1] < EXCEPTION_BIT and has_valid_crc(self._held)

    def _take(self, heard: list[Heard], kind: Kind, length: int, behind: int) -> None:
        unclear = self._crowded or not self._after_gap
        after_noise = unclear or self._begin > 0
        dug_out = unclear or self._begin > GLITCH
        self._crowded = False
        self._drop_noise(heard)
        frame = bytes(self._held[:length])
        since = next(since for end, since in self._arrivals if end >= length)
        self._remove(length)
        if kind is Kind.REPLY:
            self._after_gap = not dug_out
            heard.append(Reply(frame, frame[0], frame[1:-2], self._at))
            return
        stray = 0 if after_noise else GLITCH
        overtaken = len(self._held) + behind > stray
        # What follows may be the rest of what this one lay in: the registers of another unit's reply without its head.
        self._after_gap = not dug_out and not overtaken
        heard.append(Request(frame, frame[0], frame[1:-2], self._at, overtaken, stray, dug_out, since))

    def _drop_noise(self, heard: list[Heard]) -> None:
        """Let go of the bytes that begin no frame."""
        if self._begin:
            heard.append(Noise(bytes(self._held[: self._begin]), self._at))
            self._remove(self._begin)
            self._begin = 0
            self._after_gap = False

    def _remove(self, count: int) -> None:
        del self._held[:count]
        self._arrivals = [(end - count, since) for end, since in self._arrivals if end > count]
