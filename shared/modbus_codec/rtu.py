"""A frame on a serial line: unit, PDU, CRC. Source: Modbus over serial line specification 1.02, section 2.5.1."""

from dataclasses import dataclass
from typing import Final

from modbus_codec.codes import MAX_PDU
from modbus_codec.crc import append_crc, has_valid_crc
from modbus_codec.errors import BadFrame

MIN_FRAME: Final = 4
MAX_FRAME: Final = MAX_PDU + 3
BROADCAST: Final = 0


@dataclass(frozen=True, slots=True)
class RtuFrame:
    """`unit` 0 (broadcast) to 255 (248 and up are reserved, but heard), `pdu` 1 to 253 bytes."""

    unit: int
    pdu: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.unit <= 255:
            raise ValueError(f"unit {self.unit}: 0 to 255 is allowed")
        if not 1 <= len(self.pdu) <= MAX_PDU:
            raise ValueError(f"a PDU of {len(self.pdu)} bytes: 1 to {MAX_PDU} is allowed")

    def encode(self) -> bytes:
        return append_crc(bytes((self.unit,)) + self.pdu)

    @classmethod
    def decode(cls, frame: bytes) -> "RtuFrame":
        """Return the content of exactly one frame. Raises BadFrame on a wrong length or CRC."""
        if not MIN_FRAME <= len(frame) <= MAX_FRAME:
            raise BadFrame(f"a frame of {len(frame)} bytes: {MIN_FRAME} to {MAX_FRAME} is allowed")
        if not has_valid_crc(frame):
            due = append_crc(frame[:-2])[-2:]
            raise BadFrame(f"CRC {frame[-2:].hex(' ')} where {due.hex(' ')} was due")
        return cls(frame[0], frame[1:-2])
