"""Reads what the simulated meter wrote, and when: the yardstick for hops and ages [shell]."""

from bisect import bisect_right
from collections.abc import Iterable
from pathlib import Path

from benchmarks.wire import Exchange
from ksem_contract.blocks import LIVE
from ksem_contract.registers import RegisterRange
from ksem_simulators.ring_file import RingFile
from ksem_simulators.truth import TruthReader
from ksem_simulators.truth.truth_file import MAGIC, STATEMENT, Block, Kind

_SAME_CYCLE = 0.1
"""Of the share of a period; a cycle's two writes follow at once."""


class MeterTruth:
    """Follows the truth file of a meter that pushes its cycles as two writes, 0-27 and 40-145."""

    def __init__(self, path: Path) -> None:
        self._statements = RingFile.open(path, MAGIC).rings[0]
        self._judge = TruthReader(path)
        self._next = 1
        self._cycles: list[tuple[float, float]] = []
        """First and last write of each cycle pushed, seconds of CLOCK_BOOTTIME."""
        self._lasts: list[float] = []

    def refresh(self) -> None:
        """Read what was written since; to be called at least every five minutes at 50 pushes a second."""
        while self._next <= self._statements.head:
            body = self._statements.read(self._next)
            self._next += 1
            if body is None:
                continue
            at, _, start, _, block, kind, _ = STATEMENT.unpack(body)
            if block != Block.LIVE or kind != Kind.PUSH:
                continue
            if start == 0:
                self._first = at
            elif self._next > 2:
                self._cycles.append((self._first, at))
                self._lasts.append(at)

    def hops(self, served: Iterable[tuple[float, float, bool]]) -> tuple[list[float], list[float]]:
        """Seconds from a cycle's first write, and from its last one, until it was served."""
        self.refresh()
        from_first, from_last = [], []
        for served_at, published_at, pushed in served:
            index = bisect_right(self._lasts, published_at + 0.001) - 1
            if pushed and index >= 0 and served_at - self._lasts[index] < 1.0:
                first, last = self._cycles[index]
                from_first.append(served_at - first)
                from_last.append(served_at - last)
        return from_first, from_last

    def ages(self, exchanges: Iterable[Exchange]) -> tuple[list[float], list[float], int]:
        """Ages of live words when their answer began; those a perfect bridge would have had; wrong answers."""
        self.refresh()
        ages, perfect, wrong = [], [], 0
        for one in exchanges:
            if not one.is_data or not LIVE.covers(RegisterRange(one.first, one.count)):
                continue
            verdict = self._judge.judge(one.first, one.registers, one.answered)
            index = bisect_right(self._lasts, one.answered) - 1
            if verdict.kind != "good" or verdict.age is None:
                wrong += 1
            elif index >= 0:
                ages.append(verdict.age)
                perfect.append(one.answered - self._cycles[index][0 if one.first < 40 else 1])
        return ages, perfect, wrong
