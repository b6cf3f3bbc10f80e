"""Reads the truth file for the judge [shell]: opens it, follows it, judges answers by it."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ksem_contract.registers import RegisterRange
from ksem_simulators.ring_file import RingFile
from ksem_simulators.truth.judge import History, Verdict, judge
from ksem_simulators.truth.truth_file import MAGIC, RANGES, SNAPSHOT, Block, block_of


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a block held. `measured_at` is older than `at` on a frozen meter."""

    number: int
    cycle: int
    at: float
    measured_at: float
    flags: int
    start: int
    raw: bytes

    def registers(self, span: RegisterRange) -> tuple[int, ...]:
        """The requested registers. ValueError when they are not all in this snapshot."""
        offset = span.start - self.start
        if offset < 0 or 2 * (offset + span.count) > len(self.raw):
            raise ValueError(f"{span} is not in the snapshot of {self.start}+{len(self.raw) // 2}")
        return struct.unpack_from(f">{span.count}H", self.raw, 2 * offset)


class TruthReader:
    """Follows the truth file of a running meter. FileNotFoundError when there is none yet."""

    def __init__(self, path: Path) -> None:
        self._file = RingFile.open(path, MAGIC)
        self._blocks = self._file.rings[1:]
        self._history = History(self._file.rings[0], self._blocks)

    @property
    def missed(self) -> int:
        """Statements that were overwritten before they were read; then a good answer may be called wrong."""
        return self._history.missed

    def refresh(self) -> None:
        """Reads what the meter sent since; `judge` does so by itself."""
        self._history.refresh()

    def judge(self, start: int, registers: Sequence[int], at: float) -> Verdict:
        """Judges an answer with `registers` from `start` on, whose first byte went out at `at` (CLOCK_BOOTTIME)."""
        self._history.refresh()
        span = RegisterRange(start, len(registers))
        block = block_of(span)
        if block is None:
            return Verdict("wrong", f"the meter has no registers {span}")
        return judge(self, self._history, block, span, struct.pack(f">{len(registers)}H", *registers), at)

    def newest(self, block: Block) -> Snapshot | None:
        """The newest snapshot of a block."""
        return self.snapshot(block, self._blocks[block].head)

    def snapshot(self, block: Block, number: int) -> Snapshot | None:
        """The snapshot of that number, None when it is not there or no longer there."""
        body = self._blocks[block].read(number)
        if body is None:
            return None
        cycle, at, measured_at, flags, count = SNAPSHOT.unpack_from(body)
        registers = body[SNAPSHOT.size : SNAPSHOT.size + 2 * count]
        return Snapshot(number, cycle, at, measured_at, flags, RANGES[block].start, registers)

    def holding(self, block: Block, start: int, registers: bytes) -> Iterator[int]:
        """Numbers of the snapshots that hold `registers` from register `start` on, newest first."""
        offset = SNAPSHOT.size + 2 * (start - RANGES[block].start)
        return self._blocks[block].find(registers, offset)

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()
