"""Holds everything the meter sent, and judges answers by it [core]: from which of its words, and how old these are.

`live` must come from one measuring cycle as a whole, and counts from the oldest word in it. In the other blocks each
value must come from one snapshot: a value of several registers must never come from two. Words without meaning (gaps)
have no age, but the meter must have sent them. If words fit several snapshots, the newest that was sent counts: so
request ranges whose low digits move.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Final, Literal, Protocol

from ksem_contract.register_map import register_at
from ksem_contract.registers import RegisterRange
from ksem_simulators.ring_file import Ring
from ksem_simulators.truth.truth_file import BOOTING, RANGES, STATEMENT, Block, Kind

NEVER: Final = -math.inf
_KEPT: Final = 64
"""Repetitions of one statement that are kept; the judge uses the newest."""


@dataclass(slots=True)
class _Written:
    """All statements taken from one snapshot: range -> (when, number)."""

    ranges: dict[tuple[int, int], deque[tuple[float, int]]] = field(default_factory=dict)


class History:
    """An index over the ring of statements."""

    def __init__(self, statements: Ring, blocks: list[Ring]) -> None:
        self._ring = statements
        self._blocks = blocks
        self._next = 1
        self._written: dict[Block, dict[int, _Written]] = {block: {} for block in Block}
        self._first: dict[Block, list[float]] = {block: [math.inf] * RANGES[block].count for block in Block}
        self.missed = 0
        """Statements that were overwritten before they were read: the reader was called too seldom."""

    def refresh(self) -> None:
        """Reads the statements made since the last call."""
        oldest = self._ring.oldest
        if self._next < oldest:
            self.missed += oldest - self._next
            self._next = oldest
        head = self._ring.head
        while self._next <= head:
            body = self._ring.read(self._next)
            if body is not None:
                self._take(body, self._next)
            self._next += 1

    def _take(self, body: bytes, number: int) -> None:
        at, snapshot, start, count, block_number, kind, _ = STATEMENT.unpack(body)
        if kind == Kind.VOID:
            return
        block = Block(block_number)
        by_snapshot = self._written[block]
        written = by_snapshot.get(snapshot)
        if written is None:
            written = by_snapshot[snapshot] = _Written()
            oldest = self._blocks[block].oldest
            while by_snapshot and (first := next(iter(by_snapshot))) < oldest:
                del by_snapshot[first]
        written.ranges.setdefault((start, count), deque(maxlen=_KEPT)).append((at, number))
        first_written = self._first[block]
        offset = start - RANGES[block].start
        for index in range(offset, offset + count):
            first_written[index] = min(first_written[index], at)

    def written_at(self, block: Block, snapshot: int, start: int, count: int, until: float) -> list[float]:
        """When the meter last sent each of the registers as this snapshot holds them, up to `until`; NEVER if not."""
        times = [NEVER] * count
        written = self._written[block].get(snapshot)
        if written is None:
            return times
        for (written_start, written_count), statements in written.ranges.items():
            first, last = max(start, written_start), min(start + count, written_start + written_count)
            if first >= last:
                continue
            when = self._newest(statements, until)
            for index in range(first - start, last - start):
                times[index] = max(times[index], when)
        return times

    def was_written(self, block: Block, start: int, count: int, until: float) -> bool:
        """Whether the meter ever sent all of these registers, whatever they held."""
        offset = start - RANGES[block].start
        return all(first <= until for first in self._first[block][offset : offset + count])

    def _newest(self, statements: deque[tuple[float, int]], until: float) -> float:
        newest = NEVER
        for at, number in statements:
            if newest < at <= until and not self._is_void(number):
                newest = at
        return newest

    def _is_void(self, number: int) -> bool:
        body = self._ring.read(number)
        return body is not None and bool(STATEMENT.unpack(body)[5] == Kind.VOID)


VerdictKind = Literal["good", "wrong", "torn"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`good`: the meter sent exactly these words; `torn`: it sent each of them at its place, but never together;
    `wrong`: it never sent them.
    """

    kind: VerdictKind
    why: str
    """What is wrong, naming the registers; empty when good."""
    age: float | None = None
    """Seconds since the meter last sent the words, of the word sent longest ago; None unless good."""
    cycle: int | None = None
    """The measuring cycle (of the oldest word); None unless good."""
    measured_age: float | None = None
    """Seconds since the values were measured: more than `age` on a frozen meter; None unless good."""


_PAD: Final = 40069
_SUNSPEC_END: Final = 40178
_NO_VALUE: Final = (146, 147)
"""In none of the groups that are measured in each cycle: it has no age."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One value, or the part of it that was requested, or a run of words without meaning."""

    start: int
    count: int
    measured: bool
    """False: gap words, which have no age."""


@lru_cache(maxsize=1024)
def pieces(start: int, count: int, *, old_sunspec: bool = False) -> tuple[Piece, ...]:
    """The registers from `start` on, cut at the borders of values. `old_sunspec`: the layout before firmware 2.6.0."""
    cut = []
    for owner, run in groupby(range(start, start + count), lambda address: _owner(address, old_sunspec=old_sunspec)):
        addresses = list(run)
        cut.append(Piece(addresses[0], len(addresses), owner is not None))
    return tuple(cut)


