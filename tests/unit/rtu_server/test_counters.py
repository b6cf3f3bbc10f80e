import threading
from dataclasses import replace

from ksem_contract.health import AGE_BOUNDS_MS, TURNAROUND_BOUNDS_MS, LinkHealth
from modbus_codec.crc import append_crc
from rtu_server.counters import SAMPLES, DurationCounts, LineCounters, RequestStats, UnitCounters
from rtu_server.health import UnitReport, requests_message

from .test_unit_state import SERVED


def test_a_duration_counts_at_the_first_bound_that_it_is_not_over() -> None:
    counts = DurationCounts((1.0, 2.0))
    for ms in (0.0, 1.0, 1.001, 2.0, 2.1, 9000.0):
        counts.note(ms / 1000)
    reported = counts.histogram()
    assert reported.le == (1.0, 2.0)
    assert reported.counts == (2, 4, 6)
    assert reported.sum == 9006.101


def test_more_answers_are_counted_than_samples_are_kept() -> None:
    counters = UnitCounters()
    for _ in range(2 * SAMPLES):
        counters.note_times(0.0025, 0.12)
    counters.note_times(0.0001, None)
    turnaround, age = counters.turnaround_counts.histogram(), counters.age_counts.histogram()
    assert dict(zip(turnaround.le, turnaround.counts, strict=False))[2.0] == 1
    assert turnaround.counts[-1] == 2 * SAMPLES + 1
    assert age.counts[-1] == 2 * SAMPLES, "an answer without data has no age"
    assert (turnaround.le, age.le) == (TURNAROUND_BOUNDS_MS, AGE_BOUNDS_MS)


def test_what_is_told_while_the_line_goes_on_answering_is_whole() -> None:
    counts, stopping = DurationCounts((1.0, 2.0)), threading.Event()

    def answer() -> None:
        while not stopping.is_set():
            counts.note(0.0015)

    line = threading.Thread(target=answer)
    line.start()
    try:
        seen = [counts.histogram().counts for _ in range(2000)]
    finally:
        stopping.set()
        line.join()
    assert all(low == 0 and most == every for low, most, every in seen)
    assert [counts[-1] for counts in seen] == sorted(counts[-1] for counts in seen)


def test_a_rate_is_never_negative_and_never_divides_by_zero() -> None:
    requested = RequestStats(window=0)
    for at in (0.0, 5.0, 9.99, 10.0, 10.0, 14.0):
        requested.note("data", at)
        for now in (at - 1.0, at, at + 0.001, at + 9.0, at + 1000.0):
            assert requested.rate(now) >= 0.0
    assert requested.rate(15.0) == 0.3
    assert requested.rate(20.0) == 0.3
    assert requested.rate(31.0) == 0.0


def test_a_request_of_fewer_than_8_bytes_has_no_address() -> None:
    counters = LineCounters({1: UnitCounters()})
    counters.units[1].note(append_crc(b"\x01\x42"), "exception-1", 100.5)
    view = replace(SERVED, last_request=100.5)
    port = LinkHealth(state="up", since="", why="", changes=0)
    (entry,) = requests_message([UnitReport(view, counters, port)], 100.0).requests
    assert (entry.start, entry.count) == (0, 0)
    assert entry.per_s >= 0
