import pytest

from ksem_publisher.push_cycle import PushPace

WRITES = 5


def verdicts(period: float, pause: float, interval: float | None) -> set[str | None]:
    """What is found of cycles of five writes each, `pause` apart."""
    pace, found = PushPace(), set()
    for number in range(40):
        for i in range(WRITES):
            pace.wrote(100.0 + number * period + i * pause)
        if number >= 2:  # it takes three cycles to know a period
            reason = pace.why_queued((number,), period, interval)
            found.add(None if reason is None else reason.code)
    return found


@pytest.mark.parametrize(("period", "pause"), [(0.25, 0.05), (0.3, 0.06), (0.5, 0.1), (1.0, 0.2)])
def test_a_meter_that_never_rests_though_it_is_slower_than_it_measures_has_a_queue(period: float, pause: float) -> None:
    assert verdicts(period, pause, 0.2) == {"push-queued-slow"}


@pytest.mark.parametrize("period", [0.05, 0.1, 0.15])
def test_new_values_faster_than_the_meter_measures_have_waited(period: float) -> None:
    assert verdicts(period, 0.001, 0.2) == {"push-queued-fast"}


@pytest.mark.parametrize(("period", "pause"), [(0.2, 0.001), (0.2, 0.04), (0.21, 0.001), (0.5, 0.001), (0.5, 0.05)])
def test_a_meter_that_keeps_its_pace_or_rests_has_none(period: float, pause: float) -> None:
    assert verdicts(period, pause, 0.2) == {None}


def test_while_the_measuring_interval_is_unknown_nothing_is_said() -> None:
    assert verdicts(0.25, 0.05, None) == {None}


def test_the_same_cycle_pushed_more_often_than_the_meter_measures_has_not_waited() -> None:
    pace = PushPace()
    found = []
    for number in range(100):
        pace.wrote(number * 0.02)
        found.append(pace.why_queued((number // 10,), 0.02, 0.2))
    assert not any(found[1:])


@pytest.mark.parametrize(("period", "cycles"), [(0.203, 22), (0.21, 9)])
def test_a_queue_that_grows_by_little_is_found_before_it_holds_half_a_cycle(period: float, cycles: int) -> None:
    pace, found = PushPace(), []
    for number in range(cycles):
        for i in range(WRITES):
            pace.wrote(100.0 + number * period + i * 0.04)
        found.append(pace.why_queued((number,), period, 0.2))
    assert found[0] is None
    reason = found[-1]
    assert reason is not None
    assert reason.code == "push-queued-slow"


def test_a_cycle_that_was_left_out_is_no_queue() -> None:
    pace = PushPace()
    for number in (*range(20), *range(21, 40)):
        for i in range(WRITES):
            pace.wrote(100.0 + number * 0.2 + i * 0.04)
        assert pace.why_queued((number,), 0.2, 0.2) is None
