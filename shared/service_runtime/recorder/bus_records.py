"""Turns frames between an inverter and its meter into records, with the time of each byte [core].

A frame may be recognised later than it arrived, and an adapter delivers several bytes at once: in a chunk, the last
byte is dated to the chunk's arrival and each one before it a character's time earlier.
"""

import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from ksem_contract.capture_file import CaptureRecord
from modbus_codec.pdu import (
    EXCEPTION_BIT,
    READS,
    ModbusCodecError,
    WriteMultipleRequest,
    WriteSingleRequest,
    decode_request,
)
from modbus_codec.rtu import FrameEvent, Noise, Reply, Request

SHOWN: Final = 8
"""First bytes of a request that is no read or write: they hold no serial number."""
SHOWN_OF_ANSWER: Final = 3
"""First bytes of noise and of unknown replies: what follows could be a part of the serial number."""
ECHOED: Final = (5, 6, 22)
"""Functions whose reply is the request's own bytes."""
BITS: Final = {"N": 10, "E": 11, "O": 11}
"""Start bit, eight bits, parity and one stop bit."""


def character_time(baudrate: int, parity: str, stopbits: int) -> float:
    """Seconds that one character takes on the line."""
    return (BITS[parity] + stopbits - 1) / baudrate


class _Requested(NamedTuple):
    """The request that waits for its reply."""

    record: CaptureRecord
    frame: bytes
    end: float


class BusRecorder:
    """Dates received frames, and gives each reply the range of its request. Times in seconds of one clock."""

    def __init__(self, zero: float, character: float, *, serial_number: bool = False) -> None:
        self._zero = zero
        self._character = character
        self._times = ArrivalTimes(character)
        self._serial_number = serial_number
        self._last_end: float | None = None
        self._requested: _Requested | None = None

    def arrived(self, data: bytes, now: float) -> None:
        """These bytes were handed over at `now`; call it before the frame reader is fed with them."""
        self._times.arrived(len(data), now)

    def records(self, received: Sequence[FrameEvent]) -> list[CaptureRecord]:
        """The frame reader's results as records, in its order: every byte that arrived belongs to one of them."""
        return [self._record(one) for one in received]

    def written(self, frame: bytes, begin: float) -> CaptureRecord:
        """The record of an answer that this program itself began to send at `begin`."""
        end = begin + len(frame) * self._character
        return self._dated(Reply(frame, frame[0], frame[1:-2], end), begin, end)

    def _record(self, received: FrameEvent) -> CaptureRecord:
        data = received.data if isinstance(received, Noise) else received.frame
        return self._dated(received, *self._times.take(len(data)))

    def _dated(self, received: FrameEvent, begin: float, end: float) -> CaptureRecord:
        gap_ms = None if self._last_end is None else max(0.0, 1000 * (begin - self._last_end))
        self._last_end = end
        t = end - self._zero
        if isinstance(received, Request) and not self._is_echoed(received):
            record = self._request(received, t, gap_ms)
            self._requested = _Requested(record, received.frame, end)
        elif isinstance(received, Noise):
            data = received.data
            raw = data if self._serial_number else data[:SHOWN_OF_ANSWER]
            record = CaptureRecord(t=t, what="noise", gap_ms=gap_ms, length=len(data), raw=raw.hex(" "))
        else:
            record = self._reply(received, t, gap_ms, begin)
            self._requested = None
        return record if self._serial_number else record.without_serial_number()

    def _is_echoed(self, received: Request) -> bool:
        return self._requested is not None and received.pdu[0] in ECHOED and received.frame == self._requested.frame

    def _request(self, received: Request, t: float, gap_ms: float | None) -> CaptureRecord:
        base = CaptureRecord(
            t=t, what="request", gap_ms=gap_ms, unit=received.unit, function=received.pdu[0], length=len(received.frame)
        )
        try:
            requested = decode_request(received.pdu)
        except ModbusCodecError as error:
            raw = received.frame if self._serial_number else received.frame[:SHOWN]
            return replace(base, raw=raw.hex(" "), why=str(error))
        if isinstance(requested, WriteMultipleRequest):
            return replace(base, start=requested.start, count=len(requested.registers), values=requested.registers)
        if isinstance(requested, WriteSingleRequest):
            return replace(base, start=requested.address, count=1, values=(requested.value,))
        return replace(base, start=requested.start, count=requested.count)

    def _reply(self, received: Request | Reply, t: float, gap_ms: float | None, begin: float) -> CaptureRecord:
        function = received.pdu[0] & ~EXCEPTION_BIT
        base = CaptureRecord(
            t=t, what="reply", gap_ms=gap_ms, unit=received.unit, function=function, length=len(received.frame)
        )
        requested = self._requested
        if requested and (requested.record.unit, requested.record.function) == (received.unit, function):
            delay_ms = max(0.0, 1000 * (begin - requested.end))
            base = replace(base, start=requested.record.start, count=requested.record.count, delay_ms=delay_ms)
        else:
            base = replace(base, why="nothing requested it")
        if received.pdu[0] & EXCEPTION_BIT:
            return replace(base, what="exception", code=received.pdu[1])
        if function in READS:
            values = struct.unpack(f">{received.pdu[1] // 2}H", received.pdu[2:])
            if base.count is not None and base.count != len(values):
                return replace(
                    base, start=None, count=len(values), values=values, why=f"{base.count} registers were requested"
                )
            return replace(base, count=len(values), values=values)
        if base.start is None:
            raw = received.frame if self._serial_number else received.frame[:SHOWN_OF_ANSWER]
            return replace(base, raw=raw.hex(" "))
        return base


class ArrivalTimes:
    """Maps positions in the stream to times in seconds. `character` is how long one takes on the wire."""

    def __init__(self, character: float) -> None:
        self._character = character
        self._chunks: deque[tuple[int, float]] = deque()
        self._arrived = 0
        self._taken = 0
        self._before = float("-inf")

    def arrived(self, count: int, now: float) -> None:
        """A chunk of `count` bytes was handed over at `now`."""
        self._arrived += count
        self._chunks.append((self._arrived, now))

    def take(self, count: int) -> tuple[float, float]:
        """The next `count` bytes of the stream: when the first one began, and when the last one was there."""
        begin = self._at(self._taken) - self._character
        end = self._at(self._taken + count - 1)
        self._taken += count
        while len(self._chunks) > 1 and self._chunks[0][0] <= self._taken:
            self._before = self._chunks.popleft()[1]
        return begin, end

    def _at(self, place: int) -> float:
        before = self._before
        for stop, now in self._chunks:
            if place < stop:
                return max(before, now - (stop - 1 - place) * self._character)
            before = now
        raise ValueError(f"byte {place} of {self._arrived}: it has not arrived")
