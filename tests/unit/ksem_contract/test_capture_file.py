import json

import pytest

from ksem_contract.capture_file import CaptureHeader, CaptureRecord, read_capture
from ksem_contract.message_fields import InvalidMessage, UnknownVersion

_HEADER = CaptureHeader(
    kind="push", tool="0.1.0", started="2026-11-22T11:00:00.123+01:00", zero=4711.25, source="0.0.0.0:5020"
)
_RECORDS = [
    CaptureRecord(t=0.5, what="connected", peer="192.0.2.7:40001"),
    CaptureRecord(
        t=0.512345, what="write", peer="192.0.2.7:40001", function=16, unit=1, start=0, count=2, values=(0, 9)
    ),
    CaptureRecord(
        t=0.6, what="reply", unit=1, function=3, start=26, count=1, values=(50_000,), gap_ms=1.8, delay_ms=1.75
    ),
    CaptureRecord(t=0.7, what="exception", unit=1, function=3, code=4, length=5),
    CaptureRecord(t=0.8, what="noise", length=3, raw="00 ff 00", why="nothing that was understood"),
]


def _lines() -> list[str]:
    return [_HEADER.encode() + "\n", *(record.encode() + "\n" for record in _RECORDS)]


def test_what_is_written_is_read_back() -> None:
    header, records = read_capture(_lines())
    assert header == _HEADER
    assert list(records) == _RECORDS


def test_each_line_is_one_json_object_without_empty_fields() -> None:
    assert [list(json.loads(line)) for line in _lines()][1] == ["t", "what", "peer"]
    assert json.loads(_lines()[2])["values"] == [0, 9]


def test_words_and_fields_of_a_later_version_are_passed_over() -> None:
    line = '{"t":1.5,"what":"poll","colour":"blue","unit":1}\n'
    _, records = read_capture([_HEADER.encode() + "\n", line])
    assert list(records) == [CaptureRecord(t=1.5, what="poll", unit=1)]


def test_a_last_line_that_was_cut_off_is_left_out() -> None:
    lines = _lines()
    _, records = read_capture([*lines, lines[-1][:20]])
    assert list(records) == _RECORDS


def test_a_broken_line_in_the_middle_is_told_by_its_number() -> None:
    lines = _lines()
    _, records = read_capture([*lines[:2], "{]\n", *lines[2:]])
    with pytest.raises(InvalidMessage, match="line 3: "):
        list(records)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('{"t":"now","what":"write"}', "t 'now'"),
        ('{"t":1,"what":"write","values":[0,65536]}', "65536"),
        ('{"t":1,"what":"write","values":"0 1"}', "a list of register words"),
        ('{"t":1,"what":"write","unit":256}', "unit 256"),
        ('{"t":1,"what":"write","peer":7}', "peer 7"),
        ('{"t":1}', "what is missing"),
        ("[]", "a JSON object"),
    ],
)
def test_a_field_that_can_not_be_is_told(line: str, text: str) -> None:
    with pytest.raises(InvalidMessage, match=text):
        CaptureRecord.decode(line)


@pytest.mark.parametrize("line", ["", "Time,Value\n", '{"v":1}\n', '{"capture":"other","v":1}\n'])
def test_another_kind_of_file_is_refused(line: str) -> None:
    with pytest.raises(InvalidMessage):
        read_capture([line] if line else [])


def test_a_later_format_is_refused() -> None:
    with pytest.raises(UnknownVersion):
        read_capture([_HEADER.encode().replace('"v":1', '"v":2')])


def test_a_header_of_an_unknown_kind_can_not_be_written() -> None:
    with pytest.raises(InvalidMessage, match="kind"):
        CaptureHeader(kind="dream", tool="", started="", zero=0.0).encode()


@pytest.mark.parametrize(
    ("start", "secret"), [(8192, range(8228, 8244)), (8230, range(8230, 8244)), (40040, range(40052, 40068))]
)
def test_serial_number_registers_are_left_out(start: int, secret: range) -> None:
    record = CaptureRecord(t=1.0, what="reply", start=start, count=58, values=tuple(range(1, 59)))
    kept = record.without_serial_number().values
    assert kept is not None
    left_out = [start + index for index, value in enumerate(kept) if value is None]
    assert left_out == list(secret)


def test_values_whose_place_is_not_known_are_left_out_whole() -> None:
    assert CaptureRecord(t=1.0, what="reply", values=(1, 2)).without_serial_number().values is None


def test_other_registers_are_kept() -> None:
    record = CaptureRecord(t=1.0, what="write", start=512, count=3, values=(1, 2, 3))
    assert record.without_serial_number() is record
