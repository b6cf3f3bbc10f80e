"""When a node pings."""

import pytest

from ksem_contract.echo import PING_EVERY, PING_SELDOM
from rtu_server.echo_schedule import HURRY, EchoSchedule


def test_a_ping_is_due_at_once_and_then_every_ten_seconds() -> None:
    schedule = EchoSchedule()
    assert schedule.due(0.0)
    schedule.sent("a", 0.0)
    assert not schedule.due(PING_EVERY - 0.1)
    assert schedule.due(PING_EVERY)


@pytest.mark.parametrize(("wish", "every"), [(None, PING_EVERY), (1, PING_EVERY), (50_000, 50.0), (10**9, PING_SELDOM)])
def test_a_publisher_s_wish_is_followed_within_bounds(wish: int | None, every: float) -> None:
    schedule = EchoSchedule()
    schedule.sent("a", 0.0)
    schedule.pace(wish)
    assert not schedule.due(every - 0.1)
    assert schedule.due(every)


def test_what_waits_for_an_echo_is_asked_for_at_once_whatever_the_pace() -> None:
    schedule = EchoSchedule()
    schedule.sent("a", 0.0)
    schedule.pace(200_000)
    schedule.want(1.0)
    assert schedule.due(1.0)
    schedule.sent("b", 1.0)
    assert not schedule.due(1.0 + HURRY / 2)
    assert schedule.due(1.0 + HURRY)


def test_an_answer_counts_for_the_ping_it_names_and_not_for_ever() -> None:
    schedule = EchoSchedule()
    schedule.sent("a", 0.0)
    assert schedule.answered("a", 1.0) == 0.0
    assert schedule.answered("a", 2.0) == 0.0
    assert schedule.answered("b", 1.0) is None
    assert schedule.answered("a", 31.0) is None
