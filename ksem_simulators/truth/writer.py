"""The meter's side of the truth file [shell]."""

from pathlib import Path

from ksem_contract.register_range import RegisterRange
from ksem_simulators.ring_file import RingFile
from ksem_simulators.truth.layout import KIND_AT, MAGIC, RANGES, SNAPSHOT, STATEMENT, Block, Kind, shapes


class TruthWriter:
    """Records what the meter holds and says. A statement is recorded *before* it is sent, so that nobody can hear it
    earlier than it is known; one that could not be sent is taken back.
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

    def say(self, block: Block, snapshot: int, said: RegisterRange, kind: Kind, at: float) -> int:
        """Records that the meter says the registers `said` of a snapshot; returns the statement's number."""
        return self._statements.append(STATEMENT.pack(at, snapshot, said.start, said.count, block, kind, 0))

    def take_back(self, statement: int) -> None:
        """The statement was not sent after all."""
        self._statements.patch(statement, KIND_AT, Kind.VOID)

    def close(self) -> None:
        """Lets go of the file."""
        self._file.close()
