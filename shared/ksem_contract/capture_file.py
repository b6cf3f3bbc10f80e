"""A file of captured wire traffic, for people and programs: JSON, one object a line [core].

The first line is the header; each further line is one record of one event, in the order of time.
`docs/capture.md` describes it for people. Nothing here opens a file: lines go in and out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from ksem_contract.message_fields import (
    InvalidMessage,
    JsonObject,
    UnknownVersion,
    check_choice,
    check_token,
    check_whole,
    printable,
    read_object,
    take,
    write_object,
)
from ksem_contract.registers import RegisterRange

SERIAL_NUMBERS: Final = (RegisterRange(8228, 16), RegisterRange(40052, 16))
"""The meter's serial number in its device information, and in SunSpec's common model."""

_TEXTS: Final = frozenset({"where", "peer", "why", "raw", "session"})
_SECONDS: Final = frozenset({"offset_s", "uncertainty_s"})
_WHOLE: Final = {"function": 255, "unit": 255, "start": 65535, "count": 65536, "code": 255, "length": 1 << 20}
_TIMES: Final = frozenset({"gap_ms", "delay_ms", "offset_s", "uncertainty_s"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRecord:
    """One event. Fields that do not belong to it are None, and are not in the file."""

    t: float
    """Seconds since the header's `zero`: when its last byte was there."""
    what: str
    """A word of docs/capture.md: write, poll, request, reply, ... Readers skip words they don't know."""
    where: str | None = None
    """In a flight file: the meter's id, or the node and its line, `attic/rs485`."""
    peer: str | None = None
    """The sender, `address:port` (TCP)."""
    function: int | None = None
    unit: int | None = None
    start: int | None = None
    count: int | None = None
    values: tuple[int | None, ...] | None = None
    """Registers; None (JSON null) where one was left out."""
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
    session: str | None = None
    """A publisher's session: its own, or the one whose clock this record shows."""
    offset_s: float | None = None
    """Add this to CLOCK_BOOTTIME of that publisher's host to get that of this file's host."""
    uncertainty_s: float | None = None

    def encode(self) -> str:
        """The line, without its end. ValueError if JSON can't hold a value."""
        fields: JsonObject = {"t": round(self.t, 6), "what": self.what}
        for name in _OPTIONAL:
            value = getattr(self, name)
            if value is not None:
                fields[name] = round(value, 6 if name in _SECONDS else 3) if isinstance(value, float) else value
        return write_object(fields).decode()

    @classmethod
    def decode(cls, line: str) -> "CaptureRecord":
        """The record in a line. InvalidMessage if there is none; fields with unknown names are skipped."""
        found = printable(read_object(line.encode()))
        taken = {name: _checked(name, found[name]) for name in _OPTIONAL if found.get(name) is not None}
        return cls(t=check_seconds("t", take(found, "t")), what=check_token("what", take(found, "what")), **taken)

    def after(self, zero: float) -> "CaptureRecord | None":
        """The same with its time counted from `zero`; None if it was before `zero`.

        Registers `held` as a recording began are held at its begin.
        """
        t = self.t - zero
        if t < 0:
            return replace(self, t=0.0) if self.what == "held" else None
        return replace(self, t=t)

    def without_serial_number(self) -> "CaptureRecord":
        """The same without the serial number's registers. Values at an unknown address are left out whole."""
        if self.values is None:
            return self
        start, values = self.start, self.values
        if start is None:
            return replace(self, values=None)
        kept = tuple(None if _is_secret(start + index) else value for index, value in enumerate(values))
        return self if kept == values else replace(self, values=kept)


def _checked(name: str, value: object) -> Any:  # the type that the field of this name has
    if name in _TEXTS:
        return check_text(name, value)
    if name in _WHOLE:
        return check_whole(name, value, most=_WHOLE[name])
    if name in _TIMES:
        return check_seconds(name, value)
    if type(value) is not list:
        raise InvalidMessage(f"{name} {value!r:.60}: a list of register words is expected")
    return tuple(None if word is None else check_whole("a value", word, most=65535) for word in value)


def _is_secret(address: int) -> bool:
    return any(address in secret for secret in SERIAL_NUMBERS)


def check_seconds(name: str, value: object) -> float:
    """A number of seconds."""
    if type(value) not in (int, float):
        raise InvalidMessage(f"{name} {value!r:.60}: a number is expected")
    return float(value)  # type: ignore[arg-type]


def check_text(name: str, value: object) -> str:
    """A text."""
    if type(value) is not str:
        raise InvalidMessage(f"{name} {value!r:.60}: a text is expected")
    return value


_OPTIONAL: Final = tuple(field.name for field in fields(CaptureRecord) if field.name not in ("t", "what"))

FORMAT: Final = "ksem-airbridge"
KINDS: Final = ("push", "bus", "bridge")


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
    """Where it captured, as text."""
    clock: str = ""
    """The clock of `zero`: files with the same one need no offset to be joined. The kernel's boot id."""

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
                "clock": self.clock,
            }
        ).decode()

    @classmethod
    def decode(cls, line: str) -> "CaptureHeader":
        """The header in the first line; InvalidMessage if it is none, UnknownVersion for a later format."""
        found = printable(read_object(line.encode()))
        if found.get("capture") != FORMAT:
            raise InvalidMessage(f'no capture file: its first line has no "capture":"{FORMAT}"')
        if found.get("v") != 1:
            raise UnknownVersion(found.get("v"))
        return cls(
            kind=check_choice("kind", take(found, "kind"), KINDS),
            tool=check_text("tool", found.get("tool", "")),
            started=check_text("started", found.get("started", "")),
            zero=check_seconds("zero", take(found, "zero")),
            serial_number=found.get("serial_number") is True,
            source=check_text("source", found.get("source", "")),
            clock=check_text("clock", found.get("clock", "")),
        )


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
