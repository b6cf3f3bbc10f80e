import pytest

from airbridge.capture.summary import CaptureSummary
from ksem_contract.capture_file import CaptureRecord


def _request(t: float, start: int, count: int = 28, unit: int = 1) -> CaptureRecord:
    return CaptureRecord(t=t, what="request", unit=unit, function=3, start=start, count=count)


def _reply(
    t: float, what: str = "reply", *, unit: int = 1, delay_ms: float = 2.0, code: int | None = None
) -> CaptureRecord:
    return CaptureRecord(t=t, what=what, unit=unit, function=3, delay_ms=delay_ms, code=code)


def _summary(*records: CaptureRecord) -> CaptureSummary:
    summary = CaptureSummary()
    for record in records:
        summary.add(record)
    return summary


def test_each_kind_of_request_is_counted_with_its_period_and_turnaround() -> None:
    records = []
    for cycle in range(10):
        at = 0.16 * cycle
        records += [
            _request(at, 0),
            _reply(at + 0.02, delay_ms=2.0 + cycle / 10),
            _request(at + 0.05, 40, 106),
            _reply(at + 0.12),
        ]
    rows = {(row.key.start, row.key.count): row for row in _summary(*records).rows}
    totals = rows[0, 28]
    assert (totals.seen, totals.answered, totals.timeouts) == (10, 10, 0)
    assert totals.period_ms is not None
    assert totals.period_ms.median == pytest.approx(160)
    assert totals.delay_ms is not None
    assert (totals.delay_ms.least, totals.delay_ms.greatest) == (2.0, 2.9)
    assert rows[40, 106].seen == 10


def test_a_request_that_another_follows_without_a_reply_has_timed_out() -> None:
    row = _summary(_request(0.0, 0), _request(0.5, 0), _reply(0.52)).rows[0]
    assert (row.seen, row.answered, row.timeouts) == (2, 1, 1)


def test_the_last_request_times_out_only_if_it_waited_long() -> None:
    summary = _summary(_request(0.0, 0))
    summary.finish(0.3)
    assert summary.rows[0].timeouts == 0
    summary.finish(2.0)
    assert summary.rows[0].timeouts == 1


def test_exceptions_are_counted_by_code() -> None:
    records = [_request(0.0, 0), _reply(0.1, "exception", code=4), _request(1.0, 0), _reply(1.1, "exception", code=4)]
    row = _summary(*records).rows[0]
    assert dict(row.exceptions) == {4: 2}
    assert row.answered == 0


def test_a_reply_of_another_unit_answers_nothing() -> None:
    summary = _summary(_request(0.0, 0), _reply(0.1, unit=7), _request(0.2, 0))
    assert summary.counts["unasked"] == 1
    assert summary.rows[0].timeouts == 1


def test_writes_are_counted_by_address_without_the_port() -> None:
    write = CaptureRecord(t=0.0, what="write", peer="192.0.2.7:4000", function=16, unit=1, start=0, count=28)
    again = CaptureRecord(t=0.2, what="write", peer="192.0.2.7:4001", function=16, unit=1, start=0, count=28)
    summary = _summary(write, again)
    assert dict(summary.peers) == {"192.0.2.7": 2}
    assert summary.rows[0].seen == 2


def test_endless_garbage_does_not_grow_the_rows() -> None:
    summary = _summary(*(_request(at, at % 60_000, 1 + at // 60_000) for at in range(3_000)))
    assert len(summary.rows) == 1_000
