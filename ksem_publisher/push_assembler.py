"""Takes pushed writes, returns one block per measuring cycle of the meter [core].

A cycle is learned first (`push_cycle`), then each cycle is followed write by write and returned whole, at once
when its last write arrives. What is not exactly one cycle is dropped: another order, a register written twice, a first
and last write too far apart, two senders interleaved. Cycles that were delayed (by the network, by a stall of this
process) is dated back or dropped.
"""

from collections import deque
from collections.abc import Hashable, Sequence

from ksem_contract.reasons import Reason
from ksem_contract.registers import RegisterRange, mask_of, mask_of_ranges, ranges_of
from ksem_publisher.push_cycle import (
    CYCLES_KEPT,
    CYCLES_SEEN,
    MAX_WRITES,
    CyclePattern,
    Fits,
    PushRhythm,
    Undecided,
    Write,
    find_pattern,
)
from ksem_publisher.snapshot import AWAY_SECONDS, Snapshot

MAX_SPREAD = 0.4
"""A cycle's first and last write lie at most so many periods apart."""

_BROKEN_CYCLES = 3
"""So many cycles that do not follow the pattern: learn again."""
_RIVAL_REMEMBERED = 60.0
"""Seconds for which a second sender is expected."""
_HAND_OVERS_NEEDED = 3
"""A meter is known to open its next connection before it closes the last one once it has done so this often."""
_LASTING = 2.0
"""Seconds. A connection that brings cycles for so long is not handed over with each of them."""


class PushSender:
    """Which connection's writes count; those of all others are refused and must leave no trace.

    The connection that writes first is the sender until it is closed or silent. A meter may open a connection for each
    cycle or each write, and close the last one only then: where new connections follow one another and the old ones
    write no more, each new one is the sender at once. Two that go on writing side by side are two senders.
    Times are CLOCK_BOOTTIME seconds.
    """

    def __init__(self) -> None:
        self.epoch = 0
        """Changes where what comes next does not go on with what came before."""
        self.refused_at = float("-inf")
        """When a write was refused last."""
        self._source: Hashable = None
        self._peer = ""
        self._open = False
        self._since = self._last_write = self._rival_at = float("-inf")
        self._others: set[Hashable] = set()
        """Open connections that have written and are not the sender."""
        self._successor: Hashable = None
        """A new connection that was refused; the sender has not written since."""
        self._hand_overs = 0
        self._lost = False

    @property
    def hands_over(self) -> bool:
        """True while each new connection of the meter replaces the one before, which may still be open."""
        return self._hand_overs >= _HAND_OVERS_NEEDED

    def excludes(self, source: Hashable, peer: str, now: float) -> bool:
        """Whether another connection is the sender now."""
        if source == self._source or now - self._last_write > AWAY_SECONDS:
            return False
        return peer != self._peer or (self._open and not self.hands_over)

    def accept(self, source: Hashable, peer: str, now: float) -> bool:
        """Whether a write of this connection, which came from the address `peer`, counts."""
        if source == self._source:
            if self._successor is not None:
                self._successor, self._hand_overs, self._rival_at = None, 0, now
            elif now - self._since > _LASTING:
                self._hand_overs = 0
            self._last_write = now
            return True
        silent = now - self._last_write > AWAY_SECONDS
        if peer != self._peer and not silent:
            self.refused_at = now
            return False
        new = source not in self._others and peer == self._peer
        if self._open and not silent:
            if new and self._successor is not None:
                self._hand_overs += 1
                self._successor = None
            if not new or not self.hands_over:
                self._refuse(source, now, new=new)
                return False
        else:
            goes_on = peer == self._peer and (not self._open or (new and self.hands_over))
            if not goes_on or self._lost or now - self._rival_at <= _RIVAL_REMEMBERED:
                self._change()
        if self._open:
            self._others.add(self._source)
        self._take_over(source, peer, now)
        return True

    def closed(self, source: Hashable) -> None:
        """A connection has ended; another may go on with its cycle."""
        self._others.discard(source)
        if source == self._source:
            self._open = False
            if self._successor is not None:
                self._hand_overs += 1
        if source in (self._source, self._successor):
            self._successor = None

    def _refuse(self, source: Hashable, now: float, *, new: bool) -> None:
        self._lost = True
        self.refused_at = now
        if self.hands_over:  # one that was replaced goes on writing: there are two senders
            self._hand_overs = 0
            self._change()
        if new:
            self._successor = source
        elif source != self._successor:
            self._rival_at = now
        self._others.add(source)

    def _take_over(self, source: Hashable, peer: str, now: float) -> None:
        if self._successor is not None:
            self._hand_overs += 1
        self._others.discard(source)
        self._source, self._peer, self._open, self._successor = source, peer, True, None
        self._since = self._last_write = now

    def _change(self) -> None:
        self.epoch += 1
        self._lost = False


