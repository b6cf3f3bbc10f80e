"""Joins two flight files on one clock [core]: the records of both ends, in the order of time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ksem_contract.capture_file import CaptureHeader, CaptureRecord

_AFTER_ALL: Final = ("held", "session", "clock")
"""Noted as a file was written: they date nothing."""


class CannotJoin(ValueError):
    """The two files have no clock in common; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class Capture:
    """A whole capture file."""

    header: CaptureHeader
    records: Sequence[CaptureRecord]


def join(first: Capture, second: Capture) -> tuple[Capture, float]:
    """Return both in one capture, and how far the times of one end may be off, in seconds.

    Times count on the clock of the file that knows the other one: of an RTU server, whose echoes date the publisher.
    Raises CannotJoin.
    """
    for reference, other in ((first, second), (second, first)):
        offset = _offset(reference, other)
        if offset is not None:
            return _merged(reference, other, offset[0]), offset[1]
    raise CannotJoin(
        "they are of two hosts, and neither file has an echo of the other's session: take the files of a publisher and "
        "of an rtu-server that ran together"
    )


def _offset(reference: Capture, other: Capture) -> tuple[float, float] | None:
    """Seconds to add to the other's clock, and their uncertainty; None where the reference does not know it."""
    if reference.header.clock and reference.header.clock == other.header.clock:
        return 0.0, 0.0
    sessions = {record.session for record in other.records if record.what == "session"}
    known = [one for one in reference.records if one.what == "clock" and one.session in sessions]
    if not known or known[-1].offset_s is None:
        return None
    return known[-1].offset_s, known[-1].uncertainty_s or 0.0


def _merged(reference: Capture, other: Capture, offset: float) -> Capture:
    shift = other.header.zero + offset - reference.header.zero
    records = [*reference.records, *(replace(record, t=record.t + shift) for record in other.records)]
    begin = min((record.t for record in records if record.what not in _AFTER_ALL), default=0.0)
    # Registers that no other record holds have the values of the file's last snapshot, from the beginning on.
    dated = [replace(record, t=0.0 if record.what == "held" else max(0.0, record.t - begin)) for record in records]
    header = replace(
        reference.header,
        zero=reference.header.zero + begin,
        source=f"{reference.header.source}; {other.header.source}",
        serial_number=reference.header.serial_number or other.header.serial_number,
    )
    return Capture(header, sorted(dated, key=lambda record: record.t))
