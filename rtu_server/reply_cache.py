"""Replies with data, encoded when their block arrives and not when they are requested [core]."""

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ksem_contract.block_message import BlockMessage
from ksem_contract.registers import RegisterRange
from modbus_codec.crc import append_crc
from modbus_codec.pdu import FunctionCode

DATA = "data"
PRECOMPUTED_FOR = 5.0
"""Seconds for which a requested range is encoded ahead: a Plenticore requests every 0.16 s."""
MAX_PRECOMPUTED = 16
"""Ranges encoded ahead; further ranges are answered all the same, each encoded at its request."""


class Refused(Enum):
    """Why a range can't be answered with data."""

    STALE = "stale"
    """A block that it touches is past its limit, was never measured, or the vital data is."""
    UNMAPPED = "unmapped"
    """The meter has no such registers."""


class Registers(NamedTuple):
    """One answer's registers, the age of the oldest and until when they are valid."""

    registers: tuple[int, ...]
    measured: float
    expires: float
    made_of: tuple[BlockMessage, ...] = ()
    """The messages that hold them."""


class Answer(NamedTuple):
    """The frame to send (empty: stay silent) and its outcome."""

    frame: bytes
    outcome: str
    """`data`, `stale`, `silent` or `exception-N`."""
    measured: float = 0.0
    """With `data`: when the oldest register in it was measured at the earliest, seconds of CLOCK_BOOTTIME."""
    begins_stay: bool = False
    """It refuses stale live data: once it is written, the unit's `stay` begins."""
    made_of: tuple[BlockMessage, ...] = ()
    """With `data`: the messages that hold its registers."""


class Reply(NamedTuple):
    """An answer with data, ready to be sent while it is valid."""

    answer: Answer
    registers: tuple[int, ...]
    expires: float


@dataclass(slots=True)
class _Precomputed:
    unit: int
    wanted: RegisterRange
    requested: float


class PrecomputedRequests:
    """The requests that are worth encoding ahead. The lines note them, the broker's link encodes."""

    def __init__(self) -> None:
        self._precomputed: dict[bytes, _Precomputed] = {}

    def __len__(self) -> int:
        return len(self._precomputed)

    def note(self, request: bytes, unit: int, wanted: RegisterRange, now: float) -> None:
        """A range was requested: encode its reply ahead from now on."""
        if not self.renew(request, now) and len(self._precomputed) < MAX_PRECOMPUTED:
            self._precomputed[request] = _Precomputed(unit, wanted, now)

    def renew(self, request: bytes, now: float) -> bool:
        """A request came again; False where it is not among these."""
        precomputed = self._precomputed.get(request)
        if precomputed is not None:
            precomputed.requested = now
        return precomputed is not None

    def encode(
        self,
        assemble: Callable[[RegisterRange], Registers | Refused],
        known: Mapping[bytes, Reply],
        changed: Iterable[RegisterRange],
        now: float,
    ) -> dict[bytes, Reply]:
        """Return their replies from new blocks. A `known` reply that no `changed` range touches stays valid."""
        changed = tuple(changed)
        replies = {}
        for request, precomputed in list(self._precomputed.items()):
            if now - precomputed.requested > PRECOMPUTED_FOR:
                self._precomputed.pop(request, None)
                continue
            reply = known.get(request)
            if reply is not None and not any(each.overlaps(precomputed.wanted) for each in changed):
                replies[request] = reply
                continue
            registers = assemble(precomputed.wanted)
            if isinstance(registers, Registers):
                replies[request] = encode(precomputed.unit, registers, reply)
        return replies


def encode(unit: int, registers: Registers, known: Reply | None = None) -> Reply:
    """Return the reply of `unit`; where a `known` one has the same registers its frame is reused."""
    if known is not None and known.registers == registers.registers:
        frame = known.answer.frame
    else:
        count = len(registers.registers)
        head = (unit, FunctionCode.READ_HOLDING_REGISTERS, 2 * count)
        # In one step: count and registers were checked as the request and the blocks came in.
        frame = append_crc(struct.pack(f">BBB{count}H", *head, *registers.registers))
    return Reply(
        Answer(frame, DATA, registers.measured, made_of=registers.made_of), registers.registers, registers.expires
    )
