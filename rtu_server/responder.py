"""What a request on the line is answered with: the policy, free of ports and clocks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ksem_contract.register_range import RegisterRange
from modbus_codec.crc import append_crc
from modbus_codec.errors import BadRequest, ModbusCodecError
from modbus_codec.pdu import ExceptionCode, ExceptionReply, FunctionCode, ReadRequest, decode_request

from .reply_book import Answer, Refused, Reply

SILENCE = b""
STALE, SILENT = "stale", "silent"
ON_STALE: Mapping[str, ExceptionCode | None] = {
    "exception-4": ExceptionCode.SERVER_DEVICE_FAILURE,
    "exception-11": ExceptionCode.GATEWAY_TARGET_FAILED,
    "silent": None,
}
"""The choices of `on_stale`. Exception 4 is proven: a Plenticore Plus G2 shows a meter fault, and no wrong power."""


SAY_NOTHING = Answer(SILENCE, SILENT)


class Book(Protocol):
    """Where replies are found: see `RegisterCache`."""

    def ready(self, request: bytes, now: float) -> Reply | None: ...

    def find(self, request: bytes, unit: int, wanted: RegisterRange, now: float) -> Reply | Refused: ...

    def doubt(self, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Unit:
    """One Modbus unit that this node is on a line."""

    id: int
    meter: str
    book: Book
    on_stale: str = "exception-4"
    enabled: bool = True


class Responder:
    """Answers whole requests for the units of one line."""

    def __init__(self, units: Mapping[int, Unit]) -> None:
        self._units = {number: unit for number, unit in units.items() if unit.enabled}

    def serves(self, unit: int) -> bool:
        """Tell whether this unit number is ours; broadcasts (0) and other devices' are not."""
        return unit in self._units

    def doubt_clock(self, now: float) -> None:
        """Take note that this host stood still before `now` and its clock did not count that."""
        for unit in self._units.values():
            unit.book.doubt(now)

    def answer(self, request: bytes, now: float) -> Answer:
        """Answer a request frame whose CRC is right, judged at `now`, the moment of writing."""
        unit = self._units.get(request[0])
        if unit is None:
            return SAY_NOTHING
        ready = unit.book.ready(request, now)
        if ready is not None:
            return ready.answer
        try:
            asked = decode_request(request[1:-2])
        except BadRequest as bad:
            return _exception(unit.id, bad.function, bad.code)
        except ModbusCodecError:
            return SAY_NOTHING
        if not isinstance(asked, ReadRequest):
            return _exception(unit.id, asked.function, ExceptionCode.ILLEGAL_FUNCTION)
        if asked.function != FunctionCode.READ_HOLDING_REGISTERS:
            # A real KSEM refuses FC04 this way (ioBroker.modbus issue 181).
            return _exception(unit.id, asked.function, ExceptionCode.ILLEGAL_DATA_ADDRESS)
        return self._read(unit, request, asked, now)

    def _read(self, unit: Unit, request: bytes, asked: ReadRequest, now: float) -> Answer:
        found = unit.book.find(request, unit.id, RegisterRange(asked.start, asked.count), now)
        if isinstance(found, Reply):
            return found.answer
        if found is Refused.UNMAPPED:
            return _exception(unit.id, asked.function, ExceptionCode.ILLEGAL_DATA_ADDRESS)
        code = ON_STALE[unit.on_stale]
        if code is None:
            return Answer(SILENCE, STALE)
        return Answer(_exception(unit.id, asked.function, code).frame, STALE)


def _exception(unit: int, function: int, code: ExceptionCode) -> Answer:
    frame = append_crc(bytes((unit,)) + ExceptionReply(function, code).encode())
    return Answer(frame, f"exception-{int(code)}")
