"""When a node pings."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from ksem_contract.freshness import HURRY, PING_EVERY, PING_SELDOM, EchoSchedule


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
    schedule.want("aaaa", 1.0)
    assert schedule.due(1.0)
    schedule.sent("b", 1.0)
    assert not schedule.due(1.0 + HURRY / 2)
    assert schedule.due(1.0 + HURRY)


def test_an_answer_counts_for_the_ping_it_names_and_not_for_ever() -> None:
    schedule = EchoSchedule()
    schedule.sent("a", 0.0)
    assert schedule.answered("a", "aaaa", 1.0) == 0.0
    assert schedule.answered("a", "bbbb", 2.0) == 0.0
    assert schedule.answered("b", "aaaa", 1.0) is None
    assert schedule.answered("a", "cccc", 31.0) is None


def pings(schedule: EchoSchedule, until: float, want: Callable[[float], None]) -> list[float]:
    """When pings go out while blocks come ten times a second."""
    sent = []
    for step in range(int(until * 10)):
        now = step / 10
        want(now)
        if schedule.due(now):
            schedule.sent(f"n{step}", now)
            sent.append(now)
    return sent


def test_a_session_that_never_answers_is_soon_pinged_no_more_than_any_other() -> None:
    schedule = EchoSchedule()
    sent = pings(schedule, 100, lambda now: schedule.want("mute", now))
    assert len([at for at in sent if at < 10]) <= 8
    assert [round(later - at) for at, later in pairwise(sent[-5:])] == [10] * 4


def test_a_session_that_never_answers_delays_no_other_one() -> None:
    schedule = EchoSchedule()
    pings(schedule, 60, lambda now: schedule.want("mute", now))
    schedule.want("new", 60.3)
    assert schedule.due(60.3)


def test_ever_new_sessions_that_never_answer_do_not_keep_up_the_hurry() -> None:
    schedule = EchoSchedule()
    sent = pings(schedule, 300, lambda now: schedule.want(f"s{now}", now))
    assert len([at for at in sent if at >= 100]) <= 200


def test_after_the_link_came_up_a_lost_ping_is_repeated_soon_until_any_answer() -> None:
    schedule = EchoSchedule()
    schedule.on_link_up(0.0)
    schedule.sent("a", 0.0)
    assert schedule.due(HURRY)
    schedule.dated("aaaa")
    assert not schedule.due(PING_EVERY - 0.1)


def test_a_pong_that_a_newer_one_of_its_session_has_overtaken_does_not_count() -> None:
    """Sent before a pause and arriving after it, it would make old blocks young."""
    schedule = EchoSchedule()
    schedule.sent("a", 0.0)
    schedule.sent("b", 1.0)
    assert schedule.answered("b", "aaaa", 1.1) == 1.0
    assert schedule.answered("a", "aaaa", 1.2) is None
    assert schedule.answered("b", "aaaa", 1.3) is None
    assert schedule.answered("a", "bbbb", 1.4) == 0.0


def test_no_pong_to_a_ping_from_before_a_clock_was_disproved_counts() -> None:
    schedule = EchoSchedule()
    schedule.sent("a", 0.0)
    schedule.void()
    assert schedule.answered("a", "aaaa", 0.1) is None


def test_while_blocks_are_too_old_as_they_arrive_there_is_a_ping_a_second() -> None:
    schedule = EchoSchedule()
    schedule.sent("a", 100.0)
    schedule.doubt()
    assert not schedule.due(100.5)
    assert schedule.due(101.0)
    schedule.sent("b", 101.0)
    assert not schedule.due(102.5)


def test_a_session_whose_blocks_come_again_after_a_silence_is_pinged_at_once() -> None:
    schedule = EchoSchedule()
    schedule.want("aaaa", 0.0)
    now = 0.0
    while now < 8.0:  # its publisher is stopped
        if schedule.due(now):
            schedule.sent(f"{now}", now)
        now += HURRY
    schedule.sent("last", now)
    schedule.want("aaaa", now + HURRY)
    assert schedule.due(now + HURRY)
