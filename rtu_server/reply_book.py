"""Answers with data, encoded when their block arrives and not when they are asked for."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ksem_contract.register_range import RegisterRange
from modbus_codec.crc import append_crc
from modbus_codec.pdu import FunctionCode

from .register_cache import CacheState, Refused, Words

DATA = "data"
HOT_FOR = 5.0
"""Seconds for which a range that was asked is encoded ahead: a Plenticore asks every 0.16 s."""
MAX_HOT = 16
"""Ranges encoded ahead; one that asks for ever new ones is answered all the same, each encoded when asked."""


class Answer(NamedTuple):
    """The frame to send (empty: say nothing) and what to tell about it."""

    frame: bytes
    outcome: str
    """`data`, `stale`, `silent` or `exception-N`."""
    measured: float = 0.0
    """With `data`: when the oldest register in it was measured at the earliest, seconds of CLOCK_BOOTTIME."""


class Reply(NamedTuple):
    """An answer with data, ready to be given while it is true."""

    answer: Answer
    registers: tuple[int, ...]
    expires: float


class Snapshot(NamedTuple):
    """A state of the cache and what was encoded from it: a line reads both by one reference, so they never mix."""

    state: CacheState
    replies: Mapping[bytes, Reply]


@dataclass(slots=True)
class _Hot:
    unit: int
    wanted: RegisterRange
    asked: float


@dataclass(slots=True)
class ReplyBook:
    """The replies of one meter, found by the request's own bytes: all lines and units that show it share them."""

    snapshot: Snapshot = field(default_factory=lambda: Snapshot(CacheState(), {}))
    _hot: dict[bytes, _Hot] = field(default_factory=dict)

    def renew(self, state: CacheState, now: float) -> None:
        """Encode what is asked often from a new state. Called by the side that hears the broker.

        A reply that no changed block touches is still what the new state says.
        """
        known = self.snapshot.replies
        changed = _changed(self.snapshot.state, state)
        replies = {}
        for request, hot in list(self._hot.items()):
            if now - hot.asked > HOT_FOR:
                self._hot.pop(request, None)
                continue
            reply = known.get(request)
            if reply is not None and not any(each.overlaps(hot.wanted) for each in changed):
                replies[request] = reply
                continue
            words = state.assemble(hot.wanted)
            if isinstance(words, Words):
                replies[request] = encode(hot.unit, words, reply)
        self.snapshot = Snapshot(state, replies)

    def ready(self, request: bytes, now: float) -> Reply | None:
        """Return a reply that lies encoded and is true at `now`: the usual case, one look-up and two comparisons."""
        snapshot = self.snapshot
        reply = snapshot.replies.get(request)
        if reply is None or now >= reply.expires or now >= snapshot.state.vital_expires:
            return None
        hot = self._hot.get(request)
        if hot is not None:
            hot.asked = now
        return reply

    def find(self, request: bytes, unit: int, wanted: RegisterRange, now: float) -> Reply | Refused:
        """Return the reply to a read request (its whole frame, the unit and range in it), or why there is none."""
        self._keep_hot(request, unit, wanted, now)
        words = self.snapshot.state.read(wanted, now)
        return words if isinstance(words, Refused) else encode(unit, words)

    def _keep_hot(self, request: bytes, unit: int, wanted: RegisterRange, now: float) -> None:
        hot = self._hot.get(request)
        if hot is not None:
            hot.asked = now
        elif len(self._hot) < MAX_HOT:
            self._hot[request] = _Hot(unit, wanted, now)


def _changed(old: CacheState, new: CacheState) -> list[RegisterRange]:
    """Return where the blocks lie that came, went, or hold something else, be it another moment of expiry."""
    gone = [held.range for name, held in old.blocks.items() if new.blocks.get(name) is not held]
    return gone + [held.range for name, held in new.blocks.items() if old.blocks.get(name) is not held]


def encode(unit: int, words: Words, known: Reply | None = None) -> Reply:
    """Return the reply of `unit`; of a `known` one with the same registers the frame is used again."""
    if known is not None and known.registers == words.registers:
        frame = known.answer.frame
    else:
        count = len(words.registers)
        head = (unit, FunctionCode.READ_HOLDING_REGISTERS, 2 * count)
        # In one step: that count and words are in their limits was checked as the request and the blocks came in.
        frame = append_crc(struct.pack(f">BBB{count}H", *head, *words.registers))
    return Reply(Answer(frame, DATA, words.measured), words.registers, words.expires)
