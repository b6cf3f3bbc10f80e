"""A recording as the simulators say it again."""

from pathlib import Path

import pytest

from ksem_contract.capture_file import CaptureRecord
from ksem_simulators.recording import Recording, RegisterTimeline, request_frame
from modbus_codec.crc import append_crc


def reported(t: float, start: int, *values: int | None, what: str = "write", where: str | None = None) -> CaptureRecord:
    return CaptureRecord(t=t, what=what, start=start, count=len(values), values=values, where=where)


class TestRegisters:
    def test_hold_what_was_told_last(self) -> None:
        timeline = RegisterTimeline([reported(1.0, 0, 10, 11), reported(2.0, 0, 20, 21)])
        assert timeline.registers(0, 2, 1.5) == (10, 11)
        assert timeline.registers(1, 1, 2.0) == (21,)
        assert timeline.registers(0, 2, 99.0) == (20, 21)

    def test_are_what_they_are_told_to_be_first_before_that(self) -> None:
        timeline = RegisterTimeline([reported(5.0, 0, 10), reported(6.0, 0, 20), reported(3.0, 0, 7, 8)])
        assert timeline.registers(0, 2, 0.0) == (7, 8)
        assert timeline.registers(0, 1, 5.5) == (10,)

    def test_are_put_together_from_writes_that_overlap(self) -> None:
        timeline = RegisterTimeline([reported(1.0, 0, 1, 2, 3), reported(2.0, 2, 30, 40), reported(3.0, 1, 200)])
        assert timeline.registers(0, 4, 9.0) == (1, 200, 30, 40)

    def test_that_were_never_told_are_not_made_up(self) -> None:
        timeline = RegisterTimeline([reported(1.0, 0, 1, 2)])
        assert timeline.registers(1, 2, 1.0) is None
        assert timeline.registers(8192, 1, 1.0) is None

    def test_that_were_left_out_of_the_recording_are_zero(self) -> None:
        assert RegisterTimeline([reported(1.0, 8228, 1, None)]).registers(8228, 2, 1.0) == (1, 0)

    def test_of_the_bus_count_only_where_the_meter_told_nothing(self) -> None:
        older = reported(2.0, 0, 1, 2, what="reply")
        timeline = RegisterTimeline([reported(1.5, 0, 10, what="poll-reply"), older])
        assert timeline.registers(0, 2, 3.0) == (10, 2)


def test_of_several_meters_and_lines_the_first_that_speaks_is_replayed() -> None:
    request = CaptureRecord(t=0.5, what="request", where="attic/a", function=3, unit=1, start=0, count=1)
    records = [
        reported(1.0, 0, 1, where="one"),
        request,
        reported(2.0, 0, 2, where="two"),
        CaptureRecord(t=2.5, what="request", where="attic/b", function=3, unit=1, start=0, count=1),
    ]
    recording = Recording(records)
    assert [one.where for one in recording.pushes] == ["one"]
    assert recording.requests == [request]
    assert recording.registers.registers(0, 1, 9.0) == (1,)
    assert recording.duration == 2.5


@pytest.mark.parametrize(
    ("record", "body"),
    [
        (CaptureRecord(t=0, what="request", function=3, unit=1, start=40, count=106), "01 03 00 28 00 6a"),
        (CaptureRecord(t=0, what="request", function=6, unit=2, start=1, count=1, values=(7,)), "02 06 00 01 00 07"),
        (
            CaptureRecord(t=0, what="request", function=16, unit=1, start=1, count=1, values=(7,)),
            "01 10 00 01 00 01 02 00 07",
        ),
    ],
)
def test_requests_are_asked_as_they_were(record: CaptureRecord, body: str) -> None:
    assert request_frame(record) == append_crc(bytes.fromhex(body))


def test_a_request_of_which_only_the_beginning_was_kept_is_not_made_up() -> None:
    record = CaptureRecord(t=0, what="request", function=43, unit=1, raw="01 2b 0e", length=7)
    assert request_frame(record) is None


def test_a_file_that_is_no_capture_is_refused_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "none.jsonl"
    file.write_text("hello\n")
    with pytest.raises(ValueError, match=r"none\.jsonl"):
        Recording.load(file)
