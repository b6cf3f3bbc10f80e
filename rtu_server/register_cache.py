"""What is served of one meter: session, blocks, moments of expiry, and replies encoded ahead of requests [core].

All of it is one object, `Served`, which never changes. `RegisterCache` replaces it as a whole, in one place
(`_publish`), so a reply can't outlive its blocks, and no caller has to renew anything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from math import inf
from types import MappingProxyType
from typing import NamedTuple

from ksem_contract.block_message import BlockMessage, Pong
from ksem_contract.blocks import MOST_ON_DEMAND, in_map, parse_block_name, touches_map
from ksem_contract.freshness import EchoClock
from ksem_contract.registers import RegisterRange
from rtu_server.reply_cache import PrecomputedRequests, Refused, Registers, Reply, encode

MAX_SESSIONS = 4
"""Publisher sessions that are remembered: the one served, and its possible successors. Garbage can't add more."""
MAX_ON_DEMAND = 2 * MOST_ON_DEMAND
"""Ranges on demand kept a session: all that a publisher reads, and room for a change of demand. The blocks that have a
name of their own are four, and never make room."""
SILENT = 3.0
"""Seconds without a block after which a session may be replaced, whatever the limit of its vital blocks is: `live`
comes several times a second."""
ON_DEMAND_POLLS = 3
"""A range on demand is fresh for this many of its own poll periods."""
ON_DEMAND_PERIOD_MS = 5000


class BlockResult(Enum):
    """The result of a block message."""

    HELD = "held"
    WAITING = "waiting"
    """Of a session that is dated and not the one served."""
    OLD = "old"
    """Not newer than the block that is held: a replay."""
    UNDATED = "undated"
    """Of a session that no echo has dated: one is due."""
    DISPROVED = "disproved"
    """From after now by its session's clock, which is thereby disproved: a new echo is needed."""


@dataclass(frozen=True, slots=True)
class FreshnessLimits:
    """How old a block may be, in seconds by block name (absent or 0 = any age), and which blocks are vital."""

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


@dataclass(slots=True)
class Trust:
    """Whether this host's clock may be believed, for all that echoes have dated since the last doubt.

    Any thread may end it, for everything made of these echoes, now and later: it never comes back.
    """

    since: float = -inf
    """Measurements from before this moment are of unknown age."""
    doubted_at: float | None = None

    @property
    def lost(self) -> bool:
        return self.doubted_at is not None


@dataclass(frozen=True, slots=True)
class Served:
    """All that may be served at one time. It never changes: the next block makes a new one."""

    session: str | None = None
    blocks: Mapping[str, HeldBlock] = field(default_factory=dict)
    vital_expires: float = -inf
    replies: Mapping[bytes, Reply] = field(default_factory=dict)
    """Replies encoded ahead from these blocks, by the request's bytes; valid until they or the vital data expire."""
    trust: Trust = field(default_factory=Trust)

    def is_true(self, now: float) -> bool:
        """Return whether the vital data is fresh and nothing contradicts the clock."""
        return now < self.vital_expires and not self.trust.lost

    def ready(self, request: bytes, now: float) -> Reply | None:
        """Return an encoded reply that is valid at `now`."""
        reply = self.replies.get(request)
        return reply if reply is not None and now < reply.expires and self.is_true(now) else None

    def read(self, wanted: RegisterRange, now: float) -> Registers | Refused:
        """Return the registers of a range if every block that it touches, and all vital data, is fresh."""
        registers = self.assemble(wanted)
        if isinstance(registers, Registers) and (now >= registers.expires or not self.is_true(now)):
            # A range on demand that is no longer renewed counts as not in the meter's map again.
            known = not self.is_true(now) or touches_map(wanted)
            return Refused.STALE if known else Refused.UNMAPPED
        return registers

    def assemble(self, wanted: RegisterRange) -> Registers | Refused:
        """Like `read`, whatever the time is: the caller compares both moments of expiry when it writes."""
        parts = [held for held in self.blocks.values() if held.range.overlaps(wanted)]
        whole = [held for held in parts if held.range.covers(wanted)]
        registers: tuple[int | None, ...] | None
        if whole:  # ranges on demand may overlap: the one that expires last is enough
            held = max(whole, key=lambda held: held.expires) if len(whole) > 1 else whole[0]
            registers, measured, expires, parts = _cut(held, wanted), held.measured, held.expires, [held]
        else:
            registers = _join(sorted(parts, key=lambda held: held.range.start), wanted)
            if registers is None:
                return Refused.STALE if in_map(wanted) else Refused.UNMAPPED
            measured, expires = min(held.measured for held in parts), min(held.expires for held in parts)
        if None in registers:
            return Refused.STALE
        made_of = tuple(held.message for held in parts)
        return Registers(registers, measured, expires, made_of)  # type: ignore[arg-type]  # None was ruled out in one C-level pass


