"""What was said on a wire, kept in a file that people and programs can read: JSON, one object a line.

The first line is the header, each further line one record, in the order of time. `docs/capture.md` tells it to people.
Nothing here opens a file: lines go in and out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from ksem_contract.capture_record import CaptureRecord, check_seconds, check_text
from ksem_contract.checks import check_choice, take
from ksem_contract.errors import InvalidMessage, UnknownVersion
from ksem_contract.message_json import printable, read_object, write_object

__all__ = ["CaptureHeader", "CaptureRecord", "read_capture"]


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
    """Where it listened, in words."""
    clock: str = ""
    """Which clock `zero` is of: files with the same one need no offset to be put together. The kernel's boot id."""

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
