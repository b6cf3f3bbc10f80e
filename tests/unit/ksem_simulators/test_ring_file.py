from pathlib import Path

import pytest

from ksem_simulators.ring_file import RingFile, RingShape

MAGIC = b"TESTRING"


@pytest.fixture
def rings(tmp_path: Path) -> tuple[RingFile, RingFile]:
    path = tmp_path / "rings"
    writer = RingFile.create(path, MAGIC, [RingShape(4, 3), RingShape(2, 16)])
    return writer, RingFile.open(path, MAGIC)


def test_what_is_written_can_be_read_at_once(rings: tuple[RingFile, RingFile]) -> None:
    writer, reader = rings
    assert reader.rings[0].read(1) is None
    assert writer.rings[0].append(b"abc") == 1
    assert reader.rings[0].read(1) == b"abc"
    assert reader.rings[1].head == 0


def test_the_oldest_records_make_room(rings: tuple[RingFile, RingFile]) -> None:
    writer, reader = rings
    for number in range(6):
        writer.rings[0].append(bytes((number,)) * 3)
    ring = reader.rings[0]
    assert (ring.oldest, ring.head) == (3, 6)
    assert [ring.read(number) for number in (2, 3, 6, 7)] == [None, b"\2\2\2", b"\5\5\5", None]


def test_a_record_that_is_being_written_is_not_read(rings: tuple[RingFile, RingFile]) -> None:
    writer, reader = rings
    writer.rings[0].append(b"abc")
    writer.rings[0]._words[4096 // 8] = 0
    assert reader.rings[0].read(1) is None


def test_records_are_found_by_their_bytes_newest_first(rings: tuple[RingFile, RingFile]) -> None:
    writer, reader = rings
    for body in (b"aXc", b"bXd", b"bYd", b"cXe"):
        writer.rings[0].append(body)
    assert list(reader.rings[0].find(b"X", 1)) == [4, 2, 1]


def test_a_writer_that_comes_back_goes_on_behind_what_is_there(rings: tuple[RingFile, RingFile]) -> None:
    writer, reader = rings
    writer.rings[0].append(b"abc")
    writer.close()
    again = RingFile.create(reader.path, MAGIC, [RingShape(4, 3), RingShape(2, 16)])
    assert again.rings[0].append(b"def") == 2
    assert reader.rings[0].read(2) == b"def"


def test_a_file_of_another_shape_is_replaced(rings: tuple[RingFile, RingFile]) -> None:
    writer, reader = rings
    writer.rings[0].append(b"abc")
    other = RingFile.create(reader.path, MAGIC, [RingShape(8, 3)])
    assert other.rings[0].head == 0
    assert reader.rings[0].read(1) == b"abc"
