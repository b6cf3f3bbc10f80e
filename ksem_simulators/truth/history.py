"""Holds everything the meter sent, by snapshot: grows as the meter keeps sending."""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from ksem_simulators.ring_file import Ring
from ksem_simulators.truth.truth_file import RANGES, STATEMENT, Block, Kind

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
