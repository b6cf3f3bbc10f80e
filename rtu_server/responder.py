"""Answers a request: reply, exception or silence. The policy, without ports and clocks [core].

Step 6 of the path from the broker to RS485, which `block_feed` lists.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Protocol

from ksem_contract.blocks import LIVE
from ksem_contract.registers import RegisterRange
from modbus_codec.crc import append_crc
from modbus_codec.pdu import (
    BadRequest,
    ExceptionCode,
    ExceptionReply,
    FunctionCode,
    ModbusCodecError,
    ReadRequest,
    decode_request,
)
from rtu_server.reply_cache import DATA, Answer, Refused, Reply

SILENCE = b""
STALE, SILENT = "stale", "silent"
ON_STALE: Mapping[str, ExceptionCode | None] = {
    "exception-4": ExceptionCode.SERVER_DEVICE_FAILURE,
    "exception-11": ExceptionCode.GATEWAY_TARGET_FAILED,
    "silent": None,
}
"""The choices of `on_stale`. Exception 4 is tested: a Plenticore Plus G2 shows a meter fault, and no wrong power."""


STAY_SILENT = Answer(SILENCE, SILENT)


class ReplySource(Protocol):
    """Where replies are found: see `RegisterCache`."""

    def ready(self, request: bytes, now: float) -> Reply | None: ...

    def find(self, request: bytes, unit: int, wanted: RegisterRange, now: float) -> Reply | Refused: ...

    def doubt(self, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Unit:
    """One Modbus unit that this node serves on a line."""

    id: int
    meter: str
    cache: ReplySource
    on_stale: str = "exception-4"
    enabled: bool = True
    stay: float = 0.0
    """Seconds for which all data is refused, at least, after live data had to be refused."""
    earliest: float = 0.0
    """Seconds from a request's last byte to its answer's first, at least; never below the line's own silence."""


@dataclass(slots=True)
class _Calm:
    """Holds whether a unit refuses data, fresh or not, because it had to refuse live data before."""

    stay: float
    until: float = -inf
    is_seen: bool = False
    """A refusal sent at this time has left the port for sure."""


class Responder:
    """Answers whole requests for the units of one line."""

    def __init__(self, units: Mapping[int, Unit]) -> None:
        self._units = {number: unit for number, unit in units.items() if unit.enabled}
        self._silenced: dict[int, str] = {}
        self._calm = {number: _Calm(unit.stay) for number, unit in units.items()}

    def serves(self, unit: int) -> bool:
        """Return whether this unit number is ours; broadcasts (0) and other devices' are not."""
        return unit in self._units

    def silence(self, unit: int, why: str) -> None:
        """Silence a unit from now on: it gave a wrong answer. For any thread."""
        self._silenced[unit] = why

    def why_silenced(self, unit: int) -> str:
        """Return what was wrong with a unit's answer; empty where it is not silenced."""
        return self._silenced.get(unit, "")

    def earliest(self, unit: int) -> float:
        """Return the seconds that must pass between a request's end and its answer, beside the line's silence."""
        found = self._units.get(unit)
        return 0.0 if found is None else found.earliest

    def written(self, request: bytes, answer: Answer, now: float) -> None:
        """Note an answer that the client may see from now on. A refusal that was only prepared is none."""
        calm = self._calm.get(request[0])
        if calm is not None and answer.begins_stay:
            calm.until = max(calm.until, now + calm.stay)

    def left(self, request: bytes, answer: Answer, now: float) -> None:
        """Note an answer that has left the port for sure.

        A written answer may have been stuck there, so `stay` counts again from the first refusal that was surely seen.
        """
        calm = self._calm.get(request[0])
        if calm is None:
            return
        if answer.outcome == DATA:
            calm.is_seen = False
        elif answer.outcome == STALE and now < calm.until and not calm.is_seen:
            calm.is_seen = True
            calm.until = max(calm.until, now + calm.stay)

    def refuses_until(self, unit: int) -> float:
        """Return until when a unit refuses data, fresh or not, because it had to refuse live data before."""
        return self._calm[unit].until

    def doubt_clock(self, now: float) -> None:
        """Note that this host stalled before `now` and its clock did not count that."""
        for unit in self._units.values():
            unit.cache.doubt(now)

    def answer(self, request: bytes, now: float) -> Answer:
        """Answer a request frame whose CRC is right, judged at `now`, the moment of writing."""
        unit = self._units.get(request[0])
        if unit is None or unit.id in self._silenced:
            return STAY_SILENT
        ready = unit.cache.ready(request, now)
        if ready is not None and now >= self._calm[unit.id].until:
            return ready.answer
        try:
            requested = decode_request(request[1:-2])
        except BadRequest as bad:
            return _exception(unit.id, bad.function, bad.code)
        except ModbusCodecError:
            return STAY_SILENT
        if not isinstance(requested, ReadRequest):
            return _exception(unit.id, requested.function, ExceptionCode.ILLEGAL_FUNCTION)
        if requested.function != FunctionCode.READ_HOLDING_REGISTERS:
            # A real KSEM refuses FC04 this way (ioBroker.modbus issue 181).
            return _exception(unit.id, requested.function, ExceptionCode.ILLEGAL_DATA_ADDRESS)
        return self._read(unit, request, requested, now)

    def _read(self, unit: Unit, request: bytes, requested: ReadRequest, now: float) -> Answer:
        wanted = RegisterRange(requested.start, requested.count)
        found = unit.cache.find(request, unit.id, wanted, now)
        if isinstance(found, Reply) and now >= self._calm[unit.id].until:
            return found.answer
        if found is Refused.UNMAPPED:
            return _exception(unit.id, requested.function, ExceptionCode.ILLEGAL_DATA_ADDRESS)
        # Counters that are old are no reason to stop a battery.
        begins_stay = found is Refused.STALE and wanted.overlaps(LIVE)
        code = ON_STALE[unit.on_stale]
        frame = SILENCE if code is None else _exception(unit.id, requested.function, code).frame
        return Answer(frame, STALE, begins_stay=begins_stay)


def _exception(unit: int, function: int, code: ExceptionCode) -> Answer:
    frame = append_crc(bytes((unit,)) + ExceptionReply(function, code).encode())
    return Answer(frame, f"exception-{int(code)}")
