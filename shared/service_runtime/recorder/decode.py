"""Turns the wire events that a service recorded into records of a capture file [core], on the service's clock."""

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from ksem_contract.capture_file import CaptureRecord
from modbus_codec.pdu import FunctionCode
from modbus_codec.rtu import RtuFrameReader
from service_runtime.recorder import wire_events
from service_runtime.recorder.bus_records import BusRecorder
from service_runtime.recorder.wire_events import WireEvent

PEER: Final = "peer"
"""In `about` of a meter: `address:port` that is polled."""
UNIT: Final = "unit"
"""In `about` of a meter: the unit id of requests."""
# In `about` of a node: by each line's name, microseconds that a character takes on it.

_IDLE_GAP: Final = 0.1
"""Seconds of silence that end a broken frame; as in `capture bus`: a pause of the host is no pause of the line."""
_USUAL_CHARACTER: Final = 11 / 38400


class MeterDecoder:
    """Records of one meter's publisher."""

    def __init__(self, meter: str, about: Mapping[str, str], *, serial_number: bool) -> None:
        self._meter = meter
        self._peer = about.get(PEER)
        self._unit = int(about.get(UNIT, "1"))
        self._serial_number = serial_number
        self._requested: CaptureRecord | None = None
        self._makers: dict[str, Callable[[WireEvent], CaptureRecord]] = {
            wire_events.CONNECTED: self._connection,
            wire_events.CLOSED: self._connection,
            wire_events.WRITE: self._write,
            wire_events.HELD: self._held,
            wire_events.POLL: self._poll,
            wire_events.ANSWERED: self._poll_reply,
            wire_events.REFUSED: self._refused,
            wire_events.FAILED: self._failed,
            wire_events.NOTE: _note,
            wire_events.SESSION: _session,
        }

    def records(self, events: Iterable[WireEvent]) -> list[CaptureRecord]:
        """The events as records, in the order of recording; unreadable ones are skipped."""
        found = []
        for event in events:
            make = self._makers.get(event.what)
            if make is None:
                continue
            try:
                record = replace(make(event), where=self._meter)
            except (struct.error, IndexError, ValueError):
                continue
            found.append(record if self._serial_number else record.without_serial_number())
        return found

    def finish(self) -> list[CaptureRecord]:
        """Nothing is pending here."""
        return []

    def _connection(self, event: WireEvent) -> CaptureRecord:
        return CaptureRecord(t=event.at, what=event.what, peer=event.key, why=_text(event) or None)

    def _write(self, event: WireEvent) -> CaptureRecord:
        function, unit, start = struct.unpack_from(">BBH", event.data)
        registers = _registers(event.data[4:])
        # MBAP header, function, start; then count and a count of bytes, where it is no write of a single register.
        length = 7 + 3 + 2 * len(registers) + (3 if function == FunctionCode.WRITE_MULTIPLE_REGISTERS else 0)
        return CaptureRecord(
            t=event.at,
            what="write",
            peer=event.key,
            function=function,
            unit=unit,
            start=start,
            count=len(registers),
            values=registers,
            length=length,
        )

    def _held(self, event: WireEvent) -> CaptureRecord:
        registers = _registers(event.data[2:])
        return CaptureRecord(
            t=event.at, what="held", start=int.from_bytes(event.data[:2]), count=len(registers), values=registers
        )

    def _poll(self, event: WireEvent) -> CaptureRecord:
        start, count = struct.unpack(">HH", event.data)
        self._requested = CaptureRecord(
            t=event.at,
            what="poll",
            peer=self._peer,
            function=int(FunctionCode.READ_HOLDING_REGISTERS),
            unit=self._unit,
            start=start,
            count=count,
        )
        return self._requested

    def _answer(self, event: WireEvent, what: str) -> CaptureRecord:
        requested, self._requested = self._requested, None
        if requested is None:
            raise ValueError("the request of this answer is unknown")
        return replace(requested, t=event.at, what=what, delay_ms=max(0.0, 1000 * (event.at - requested.t)))

    def _poll_reply(self, event: WireEvent) -> CaptureRecord:
        return replace(self._answer(event, "poll-reply"), values=_registers(event.data))

    def _refused(self, event: WireEvent) -> CaptureRecord:
        return replace(self._answer(event, "poll-exception"), code=event.data[0])

    def _failed(self, event: WireEvent) -> CaptureRecord:
        if self._requested is None:  # no request could be sent
            return CaptureRecord(t=event.at, what="poll-failed", peer=self._peer, why=_text(event))
        return replace(self._answer(event, "poll-failed"), why=_text(event))


