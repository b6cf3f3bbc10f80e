import pytest

from service_runtime.recorder.bus_records import ArrivalTimes

_CHARACTER = 0.001


def test_bytes_of_one_chunk_are_a_character_apart() -> None:
    times = ArrivalTimes(_CHARACTER)
    times.arrived(10, 5.0)
    assert times.take(4) == pytest.approx((4.990, 4.994))
    assert times.take(6) == pytest.approx((4.994, 5.0))


def test_a_frame_over_several_chunks_begins_in_the_first_and_ends_in_the_last() -> None:
    times = ArrivalTimes(_CHARACTER)
    times.arrived(2, 5.0)
    times.arrived(2, 5.02)
    times.arrived(4, 5.04)
    assert times.take(6) == pytest.approx((4.998, 5.038))
    assert times.take(2) == pytest.approx((5.038, 5.04))


def test_a_byte_is_never_dated_before_the_chunk_in_front_of_its_own() -> None:
    times = ArrivalTimes(_CHARACTER)
    times.arrived(1, 5.0)
    times.arrived(10, 5.002)
    times.take(1)
    begin, end = times.take(10)
    assert begin >= 5.0 - _CHARACTER
    assert end == 5.002


def test_times_stay_right_over_a_long_run() -> None:
    times = ArrivalTimes(_CHARACTER)
    for second in range(1, 10_000):
        times.arrived(8, float(second))
        assert times.take(8)[1] == second


def test_a_byte_that_has_not_come_has_no_time() -> None:
    times = ArrivalTimes(_CHARACTER)
    times.arrived(2, 1.0)
    with pytest.raises(ValueError, match="not arrived"):
        times.take(3)