class RegisterCache:
    """Takes the broker's messages about one meter and decides what may be served.

    A block counts only if an echo dated its session and it was published later than the block held, so
    a retained message, a replay and a burst after an outage need no rule of their own. One session is served at a time;
    another one takes over when the served one's vital data is stale, when it is silent or when its publisher went
    offline. A disproved clock takes everything with it that it dated.

    The broker's link calls it with messages, in its thread. Lines and Modbus TCP servers call `ready` and `find`, which
    read `state` once, and `doubt` where they find that this host stalled.
    """

    def __init__(self, limits: FreshnessLimits) -> None:
        self._limits = limits
        self._clocks: dict[str, EchoClock] = {}
        self._waiting: dict[str, dict[str, BlockMessage]] = {}
        self._has_ended = False
        self._last_block = -inf
        """When a block of the served session was received last."""
        self._precomputed = PrecomputedRequests()
        self._trust = Trust()
        self.state = Served()

    def doubt(self, now: float) -> None:
        """Serve nothing until a new echo: this host stalled before `now`, and its clock did not count that.

        Any thread may call it.
        """
        self._trust.doubted_at = now

    def settle_doubt(self) -> bool:
        """Start over after a doubt; True if there was one. Blocks wait then for the echo of a ping sent from now on.

        A block with a limit must also be measured after that: a publisher on this host stalled as well, and no
        echo shows that.
        """
        doubted_at = self._trust.doubted_at
        if doubted_at is None:
            return False
        self._trust = Trust(since=doubted_at)
        self._disown()
        return True

    def ready(self, request: bytes, now: float) -> Reply | None:
        """Return an encoded reply that is valid at `now`: the usual case, one look-up and two comparisons."""
        reply = self.state.ready(request, now)
        if reply is not None:
            self._precomputed.renew(request, now)
        return reply

    def find(self, request: bytes, unit: int, wanted: RegisterRange, now: float) -> Reply | Refused:
        """Return the reply to a read request (its whole frame, its unit and range), or why there is none."""
        self._precomputed.note(request, unit, wanted, now)
        registers = self.state.read(wanted, now)
        return registers if isinstance(registers, Refused) else encode(unit, registers)

    def on_offline(self) -> None:
        """Note that the status became `offline`: another session may take over until the served one sends again."""
        self._has_ended = True

    def on_pong(self, pong: Pong, *, sent: float, received: float) -> bool:
        """Date a session by an echo: its publisher's clock read `boot_ms` at some moment from `sent` to `received`.

        False: the echo contradicts earlier ones, so a clock has stopped for a while, and no held block counts.
        """
        session = pong.session
        clock = self._clocks.pop(session, None) or EchoClock()
        agrees = clock.add_echo(sent, received, pong.boot_ms)
        self._clocks[session] = clock
        self._forget_extra_sessions()
        if any(clock.is_disproved(message.boot_ms, received) for message in self._messages(session).values()):
            # Echo and blocks can't be of one clock: the echo was forged, or the clock was set back. Neither counts.
            self._forget_all()
            return False
        if not agrees:
            # Our clock stopped for a while, or the publisher's: no later echo can date earlier blocks.
            self._forget_all()
            self._clocks[session] = clock
            return False
        if session == self.state.session:
            self._serve(session, self._messages(session).values(), received)
        else:
            self._take_over(session, received)
        return True

    def on_block(self, message: BlockMessage, now: float) -> BlockResult:
        """Take a block; return what became of it."""
        session = message.session
        clock = self._clocks.get(session)
        if clock is not None and clock.is_disproved(message.boot_ms, now):
            self._disown(message)
            return BlockResult.DISPROVED
        if clock is None or session != self.state.session:
            return self._on_waiting_block(message, now)
        held = self.state.blocks.get(message.block)
        if held is not None and not _is_newer(message, held.message):
            return BlockResult.OLD
        self._has_ended = False
        self._last_block = now
        others = [other for name, other in self.state.blocks.items() if name != message.block]
        self._publish(session, [*others, self._hold(message, clock, now)], now)
        return BlockResult.HELD

    def publisher_clock(self, now: float) -> tuple[str, float, float] | None:
        """Return the served session, and offset and uncertainty of its clock in seconds (`EchoClock.offset`)."""
        session = self.state.session
        clock = None if session is None else self._clocks.get(session)
        offset = None if clock is None else clock.offset(now)
        return None if session is None or offset is None else (session, *offset)

    def undated_sessions(self) -> set[str]:
        """Return the sessions whose blocks wait for an echo."""
        return self._waiting.keys() - self._clocks.keys()

    def _messages(self, session: str) -> dict[str, BlockMessage]:
        """The newest blocks of a session, served or not."""
        if session == self.state.session:
            return {name: held.message for name, held in self.state.blocks.items()}
        return self._waiting.get(session, {})

    def _on_waiting_block(self, message: BlockMessage, now: float) -> BlockResult:
        """A block of a session that is not served."""
        known = self._messages(message.session).get(message.block)
        if known is not None and not _is_newer(message, known):
            return BlockResult.OLD
        self._wait(message)
        if self._take_over(message.session, now):
            return BlockResult.HELD
        return BlockResult.WAITING if message.session in self._clocks else BlockResult.UNDATED

    def _wait(self, message: BlockMessage) -> None:
        waiting = self._waiting.setdefault(message.session, {})
        waiting.pop(message.block, None)  # to the end: of those on demand the first one makes room
        waiting[message.block] = message
        for name in _too_many(waiting):
            del waiting[name]
        self._forget_extra_sessions()

    def _take_over(self, session: str, now: float) -> bool:
        """Serve a waiting session, where its blocks are dated and the served session is gone."""
        waiting = self._waiting.get(session)
        if not waiting or session not in self._clocks:
            return False
        if self.state.session is not None and not (self._is_gone(now) and self._better(session, now)):
            return False
        del self._waiting[session]
        self._has_ended = False
        self._last_block = now
        self._serve(session, waiting.values(), now)
        return True

    def _is_gone(self, now: float) -> bool:
        """Whether another session may replace the served one."""
        return self._has_ended or now >= min(self.state.vital_expires, self._last_block + SILENT)

    def _better(self, session: str, now: float) -> bool:
        """Of two sessions the one whose vital data lasts longer is served; without a limit, the newer one."""
        clock, waiting = self._clocks[session], self._waiting[session]
        blocks = {name: self._hold(block, clock, now) for name, block in waiting.items()}
        lasts = self._vital_expires(blocks)
        served = (self.state.vital_expires, _newest(self.state.blocks))
        return lasts > now and (lasts, _newest(blocks)) > served

    def _serve(self, session: str, messages: Iterable[BlockMessage], now: float) -> None:
        clock = self._clocks[session]
        self._publish(session, [self._hold(block, clock, now) for block in messages], now)

    def _hold(self, message: BlockMessage, clock: EchoClock, now: float) -> HeldBlock:
        measured = clock.expires_at(message.boot_ms, message.age_ms, 0.0, now)
        limit = self._limits.of(message)
        known = measured > -inf and (limit == inf or measured >= self._trust.since)
        expires = measured + limit if known else -inf
        return HeldBlock(message, message.range, min(measured, now), expires)

    def _vital_expires(self, blocks: Mapping[str, HeldBlock]) -> float:
        return min((blocks[name].expires if name in blocks else -inf for name in self._limits.vital), default=inf)

    def _publish(self, session: str, held: Iterable[HeldBlock], now: float) -> None:
        """Replace what is served: the only place that does so."""
        blocks = {each.message.block: each for each in held}
        for name in _too_many(sorted(blocks, key=lambda name: blocks[name].expires)):
            del blocks[name]
        blank = Served(session, blocks, self._vital_expires(blocks), trust=self._trust)
        replies = self._precomputed.encode(blank.assemble, self.state.replies, _changed(self.state.blocks, blocks), now)
        self.state = replace(blank, replies=replies)

    def _disown(self, *disproving: BlockMessage) -> None:
        """Forget all clocks: a block or the line disproved one. Our own may have stopped, which all others rest on.

        Nothing that they dated is served before another echo.
        """
        served = list(self._messages(self.state.session).values()) if self.state.session is not None else []
        self._clocks.clear()
        self.state = Served()
        for each in (*served, *disproving):
            self._wait(each)

    def _forget_all(self) -> None:
        self._clocks.clear()
        self._waiting.clear()
        self.state = Served()

    def _forget_extra_sessions(self) -> None:
        for known in (self._clocks, self._waiting):
            for session in list(known):
                if len(known) <= MAX_SESSIONS:
                    break
                if session != self.state.session:
                    del known[session]


