import pytest

from ksem_publisher.live import LiveSource


@pytest.mark.parametrize(("period", "away"), [(0.02, 0.06), (0.1, 0.3), (0.2, 0.6), (0.5, 0.6)])
def test_the_push_is_away_after_three_periods_or_600_ms(period: float, away: float) -> None:
    source = LiveSource(push=True)
    assert source.take_push(period, 10.0, 10.0)
    assert source.push_carries(10.0 + away - 0.001)
    assert source.next_change(10.0) == pytest.approx(10.0 + away)
    assert source.poll_wanted(10.0 + away + 0.001)


@pytest.mark.promise(6)
def test_polling_carries_live_until_the_first_cycle_and_after_the_last() -> None:
    source = LiveSource(push=True)
    assert source.poll_wanted(0.0)
    assert source.take_poll(9.9, 10.0)
    assert source.take_push(0.2, 10.1, 10.1)
    assert not source.take_poll(10.05, 10.2)
    assert source.take_poll(10.9, 11.0)


def test_a_push_slower_than_half_a_second_leaves_live_to_polling_while_that_works() -> None:
    source = LiveSource(push=True)
    assert source.take_poll(10.0, 10.0)
    assert not source.take_push(2.0, 10.1, 10.1)
    assert source.poll_wanted(10.1)
    assert source.take_push(2.0, 12.1, 12.1)


def test_nothing_older_than_what_was_published_follows_it() -> None:
    source = LiveSource(push=True)
    assert source.take_push(0.2, 10.0, 10.0)
    assert not source.take_poll(9.9, 11.0)
    assert source.take_poll(10.8, 11.0)


def test_with_pushes_switched_off_polling_always_carries_live() -> None:
    assert LiveSource(push=False).poll_wanted(0.0)


@pytest.mark.parametrize(
    ("period", "interval", "carries"),
    [(0.2, None, True), (0.2, 0.2, True), (0.25, 0.2, False), (0.4, 0.2, False), (0.5, 0.2, True), (0.5, 0.5, True)],
)
def test_a_push_slower_than_the_meter_measures_carries_live_at_half_a_second_only(
    period: float, interval: float | None, *, carries: bool
) -> None:
    source = LiveSource(push=True)
    assert source.take_poll(9.9, 9.9)
    assert source.take_push(period, 10.0, 10.0, interval) == carries


def test_a_push_that_is_old_is_replaced_at_once() -> None:
    source = LiveSource(push=True)
    assert source.take_push(0.2, 10.0, 10.0)
    source.drop_push()
    assert source.poll_wanted(10.0)
