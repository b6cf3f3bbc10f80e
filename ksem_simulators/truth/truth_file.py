"""Writes the truth file: one ring of statements, and one ring of snapshots for each block [shell].

A *snapshot* is what a block held; a *statement* is a write pushed or a read answered, with the snapshot that it was
taken from. `live` has a snapshot for each measuring cycle; the other blocks get one when the meter sends something of
them that differs from what it sent before.
"""

import struct
from enum import IntEnum
from pathlib import Path
from typing import Final

from ksem_contract.blocks import DEVICE, ENERGY, LIVE, SUNSPEC_START
from ksem_contract.registers import RegisterRange
from ksem_simulators.ring_file import RingFile, RingShape

MAGIC: Final = b"KSEMTRU1"


class Block(IntEnum):
    """The meter's blocks, in the order of their rings."""

    LIVE = 0
    ENERGY = 1
    DEVICE = 2
    SUNSPEC = 3
    ENERGY_FLOW = 4


class Kind(IntEnum):
    """What became of a statement."""

    PUSH = 1
    READ = 2
    VOID = 3
    """Taken back: it never left the meter."""


RANGES: Final = {
    Block.LIVE: LIVE,
    Block.ENERGY: ENERGY,
    Block.DEVICE: DEVICE,
    Block.SUNSPEC: RegisterRange(SUNSPEC_START, 179),
    Block.ENERGY_FLOW: RegisterRange(40972, 41),
}
"""Where the blocks stand. Before firmware 2.6.0 the last word of SunSpec's was not there."""

BOOTING: Final = 1
"""Flag of a snapshot: the meter was starting, nothing was measured (0 Hz)."""
FROZEN: Final = 2
"""Flag of a snapshot: the values are those of an earlier cycle."""

SNAPSHOT: Final = struct.Struct("=QddII")
"""Head of a snapshot: cycle, at, measured_at, flags, count of words; then the words, big-endian as on the wire."""
STATEMENT: Final = struct.Struct("=dQHHBBH")
"""at, number of the snapshot, start, count, block, kind, 0."""
KIND_AT: Final = 21
"""Where a statement's kind stands."""


def shapes(cycles: int, snapshots: int, statements: int) -> list[RingShape]:
    """Shapes of the file's rings: the statements, then the blocks."""
    return [
        RingShape(statements, STATEMENT.size),
        *(
            RingShape(cycles if block is Block.LIVE else snapshots, SNAPSHOT.size + 2 * RANGES[block].count)
            for block in Block
        ),
    ]


def block_of(span: RegisterRange) -> Block | None:
    """The block that `span` lies in, None when it lies in none."""
    return next((block for block in Block if RANGES[block].covers(span)), None)


class TruthWriter:
    """Records what the meter holds and sends. It records a statement *before* the meter sends it, so that no receiver
    can have it earlier than the judge; it takes one back that could not be sent.
    """

    def __init__(self, path: Path, *, cycles: int = 16_384, snapshots: int = 4_096, statements: int = 65_536) -> None:
        self._file = RingFile.create(path, MAGIC, shapes(cycles, snapshots, statements))
        self._statements = self._file.rings[0]
        self._blocks = self._file.rings[1:]

    @property
    def last_cycle(self) -> int:
        """Number of the newest cycle in the file; 0 when there is none. A meter that starts again counts on from it."""
        ring = self._blocks[Block.LIVE]
        body = ring.read(ring.head)
        return int(SNAPSHOT.unpack_from(body)[0]) if body else 0

    def snapshot(self, block: Block, words: bytes, *, cycle: int, at: float, measured_at: float, flags: int = 0) -> int:
        """Records what `block` holds (big-endian words from its first register on); returns the snapshot's number."""
        if len(words) > 2 * RANGES[block].count:
            raise ValueError(f"{len(words) // 2} words for block {block.name}: it has {RANGES[block].count}")
        head = SNAPSHOT.pack(cycle, at, measured_at, flags, len(words) // 2)
        return self._blocks[block].append(head + words)

    def record_sent(self, block: Block, snapshot: int, written: RegisterRange, kind: Kind, at: float) -> int:
        """Records that the meter sends the registers `written` of a snapshot; returns the statement's number."""
        return self._statements.append(STATEMENT.pack(at, snapshot, written.start, written.count, block, kind, 0))

    def take_back(self, statement: int) -> None:
        """The statement was not sent after all."""
        self._statements.patch(statement, KIND_AT, Kind.VOID)

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()
