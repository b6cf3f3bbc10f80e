"""Judges an answer [core]: which of the meter's words it came from, and how old they are.

`live` must come from one measuring cycle as a whole, and counts from the oldest word in it. In the other blocks each
value must come from one snapshot: a value of several registers must never come from two. Words without meaning (gaps)
have no age, but the meter must have sent them. If words fit several snapshots, the newest that was sent counts: so
request ranges whose low digits move.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final, Literal, Protocol

from ksem_contract.register_map import register_at
from ksem_contract.registers import RegisterRange
from ksem_simulators.truth.history import NEVER, History
from ksem_simulators.truth.truth_file import BOOTING, RANGES, Block

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