class PushAssembler:
    """Follows the pushes of one meter into one block.

    `block` is the block's range, `wanted` the ranges each cycle must bring, `fits` a consistency check of a cycle's
    registers (None: nothing to compare). Time is CLOCK_BOOTTIME seconds.
    """

    def __init__(self, block: RegisterRange, wanted: Sequence[RegisterRange], fits: Fits | None) -> None:
        self._block = block
        self._size = block.count
        self._wanted = mask_of_ranges(wanted, block.start)
        self._fits = fits
        self._history: deque[Write] = deque(maxlen=MAX_WRITES * CYCLES_KEPT)
        self._pattern: CyclePattern | None = None
        self._undecided: Reason | None = None
        self._epoch = 0
        self._set: list[Write] = []
        self._broken = self._retry = 0
        self._skipped = self._skipped_before = 0
        self._skipping_since = 0.0
        self._trust_silence = True
        self._rhythm = PushRhythm(0.0)
        self._why_dropped: Reason | None = None

    @property
    def period(self) -> float | None:
        """Seconds from cycle to cycle; None until it is learned."""
        return self._rhythm.period if self._pattern else None

    @property
    def missing(self) -> tuple[RegisterRange, ...]:
        """The wanted registers that no cycle brings; empty until a period is learned."""
        if self._pattern is None:
            return ()
        seen = 0
        for start, count in self._pattern.shapes:
            seen |= mask_of(start, count)
        return ranges_of(self._wanted & ~seen, self._block.start)

    @property
    def reason(self) -> Reason | None:
        """Why there is no whole cycle; None while all is well."""
        if self._pattern is None:
            return self._undecided
        return self._why_dropped

    def write(self, start: int, registers: tuple[int, ...], now: float, epoch: int = 0) -> Snapshot | None:
        """Take one write (any range; what is outside the block is cut off); a whole cycle if this one completes it.

        `epoch` is that of the sender: writes of two are never mixed.
        """
        first = max(start, self._block.start)
        cut = registers[first - start : max(0, self._block.stop - start)]
        write = Write(first - self._block.start, cut, now)
        if epoch != self._epoch:
            self._epoch = epoch
            self._forget()
        if not cut:
            return None
        if self._pattern is not None and self._is_extra(write) and write.shape not in self._pattern.shapes:
            return None
        self._history.append(write)
        if self._pattern is None:
            return self._learn()
        # Evidence is gathered from these: without this limit, minutes of registers lie in memory.
        while len(self._history) > CYCLES_KEPT * len(self._pattern.shapes):
            self._history.popleft()
        return self._follow(self._pattern, write)

    def _learn(self) -> Snapshot | None:
        self._retry -= 1
        if self._retry > 0:
            return None
        found = self._find_pattern(tuple(self._history))
        if isinstance(found, Undecided):
            found = self._find_pattern_without_extras(found)
        if isinstance(found, Undecided):
            self._undecided = found.reason
            self._retry = found.retry
            return None
        self._pattern = found
        self._broken = self._skipped = 0
        self._set = []
        self._rhythm = PushRhythm(found.period)
        result = None
        for write in list(self._history)[-len(found.shapes) * CYCLES_SEEN :]:
            if self._pattern is not None:
                result = self._follow(self._pattern, write)
        return result

    def _find_pattern(self, writes: tuple[Write, ...]) -> CyclePattern | Undecided:
        return find_pattern(writes, self._wanted, self._size, self._fits, trust_silence=self._trust_silence)

    def _find_pattern_without_extras(self, undecided: Undecided) -> CyclePattern | Undecided:
        """The pattern of the wanted registers alone, where writes between them come without order.

        It takes one cycle more, for the extra writes that come in each cycle are part of it.
        """
        writes = tuple(write for write in self._history if not self._is_extra(write))
        if len(writes) == len(self._history):
            return undecided
        found = self._find_pattern(writes)
        if isinstance(found, Undecided) or len(writes) <= len(found.shapes) * CYCLES_SEEN:
            return undecided
        self._history.clear()
        self._history.extend(writes)
        return found

    def _is_extra(self, write: Write) -> bool:
        """Whether a write brings only registers that no cycle has to bring."""
        return not write.mask & self._wanted

    def _follow(self, pattern: CyclePattern, write: Write) -> Snapshot | None:
        if write.shape != pattern.shapes[len(self._set)]:
            if self._set:
                self._drop(Reason.of("cycle-gap"))
            if write.shape != pattern.shapes[0]:
                self._skip(pattern, write)
                return None
        self._set.append(write)
        if len(self._set) < len(pattern.shapes):
            return None
        whole, self._set = self._set, []
        self._skipped = 0 if self._skipped == self._skipped_before else self._skipped
        self._skipped_before = self._skipped
        return self._finish(pattern, whole)

    def _skip(self, pattern: CyclePattern, write: Write) -> None:
        """Skip a write that begins no cycle. Where too many follow, by number or by time, learn again."""
        if not self._skipped:
            self._skipping_since = write.at
        self._skipped += 1
        too_long = write.at - self._skipping_since > _BROKEN_CYCLES * self._rhythm.period
        if too_long or self._skipped > _BROKEN_CYCLES * len(pattern.shapes):
            self._drop(Reason.of("cycle-changed"), relearn=True)

    def _finish(self, pattern: CyclePattern, whole: list[Write]) -> Snapshot | None:
        first, last = whole[0].at, whole[-1].at
        dated = self._rhythm.note(first)
        period = self._rhythm.period
        if self._rhythm.lost:
            self._drop(Reason.of("cycle-pace-changed"), relearn=True)
            self._history.clear()
            return None
        if last - first > MAX_SPREAD * period:
            spread = f"{last - first:.3f}"
            self._drop(Reason.of("cycle-spread", spread=spread, period=f"{period:.3f}"))
            return None
        registers: list[int | None] = [None] * self._size
        for write in whole:
            registers[write.start : write.start + len(write.registers)] = write.registers
        cycle = tuple(registers)
        if self._fits is not None and not self._fits(cycle) and self._in_doubt(pattern):
            self._trust_silence = False
            self._drop(Reason.of("cycle-cut-elsewhere"), relearn=True)
            return None
        self._broken = 0
        self._why_dropped = None if dated is not None else Reason.of("cycle-back")
        return None if dated is None or self.missing else Snapshot(cycle, dated, period)

    def _in_doubt(self, pattern: CyclePattern) -> bool:
        """True if the newest writes indicate another cut than the one in force."""
        found = find_pattern(tuple(self._history), self._wanted, self._size, self._fits)
        return isinstance(found, Undecided) or found.shapes != pattern.shapes

    def _drop(self, why: Reason, *, relearn: bool = False) -> None:
        """Drop the cycle under way; after several in a row learn again."""
        self._set = []
        self._why_dropped = self._undecided = why
        self._broken += 1
        if relearn or self._broken >= _BROKEN_CYCLES:
            self._pattern = None
            self._retry = 0

    def _forget(self) -> None:
        """Forget the writes so far: none belongs to what comes now. The pattern is the meter's and stays."""
        self._set = []
        self._history.clear()
        self._rhythm = PushRhythm(self._rhythm.period)
