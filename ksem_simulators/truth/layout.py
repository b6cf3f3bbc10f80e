"""The truth file: one ring of statements, and one ring of snapshots for each block.

A *snapshot* is what a block held; a *statement* is a write pushed or a read answered, with the snapshot that it was
taken from. `live` has a snapshot for each measuring cycle; the other blocks get one when the meter says something of
them that differs from what it said before.
"""

import struct
from enum import IntEnum
from typing import Final

from ksem_contract.blocks import DEVICE, ENERGY, LIVE, SUNSPEC_START
from ksem_contract.register_range import RegisterRange
from ksem_simulators.ring_file import RingShape

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


def block_of(wanted: RegisterRange) -> Block | None:
    """The block that `wanted` lies in, None when it lies in none."""
    return next((block for block in Block if RANGES[block].covers(wanted)), None)
