import pytest

from airbridge.demo.events import BAD, Counts, faults


def test_a_run_with_enough_good_answers_and_no_bad_one_is_good() -> None:
    assert faults(Counts.of({"good": 150}), 150) == []


def test_well_formed_data_of_a_real_meter_counts_as_good() -> None:
    assert Counts.of({"data": 3, "good": 1}).good == 4


@pytest.mark.parametrize("outcome", BAD)
def test_one_bad_answer_fails_the_run(outcome: str) -> None:
    assert faults(Counts.of({"good": 1000, outcome: 1}), 150) == [f"1 answers were {outcome}"]


def test_an_answer_that_came_when_nobody_waited_any_more_is_late() -> None:
    status = {"outcomes": {"good": 200}, "late_frames": 1}
    assert faults(Counts.of_inverter(status), 150) == ["1 answers were late"]


def test_too_few_good_answers_fail_the_run() -> None:
    assert faults(Counts.of({"good": 149, "timeout": 9}), 150) == ["149 good answers, at least 150 were expected"]


def test_refusals_and_timeouts_are_counted_apart() -> None:
    counts = Counts.of({"good": 5, "exception-4": 2, "exception-11": 1, "timeout": 4})
    assert (counts.refused, counts.timeouts) == (3, 4)
    assert str(counts) == ("5 good, 0 wrong, 0 torn, 0 stale, 0 foreign, 0 late, 0 broken, 4 timeouts, 3 refused")
