"""What was said on a wire, kept in a file that people and programs can read: JSON, one object a line.

The first line is the header, each further line one record, in the order of time. `docs/capture.md` tells it to people.
Nothing here opens a file: lines go in and out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Final

from ksem_contract.checks import check_choice, check_token, check_whole, take
from ksem_contract.errors import InvalidMessage, UnknownVersion
from ksem_contract.message_json import JsonObject, read_object, write_object
from ksem_contract.register_range import RegisterRange

FORMAT: Final = "ksem-airbridge"
KINDS: Final = ("push", "bus", "bridge")

SERIAL_NUMBERS: Final = (RegisterRange(8228, 16), RegisterRange(40052, 16))
"""The meter's serial number in its device information, and in SunSpec's common model."""

_TEXTS: Final = frozenset({"peer", "why", "raw"})
_WHOLE: Final = {"function": 255, "unit": 255, "start": 65535, "count": 65536, "code": 255, "length": 1 << 20}
_TIMES: Final = frozenset({"gap_ms", "delay_ms"})


@dataclass(frozen=True, slots=True)
class CaptureHeader:
    """The first line: what was captured, with what, and when it began."""

    kind: str
    """push, bus or bridge"""
    tool: str
    """Version of the program that wrote it."""
    started: str
    """Local wall clock time with its offset, ISO 8601. For people: a record's time counts on another clock."""
    zero: float
    """CLOCK_BOOTTIME in seconds at which the records' times begin."""
    serial_number: bool = False
    """Whether the meter's serial number was left in."""
    source: str = ""
    """Where it listened, in words."""

    def encode(self) -> str:
        """The line, without its end."""
        return write_object(
            {
                "capture": FORMAT,
                "v": 1,
                "kind": check_choice("kind", self.kind, KINDS),
                "tool": self.tool,
                "started": self.started,
                "zero": round(self.zero, 6),
                "serial_number": self.serial_number,
                "source": self.source,
            }
        ).decode()

    @classmethod
    def decode(cls, line: str) -> "CaptureHeader":
        """The header in the first line; InvalidMessage if it is none, UnknownVersion for a later format."""
        found = read_object(line.encode())
        if found.get("capture") != FORMAT:
            raise InvalidMessage(f'no capture file: its first line has no "capture":"{FORMAT}"')
        if found.get("v") != 1:
            raise UnknownVersion(found.get("v"))
        return cls(
            kind=check_choice("kind", take(found, "kind"), KINDS),
            tool=_text("tool", found.get("tool", "")),
            started=_text("started", found.get("started", "")),
            zero=_seconds("zero", take(found, "zero")),
            serial_number=found.get("serial_number") is True,
            source=_text("source", found.get("source", "")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRecord:
    """One thing that happened. Fields that do not belong to it are None, and are not in the file."""

    t: float
    """Seconds since the header's `zero`: when its last byte was there."""
    what: str
    """write, read, connected, closed, refused; request, reply, exception, noise. Pass over words not known."""
    peer: str | None = None
    """Who said it, `address:port` (TCP)."""
    function: int | None = None
    unit: int | None = None
    start: int | None = None
    count: int | None = None
    values: tuple[int | None, ...] | None = None
    """Register words; None (JSON null) where one was left out."""
    code: int | None = None
    """An exception's code."""
    gap_ms: float | None = None
    """Silence on the line before the first byte."""
    delay_ms: float | None = None
    """From the request's last byte to the reply's first."""
    length: int | None = None
    """Bytes on the wire."""
    raw: str | None = None
    """The beginning of what could not be read as registers, in hexadecimal."""
    why: str | None = None

    def encode(self) -> str:
        """The line, without its end. ValueError if a value is nothing that JSON has."""
        written: JsonObject = {"t": round(self.t, 6), "what": self.what}
        for name in _OPTIONAL:
            value = getattr(self, name)
            if value is not None:
                written[name] = round(value, 3) if isinstance(value, float) else value
        return write_object(written).decode()

    @classmethod
    def decode(cls, line: str) -> "CaptureRecord":
        """The record in a line. InvalidMessage if it is none; fields with unknown names are passed over."""
        found = read_object(line.encode())
        taken = {name: _checked(name, found[name]) for name in _OPTIONAL if found.get(name) is not None}
        return cls(t=_seconds("t", take(found, "t")), what=check_token("what", take(found, "what")), **taken)

    def without_serial_number(self) -> "CaptureRecord":
        """The same with the serial number's registers left out. Values whose place is not known are left out whole."""
        if self.values is None:
            return self
        start, values = self.start, self.values
        if start is None:
            return replace(self, values=None)
        kept = tuple(None if _is_secret(start + index) else value for index, value in enumerate(values))
        return self if kept == values else replace(self, values=kept)


_OPTIONAL: Final = tuple(field.name for field in fields(CaptureRecord) if field.name not in ("t", "what"))


def read_capture(lines: Iterable[str]) -> tuple[CaptureHeader, Iterator[CaptureRecord]]:
    """Header and records of a file's lines. InvalidMessage names the line; a last line that was cut off is left out."""
    numbered = enumerate(lines, 1)
    first = next(numbered, None)
    if first is None:
        raise InvalidMessage("no capture file: it is empty")
    return CaptureHeader.decode(first[1]), _records(numbered)


def _records(numbered: Iterator[tuple[int, str]]) -> Iterator[CaptureRecord]:
    for number, line in numbered:
        if not line.strip():
            continue
        try:
            yield CaptureRecord.decode(line)
        except InvalidMessage as bad:
            if not line.endswith("\n"):
                return  # the program that wrote it was killed
            raise InvalidMessage(f"line {number}: {bad}") from None


def _is_secret(address: int) -> bool:
    return any(address in secret for secret in SERIAL_NUMBERS)


def _checked(name: str, value: object) -> object:
    if name in _TEXTS:
        return _text(name, value)
    if name in _WHOLE:
        return check_whole(name, value, most=_WHOLE[name])
    if name in _TIMES:
        return _seconds(name, value)
    if type(value) is not list:
        raise InvalidMessage(f"{name} {value!r:.60}: a list of register words is expected")
    return tuple(None if word is None else check_whole("a value", word, most=65535) for word in value)


def _text(name: str, value: object) -> str:
    if type(value) is not str:
        raise InvalidMessage(f"{name} {value!r:.60}: a text is expected")
    return value


def _seconds(name: str, value: object) -> float:
    if type(value) not in (int, float):
        raise InvalidMessage(f"{name} {value!r:.60}: a number is expected")
    return float(value)  # type: ignore[arg-type]