class NodeDecoder:
    """Records of an RTU server, of all its lines."""

    def __init__(self, node: str, about: Mapping[str, str], *, serial_number: bool) -> None:
        self._node = node
        self._about = about
        self._serial_number = serial_number
        self._lines: dict[str, _Line] = {}

    def records(self, events: Iterable[WireEvent]) -> list[CaptureRecord]:
        """The events as records; each line in its own order."""
        found: list[CaptureRecord] = []
        for event in events:
            if event.what == wire_events.NOTE:
                found.append(replace(_note(event), where=self._node))
                continue
            if event.what == wire_events.CLOCK:
                found += [replace(record, where=self._node) for record in _clock(event)]
                continue
            line = self._lines.get(event.key)
            if line is None:
                line = self._lines[event.key] = _Line(self._character(event.key), serial_number=self._serial_number)
            found += self._of(event.key, line.records(event))
        return found

    def finish(self) -> list[CaptureRecord]:
        """Records of bytes that waited for more."""
        return [record for name, line in self._lines.items() for record in self._of(name, line.finish())]

    def _of(self, line: str, records: list[CaptureRecord]) -> list[CaptureRecord]:
        return [replace(record, where=f"{self._node}/{line}") for record in records]

    def _character(self, line: str) -> float:
        try:
            return float(self._about[line]) / 1e6
        except (KeyError, ValueError):
            return _USUAL_CHARACTER


class _Line:
    def __init__(self, character: float, *, serial_number: bool) -> None:
        self._reader = RtuFrameReader(_IDLE_GAP)
        self._recorder = BusRecorder(0.0, character, serial_number=serial_number)
        self._last = 0.0

    def records(self, event: WireEvent) -> list[CaptureRecord]:
        if event.what == wire_events.IN:
            # What is older than the gap is flushed before the new bytes are dated.
            found = self._recorder.records(self._reader.flush(event.at))
            self._recorder.arrived(event.data, event.at)
            self._last = event.at
            return found + self._recorder.records(self._reader.feed(event.data, event.at))
        if event.what == wire_events.OUT and event.data:
            # A server answers only whole requests.
            return [*self.finish(), self._recorder.written(event.data, event.at)]
        if event.what == wire_events.FORGET:
            return [*self.finish(), CaptureRecord(t=event.at, what="stall", why=_text(event))]
        return []

    def finish(self) -> list[CaptureRecord]:
        return self._recorder.records(self._reader.flush(self._last + 2 * _IDLE_GAP))


def _note(event: WireEvent) -> CaptureRecord:
    return CaptureRecord(t=event.at, what=event.key, why=_text(event))


def _session(event: WireEvent) -> CaptureRecord:
    return CaptureRecord(t=event.at, what="session", session=_text(event))


def _clock(event: WireEvent) -> list[CaptureRecord]:
    session, offset, uncertainty = _text(event).split()
    return [
        CaptureRecord(
            t=event.at,
            what="clock",
            peer=event.key,
            session=session,
            offset_s=float(offset),
            uncertainty_s=float(uncertainty),
        )
    ]


def _text(event: WireEvent) -> str:
    return event.data.decode("utf-8", "replace")


def _registers(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(data) // 2}H", data)
