"""The newest blocks of one meter, each with the moment at which it stops being true."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import inf
from types import MappingProxyType
from typing import NamedTuple

from ksem_contract.block_message import BlockMessage
from ksem_contract.blocks import in_map, touches_map
from ksem_contract.echo import Pong
from ksem_contract.freshness import EchoClock
from ksem_contract.register_range import RegisterRange

MAX_SESSIONS = 4
"""Publisher sessions kept in mind: the one served, and what may replace it. Garbage on the topics can't grow it."""
MAX_BLOCKS = 24
"""Blocks kept a session: four known ones, at most eight on demand, and room for a change of demand."""
ON_DEMAND_POLLS = 3
"""A range on demand is fresh for this many of its own poll periods."""
ON_DEMAND_PERIOD_MS = 5000


class Refused(Enum):
    """Why a range can't be answered with data."""

    STALE = "stale"
    """A block that it touches is past its limit, was never measured, or the vital data is."""
    UNMAPPED = "unmapped"
    """The meter has no such registers."""


class Heard(Enum):
    """What became of a block message."""

    HELD = "held"
    WAITING = "waiting"
    """Of a session that no echo has dated, or that is not the one served."""
    OLD = "old"
    """Not newer than the block that is held: a replay."""
    UNDATED = "undated"
    """From after now by the session's clock, which is thereby disproved: a new echo is due."""


@dataclass(frozen=True, slots=True)
class FreshnessLimits:
    """How old a block may be, in seconds by block name (absent or 0 = any age), and without which nothing is served."""

    by_block: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({"live": 1.5, "energy": 60.0, "sunspec": 60.0})
    )
    vital: tuple[str, ...] = ("live",)

    def of(self, message: BlockMessage) -> float:
        """Return the age limit of a block in seconds, `inf` where it has none."""
        if message.block.startswith("r"):
            return ON_DEMAND_POLLS * (message.cycle_ms or ON_DEMAND_PERIOD_MS) / 1000
        return self.by_block.get(message.block, 0.0) or inf


class HeldBlock(NamedTuple):
    """A block with its age limit turned into moments of this host's clock (seconds of CLOCK_BOOTTIME)."""

    message: BlockMessage
    range: RegisterRange
    measured: float
    """The earliest moment at which its oldest word may have been measured."""
    expires: float


class Words(NamedTuple):
    """Registers of one answer, the age of the oldest and until when they are true."""

    registers: tuple[int, ...]
    measured: float
    expires: float


@dataclass(frozen=True, slots=True)
class CacheState:
    """All that may be served at one time. Never changed: the next block makes a new one."""

    session: str | None = None
    blocks: Mapping[str, HeldBlock] = field(default_factory=dict)
    vital_expires: float = -inf

    def read(self, wanted: RegisterRange, now: float) -> Words | Refused:
        """Return the registers of a range if every block that it touches, and all vital data, is fresh."""
        words = self.assemble(wanted)
        if isinstance(words, Words) and (now >= words.expires or now >= self.vital_expires):
            # A range on demand that nobody renews is again what it was before: not in the meter's map.
            known = now >= self.vital_expires or touches_map(wanted)
            return Refused.STALE if known else Refused.UNMAPPED
        return words

    def assemble(self, wanted: RegisterRange) -> Words | Refused:
        """Like `read`, whatever the time is: the caller compares both moments of expiry when it writes."""
        parts = [held for held in self.blocks.values() if held.range.overlaps(wanted)]
        whole = [held for held in parts if held.range.covers(wanted)]
        registers: tuple[int | None, ...] | None
        if whole:  # ranges on demand may overlap: the one that is true for longest is enough
            held = max(whole, key=lambda held: held.expires) if len(whole) > 1 else whole[0]
            registers, measured, expires = _cut(held, wanted), held.measured, held.expires
        else:
            registers = _join(sorted(parts, key=lambda held: held.range.start), wanted)
            if registers is None:
                return Refused.STALE if in_map(wanted) else Refused.UNMAPPED
            measured, expires = min(held.measured for held in parts), min(held.expires for held in parts)
        if None in registers:
            return Refused.STALE
        return Words(registers, measured, expires)  # type: ignore[arg-type]  # None was ruled out in one C-level pass