def _owner(address: int, *, old_sunspec: bool) -> int | None:
    if address in _NO_VALUE:
        return None
    if old_sunspec and _PAD <= address <= _SUNSPEC_END:
        address += 1
    register = register_at(address)
    return register.address if register else None


_SHOWN: Final = 6
_Bad = Literal["wrong", "torn"]


class SnapshotView(Protocol):
    """What the judge wants to know of a snapshot."""

    @property
    def cycle(self) -> int: ...
    @property
    def measured_at(self) -> float: ...
    @property
    def flags(self) -> int: ...
    @property
    def raw(self) -> bytes: ...


class Snapshots(Protocol):
    """The snapshots that are still known."""

    def holding(self, block: Block, start: int, registers: bytes) -> Iterable[int]: ...
    def snapshot(self, block: Block, number: int) -> SnapshotView | None: ...
    def newest(self, block: Block) -> SnapshotView | None: ...


class _Found:
    """What a piece (or a whole `live` answer) was traced back to."""

    __slots__ = ("cycle", "flags", "measured_at", "written")

    def __init__(self, written: float, view: SnapshotView) -> None:
        self.written = written
        self.cycle = view.cycle
        self.measured_at = view.measured_at
        self.flags = view.flags


def judge(
    snapshots: Snapshots, history: History, block: Block, span: RegisterRange, registers: bytes, at: float
) -> Verdict:
    """The verdict over `registers` (big-endian) of the range `span` in `block`, answered at `at`."""
    newest = snapshots.newest(block)
    old_sunspec = block is Block.SUNSPEC and newest is not None and len(newest.raw) < 2 * RANGES[block].count
    parts = pieces(span.start, span.count, old_sunspec=old_sunspec)
    whole = [parts] if block is Block.LIVE else [(part,) for part in parts]
    traces: list[_Found] = []
    for group in whole:
        traced = _trace(snapshots, history, block, span, registers, group, at)
        if isinstance(traced, Verdict):
            return traced
        traces.append(traced)
    return _good(traces, at)


def _good(traces: list[_Found], at: float) -> Verdict:
    if any(one.flags & BOOTING for one in traces):
        return Verdict("wrong", "sent while the meter was starting (0 Hz)")
    aged = [one for one in traces if one.written != NEVER]
    if not aged:
        return Verdict("good", "", 0.0, max(one.cycle for one in traces), 0.0)
    oldest = min(aged, key=lambda one: one.written)
    return Verdict("good", "", at - oldest.written, oldest.cycle, at - min(one.measured_at for one in aged))


def _trace(
    snapshots: Snapshots,
    history: History,
    block: Block,
    span: RegisterRange,
    registers: bytes,
    parts: tuple[Piece, ...],
    at: float,
) -> _Found | Verdict:
    """The newest snapshot that holds all `parts` and whose measured words were all sent by `at`; or what is wrong."""
    first, last = parts[0].start, parts[-1].start + parts[-1].count
    requested = registers[2 * (first - span.start) : 2 * (last - span.start)]
    for part in parts:
        if not part.measured and not history.was_written(block, part.start, part.count, at):
            return Verdict("wrong", f"{_name(part)}: the meter never sent these words")
    measured = [index for part in parts if part.measured for index in range(part.start, part.start + part.count)]
    held = False
    for number in snapshots.holding(block, first, requested):
        view = snapshots.snapshot(block, number)
        if view is None:
            continue
        held = True
        written = history.written_at(block, number, first, last - first, at)
        oldest = min((written[address - first] for address in measured), default=None)
        if oldest is None:
            return _Found(NEVER, view)
        if oldest != NEVER:
            return _Found(oldest, view)
    where = f"{first}-{last - 1}"
    if held:
        return Verdict("wrong", f"{where}: measured, but not sent by then")
    why = f"{where}: never held together" + _differences(snapshots, block, first, requested)
    return Verdict(_torn_or_wrong(snapshots, block, first, requested), why)


def _differences(snapshots: Snapshots, block: Block, start: int, requested: bytes) -> str:
    newest = snapshots.newest(block)
    if newest is None:
        return ""
    offset = 2 * (start - RANGES[block].start)
    other = newest.raw[offset : offset + len(requested)]
    differing = [i for i in range(len(requested) // 2) if requested[2 * i : 2 * i + 2] != other[2 * i : 2 * i + 2]]
    shown = ", ".join(f"{start + i}: {requested[2 * i : 2 * i + 2].hex()}" for i in differing[:_SHOWN])
    return f" ({len(differing)} words differ from the newest: {shown})"


def _torn_or_wrong(snapshots: Snapshots, block: Block, start: int, registers: bytes) -> _Bad:
    """Torn if each word was held at its place once, wrong if one never was."""
    for index in range(len(registers) // 2):
        word = registers[2 * index : 2 * index + 2]
        if next(iter(snapshots.holding(block, start + index, word)), None) is None:
            return "wrong"
    return "torn"


def _name(part: Piece) -> str:
    return f"{part.start}-{part.start + part.count - 1}"
