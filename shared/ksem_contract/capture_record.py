"""One line of a capture file: one thing that happened on a wire."""

from dataclasses import dataclass, fields, replace
from typing import Any, Final

from ksem_contract.checks import check_token, check_whole, take
from ksem_contract.errors import InvalidMessage
from ksem_contract.message_json import JsonObject, printable, read_object, write_object
from ksem_contract.register_range import RegisterRange

SERIAL_NUMBERS: Final = (RegisterRange(8228, 16), RegisterRange(40052, 16))
"""The meter's serial number in its device information, and in SunSpec's common model."""

_TEXTS: Final = frozenset({"where", "peer", "why", "raw", "session"})
_SECONDS: Final = frozenset({"offset_s", "uncertainty_s"})
_WHOLE: Final = {"function": 255, "unit": 255, "start": 65535, "count": 65536, "code": 255, "length": 1 << 20}
_TIMES: Final = frozenset({"gap_ms", "delay_ms", "offset_s", "uncertainty_s"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRecord:
    """One thing that happened. Fields that do not belong to it are None, and are not in the file."""

    t: float
    """Seconds since the header's `zero`: when its last byte was there."""
    what: str
    """A word of docs/capture.md: write, poll, request, reply, ... Pass over words not known."""
    where: str | None = None
    """In a flight file, whose wire it was: a meter's id, or a node and its line, `attic/rs485`."""
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
    session: str | None = None
    """A publisher's session: its own, or the one whose clock is told."""
    offset_s: float | None = None
    """What to add to CLOCK_BOOTTIME of that publisher's host to get that of this file's host."""
    uncertainty_s: float | None = None

    def encode(self) -> str:
        """The line, without its end. ValueError if a value is nothing that JSON has."""
        written: JsonObject = {"t": round(self.t, 6), "what": self.what}
        for name in _OPTIONAL:
            value = getattr(self, name)
            if value is not None:
                written[name] = round(value, 6 if name in _SECONDS else 3) if isinstance(value, float) else value
        return write_object(written).decode()

    @classmethod
    def decode(cls, line: str) -> "CaptureRecord":
        """The record in a line. InvalidMessage if it is none; fields with unknown names are passed over."""
        found = printable(read_object(line.encode()))
        taken = {name: _checked(name, found[name]) for name in _OPTIONAL if found.get(name) is not None}
        return cls(t=check_seconds("t", take(found, "t")), what=check_token("what", take(found, "what")), **taken)

    def after(self, zero: float) -> "CaptureRecord | None":
        """The same with its time counted from `zero`; None if it was before that.

        What was `held` as a recording began is held at its begin.
        """
        t = self.t - zero
        if t < 0:
            return replace(self, t=0.0) if self.what == "held" else None
        return replace(self, t=t)

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


def _is_secret(address: int) -> bool:
    return any(address in secret for secret in SERIAL_NUMBERS)


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


def check_text(name: str, value: object) -> str:
    """A text."""
    if type(value) is not str:
        raise InvalidMessage(f"{name} {value!r:.60}: a text is expected")
    return value


def check_seconds(name: str, value: object) -> float:
    """A number of seconds."""
    if type(value) not in (int, float):
        raise InvalidMessage(f"{name} {value!r:.60}: a number is expected")
    return float(value)  # type: ignore[arg-type]