class RegisterCache:
    """Takes what the broker delivers about one meter and decides what of it may be served.

    A block counts only if an echo dated its session and it was published later than the block held, so
    a retained message, a replay and a burst after an outage need no rule of their own. One session is served at a time;
    another one takes over when the served one's vital data is stale or its publisher said goodbye.
    """

    def __init__(self, limits: FreshnessLimits) -> None:
        self._limits = limits
        self._clocks: dict[str, EchoClock] = {}
        self._waiting: dict[str, dict[str, BlockMessage]] = {}
        self._said_goodbye = False
        self.state = CacheState()

    def hear_offline(self) -> None:
        """Note that the status became `offline`: until the served session speaks again, another may take over."""
        self._said_goodbye = True

    def hear_pong(self, pong: Pong, *, sent: float, received: float) -> None:
        """Date a session by an echo: its publisher's clock read `boot_ms` at some moment from `sent` to `received`."""
        clock = self._clocks.pop(pong.session, None) or EchoClock()
        clock.add_echo(sent, received, pong.boot_ms)
        self._clocks[pong.session] = clock
        self._forget_extra_sessions()
        if pong.session == self.state.session:
            self._serve(pong.session, [held.message for held in self.state.blocks.values()], received)
        else:
            self._take_over(pong.session, received)

    def hear_block(self, message: BlockMessage, now: float) -> Heard:
        """Take a block in, or say why not."""
        if message.session != self.state.session:
            waiting = self._waiting.setdefault(message.session, {})
            known = waiting.get(message.block)
            if known is not None and not _is_newer(message, known):
                return Heard.OLD
            if known is None and len(waiting) >= MAX_BLOCKS:
                return Heard.WAITING
            waiting[message.block] = message
            self._forget_extra_sessions()
            return Heard.HELD if self._take_over(message.session, now) else Heard.WAITING
        held = self.state.blocks.get(message.block)
        if held is not None and not _is_newer(message, held.message):
            return Heard.OLD
        clock = self._clocks[message.session]
        if clock.is_disproved(message.boot_ms, now):
            self._disown(message)
            return Heard.UNDATED
        others = [other for name, other in self.state.blocks.items() if name != message.block]
        if held is None and len(others) >= MAX_BLOCKS:
            others.remove(min(others, key=lambda other: other.expires))
        self._said_goodbye = False
        self._publish(message.session, [*others, self._hold(message, clock, now)])
        return Heard.HELD

    def undated_sessions(self) -> set[str]:
        """Return the sessions whose blocks wait for an echo."""
        return self._waiting.keys() - self._clocks.keys()

    def _take_over(self, session: str, now: float) -> bool:
        waiting = self._waiting.get(session)
        served = self.state.session
        if not waiting or session not in self._clocks:
            return False
        if served is not None and not self._said_goodbye and now < self.state.vital_expires:
            return False
        if served is not None and not self._better(session, now):
            return False
        del self._waiting[session]
        self._said_goodbye = False
        self._serve(session, list(waiting.values()), now)
        return True

    def _better(self, session: str, now: float) -> bool:
        """Two sessions, both silent or both said to be gone: the one whose vital data lasts longer is served."""
        clock, waiting = self._clocks[session], self._waiting[session]
        vital = [waiting.get(name) for name in self._limits.vital]
        lasts = min((self._hold(block, clock, now).expires if block else -inf for block in vital), default=inf)
        return lasts > now and lasts > self.state.vital_expires

    def _serve(self, session: str, messages: Iterable[BlockMessage], now: float) -> None:
        clock = self._clocks[session]
        blocks = [self._hold(block, clock, now) for block in messages if not clock.is_disproved(block.boot_ms, now)]
        self._publish(session, blocks)

    def _hold(self, message: BlockMessage, clock: EchoClock, now: float) -> HeldBlock:
        measured = clock.expires_at(message.boot_ms, message.age_ms, 0.0, now)
        expires = measured + self._limits.of(message) if measured > -inf else -inf
        return HeldBlock(message, message.range, min(measured, now), expires)

    def _publish(self, session: str, blocks: Iterable[HeldBlock]) -> None:
        by_name = {held.message.block: held for held in blocks}
        vital = min((by_name[name].expires if name in by_name else -inf for name in self._limits.vital), default=inf)
        self.state = CacheState(session, by_name, vital)

    def _disown(self, message: BlockMessage) -> None:
        self._clocks.pop(message.session, None)
        self._waiting[message.session] = {held.message.block: held.message for held in self.state.blocks.values()}
        self._waiting[message.session][message.block] = message
        self.state = CacheState()

    def _forget_extra_sessions(self) -> None:
        for known in (self._clocks, self._waiting):
            for session in list(known):
                if len(known) <= MAX_SESSIONS:
                    break
                if session != self.state.session:
                    del known[session]


def _is_newer(message: BlockMessage, held: BlockMessage) -> bool:
    """Compare two messages of one session and block.

    The clock comes first: it can be proved wrong, a sequence number can't, and a forged one would outlast all others.
    """
    return (message.boot_ms, message.seq) > (held.boot_ms, held.seq)


def _cut(held: HeldBlock, wanted: RegisterRange) -> tuple[int | None, ...]:
    first = wanted.start - held.range.start
    return held.message.registers[first : first + wanted.count]


def _join(parts: list[HeldBlock], wanted: RegisterRange) -> tuple[int | None, ...] | None:
    """Put a range together from neighbouring blocks; None where a register between them is in no block."""
    registers: list[int | None] = []
    at = wanted.start
    for held in parts:
        stop = min(held.range.stop, wanted.stop)
        if stop <= at:  # another one on demand holds it too
            continue
        if held.range.start > at:
            return None
        registers += _cut(held, RegisterRange(at, stop - at))
        at = stop
    return tuple(registers) if at == wanted.stop else None
