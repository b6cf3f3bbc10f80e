"""Keeps bounded rings in a file that one process writes and others read live [shell].

Each ring has records of one size. A record begins with its number (1, 2, 3 ...; a uint64 in the host's byte order), so
that a reader recognises a record that is being overwritten. A ring's head is the number of its newest
record. The file is sparse: what was never written costs neither disk nor memory.
"""

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

_HEADER: Final = 4096
_HEADS_AT: Final = 1024
_TABLE: Final = struct.Struct("=8sI4x")
_ROW: Final = struct.Struct("=QQ")
_NUMBER: Final = 8


class RingShape(NamedTuple):
    """How many records a ring holds, and how many bytes one has behind its number."""

    capacity: int
    body: int

    @property
    def size(self) -> int:
        """Bytes of a record with its number, kept at a multiple of 8."""
        return (_NUMBER + self.body + 7) // 8 * 8


class Ring:
    """One ring of an open file."""

    def __init__(self, memory: mmap.mmap, words: memoryview, shape: RingShape, index: int, base: int) -> None:
        self.shape = shape
        self._memory = memory
        self._words = words
        self._head = (_HEADS_AT + 8 * index) // 8
        self._base = base

    @property
    def head(self) -> int:
        """Number of the newest record; 0 when there is none."""
        return int(self._words[self._head])

    @property
    def oldest(self) -> int:
        """Number of the oldest record that is still there (1 when there is none)."""
        return max(1, self.head - self.shape.capacity + 1)

    def _offset(self, number: int) -> int:
        return self._base + (number - 1) % self.shape.capacity * self.shape.size

    def append(self, body: bytes) -> int:
        """Writes a record, returns its number."""
        number = int(self._words[self._head]) + 1
        at = self._base + (number - 1) % self.shape.capacity * self.shape.size
        self._words[at >> 3] = 0  # readers see: not whole
        self._memory[at + _NUMBER : at + _NUMBER + len(body)] = body
        self._words[at >> 3] = number
        self._words[self._head] = number
        return number

    def patch(self, number: int, offset: int, value: int) -> None:
        """Overwrites one byte of a record that is still there."""
        at = self._offset(number)
        if self._words[at >> 3] == number:
            self._memory[at + _NUMBER + offset] = value

    def read(self, number: int) -> bytes | None:
        """Body of the record, or None when it is not there, no longer there, or was overwritten meanwhile."""
        at = self._offset(number)
        if number < 1 or self._words[at >> 3] != number:
            return None
        body = self._memory[at + _NUMBER : at + _NUMBER + self.shape.body]
        return body if self._words[at >> 3] == number else None

    def find(self, wanted: bytes, offset: int) -> Iterator[int]:
        """Numbers of the records whose bytes from `offset` on are `wanted`, newest first."""
        memory, words, size, capacity = self._memory, self._words, self.shape.size, self.shape.capacity
        skip, length = _NUMBER + offset, len(wanted)
        for number in range(self.head, self.oldest - 1, -1):
            at = self._base + (number - 1) % capacity * size
            if memory[at + skip : at + skip + length] == wanted and words[at >> 3] == number:
                yield number


class RingFile:
    """Several rings in one file. `create` to write, `open` to read."""

    def __init__(self, path: Path, descriptor: int, shapes: Sequence[RingShape], *, writable: bool) -> None:
        protection = mmap.PROT_READ | mmap.PROT_WRITE if writable else mmap.PROT_READ
        self.path = path
        self._memory = mmap.mmap(descriptor, _length(shapes), mmap.MAP_SHARED, protection)
        os.close(descriptor)
        self._words = memoryview(self._memory).cast("Q")
        self.rings: list[Ring] = []
        base = _HEADER
        for index, shape in enumerate(shapes):
            self.rings.append(Ring(self._memory, self._words, shape, index, base))
            base += shape.capacity * shape.size

    @classmethod
    def create(cls, path: Path, magic: bytes, shapes: Sequence[RingShape]) -> "RingFile":
        """Opens `path` for writing; goes on behind what a file of the same make already holds."""
        header = _TABLE.pack(magic, len(shapes)) + b"".join(_ROW.pack(*shape) for shape in shapes)
        if not _has_header(path, header, _length(shapes)):
            fresh = path.with_name(path.name + ".new")
            with fresh.open("wb") as file:
                file.write(header)
                file.truncate(_length(shapes))
            fresh.replace(path)
        return cls(path, os.open(path, os.O_RDWR), shapes, writable=True)

    @classmethod
    def open(cls, path: Path, magic: bytes) -> "RingFile":
        """Opens `path` for reading. FileNotFoundError, or ValueError when it is another kind of file."""
        with path.open("rb") as file:
            header = file.read(_HEADER)
        begin, count = _TABLE.unpack_from(header) if len(header) == _HEADER else (b"", 0)
        if begin != magic:
            raise ValueError(f"{path}: begins with {begin!r}, expected {magic!r}")
        shapes = [RingShape(*_ROW.unpack_from(header, _TABLE.size + _ROW.size * index)) for index in range(count)]
        return cls(path, os.open(path, os.O_RDONLY), shapes, writable=False)

    def close(self) -> None:
        """Lets go of the file; the rings can't be used any more."""
        for ring in self.rings:
            ring._words = memoryview(b"").cast("Q")  # noqa: SLF001 - the view must be gone before the map can be closed
        self._words.release()
        self._memory.close()


def _length(shapes: Sequence[RingShape]) -> int:
    return _HEADER + sum(shape.capacity * shape.size for shape in shapes)


def _has_header(path: Path, header: bytes, length: int) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(header)) == header and path.stat().st_size == length
    except FileNotFoundError:
        return False