def _too_many(names: Iterable[str]) -> list[str]:
    """Which of these blocks must go: the oldest of those on demand, if there are too many."""
    on_demand = [name for name in names if parse_block_name(name) is not None]
    return on_demand[: max(0, len(on_demand) - MAX_ON_DEMAND)]


def _changed(old: Mapping[str, HeldBlock], new: Mapping[str, HeldBlock]) -> list[RegisterRange]:
    """Return the ranges of the blocks that came, went, or changed in content or moment of expiry."""
    gone = [held.range for name, held in old.items() if new.get(name) is not held]
    return gone + [held.range for name, held in new.items() if old.get(name) is not held]


def _newest(blocks: Mapping[str, HeldBlock]) -> float:
    """When the newest of these blocks was measured."""
    return max((held.measured for held in blocks.values()), default=-inf)


def _is_newer(message: BlockMessage, held: BlockMessage) -> bool:
    """Compare two messages of one session and block.

    The clock decides first: it can be disproved, a sequence number can't, and a forged one would outlast all others.
    """
    return (message.boot_ms, message.seq) > (held.boot_ms, held.seq)


def _cut(held: HeldBlock, wanted: RegisterRange) -> tuple[int | None, ...]:
    first = wanted.start - held.range.start
    return held.message.registers[first : first + wanted.count]


def _join(parts: list[HeldBlock], wanted: RegisterRange) -> tuple[int | None, ...] | None:
    """Build a range from neighbouring blocks; None where a register between them is in no block."""
    registers: list[int | None] = []
    at = wanted.start
    for held in parts:
        stop = min(held.range.stop, wanted.stop)
        if stop <= at:  # another block on demand holds it too
            continue
        if held.range.start > at:
            return None
        registers += _cut(held, RegisterRange(at, stop - at))
        at = stop
    return tuple(registers) if at == wanted.stop else None
