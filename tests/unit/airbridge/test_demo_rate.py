import pytest

from airbridge.demo.picture import Rate


def test_five_a_second_are_five_a_second() -> None:
    rate = Rate(3.0)
    for index in range(50):
        rate.happened(100 + 0.2 * index)
    assert rate.per_s(109.8) == pytest.approx(5.0)
    assert rate.per_s(109.95) == pytest.approx(5.0)


def test_what_has_stopped_sinks_to_nothing() -> None:
    rate = Rate(3.0)
    for index in range(50):
        rate.happened(100 + 0.2 * index)
    assert 0 < rate.per_s(111.5) < 4
    assert rate.per_s(113.0) == 0


def test_a_counter_of_somebody_else_is_followed() -> None:
    rate = Rate(3.0)
    for index in range(10):
        rate.counted(1000 + 6 * index, 50 + 0.5 * index)
    assert rate.per_s(54.5) == pytest.approx(12.0)


def test_a_counter_that_began_anew_never_gives_a_negative_rate() -> None:
    rate = Rate(3.0)
    rate.counted(1000, 50.0)
    rate.counted(5, 50.5)
    assert rate.per_s(50.5) == 0
    rate.counted(11, 51.0)
    assert rate.per_s(51.0) == pytest.approx(12.0)


def test_once_is_no_rate() -> None:
    rate = Rate()
    rate.happened(1.0)
    assert rate.per_s(1.0) == 0
