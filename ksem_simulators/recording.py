"""Reads a capture file for a replay: who sent what, when, and what each register held at any moment."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from ksem_contract.capture_file import CaptureRecord, read_capture
from ksem_contract.message_fields import InvalidMessage
from modbus_codec.crc import append_crc
from modbus_codec.pdu import FunctionCode, ReadRequest, WriteMultipleRequest, WriteSingleRequest

FROM_METER: Final = frozenset({"write", "poll-reply", "held"})
"""Kinds of records that hold registers as the meter itself sent them."""


class RegisterTimeline:
    """What registers held, as of any moment, as far as a recording shows.

    Before its first record a register has the value of that record; one that was left out of the recording (the serial
    number) is 0. Answers on the bus count only where the meter itself sent nothing: an answer there may be older than
    the meter's newest word.
    """

    def __init__(self, records: Iterable[CaptureRecord]) -> None:
        self._meter: dict[tuple[int, int], tuple[list[float], list[tuple[int, ...]]]] = {}
        self._bus: dict[tuple[int, int], tuple[list[float], list[tuple[int, ...]]]] = {}
        for record in records:
            if record.start is None or not record.values:
                continue
            if record.what in FROM_METER:
                layer = self._meter
            elif record.what == "reply":
                layer = self._bus
            else:
                continue
            times, values = layer.setdefault((record.start, len(record.values)), ([], []))
            times.append(record.t)
            values.append(tuple(word or 0 for word in record.values))

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self._meter or self._bus)

    def registers(self, start: int, count: int, t: float) -> tuple[int, ...] | None:
        """The registers as of `t`; None if the recording lacks one of them."""
        held: list[int | None] = [None] * count
        for layer in (self._bus, self._meter):
            for _, first, values in sorted(self._values_at(layer, start, count, t)):
                low, high = max(first, start), min(first + len(values), start + count)
                held[low - start : high - start] = values[low - first : high - first]
        known = tuple(word for word in held if word is not None)
        return known if len(known) == count else None

    @staticmethod
    def _values_at(
        layer: dict[tuple[int, int], tuple[list[float], list[tuple[int, ...]]]], start: int, count: int, t: float
    ) -> Iterable[tuple[tuple[int, float], int, tuple[int, ...]]]:
        for (first, length), (times, values) in layer.items():
            if first >= start + count or first + length <= start:
                continue
            index = bisect_right(times, t) - 1
            # What lies ahead counts only where nothing lies behind, and the nearest of it most.
            rank = (1, times[index]) if index >= 0 else (0, -times[0])
            yield rank, first, values[max(index, 0)]


class Recording:
    """A capture of any kind. Of several meters or lines in it, the first one that sends something is replayed."""

    def __init__(self, records: Sequence[CaptureRecord]) -> None:
        self.duration = records[-1].t if records else 0.0
        pushes = [record for record in records if record.what in ("connected", "closed", "write")]
        self.pushes = _of_first_place(pushes, "write")
        self.requests = _of_first_place([record for record in records if record.what == "request"], "request")
        meter = self.pushes[0].where if self.pushes else None
        line = self.requests[0].where if self.requests else None
        self.registers = RegisterTimeline(
            record for record in records if record.where in (None, meter, line) or meter is None
        )

    @classmethod
    def load(cls, path: Path) -> "Recording":
        """The recording in a file. OSError, or ValueError that names what is wrong with it."""
        try:
            with path.open(encoding="utf-8") as lines:
                _, records = read_capture(lines)
                return cls(list(records))
        except (InvalidMessage, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: {error}") from None


def request_frame(record: CaptureRecord) -> bytes | None:
    """The bytes of a recorded request; None where the recording has not all of them."""
    if record.raw is not None:
        raw = bytes.fromhex(record.raw)
        return raw if len(raw) == record.length else None
    if record.function is None or record.unit is None or record.start is None or record.count is None:
        return None
    values = tuple(word or 0 for word in record.values or ())
    request: ReadRequest | WriteSingleRequest | WriteMultipleRequest
    if record.function == FunctionCode.WRITE_SINGLE_REGISTER and values:
        request = WriteSingleRequest(record.start, values[0])
    elif record.function == FunctionCode.WRITE_MULTIPLE_REGISTERS and values:
        request = WriteMultipleRequest(record.start, values)
    elif record.function in (FunctionCode.READ_HOLDING_REGISTERS, FunctionCode.READ_INPUT_REGISTERS):
        request = ReadRequest(FunctionCode(record.function), record.start, record.count)
    else:
        return None
    return append_crc(bytes((record.unit,)) + request.encode())


def _of_first_place(records: Sequence[CaptureRecord], what: str) -> list[CaptureRecord]:
    where = next((record.where for record in records if record.what == what), None)
    return [record for record in records if record.where == where]
