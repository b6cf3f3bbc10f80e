"""Ages at each step, made of what was recorded."""

from itertools import pairwise

import pytest

from evaluation.feed import (
    FORGOTTEN_AFTER,
    NOTHING,
    STEP,
    Answer,
    Episode,
    Outage,
    Recording,
    ages,
    draw_outages,
    over_days,
)


def recording(seconds: float, age: float, every: float = 0.16, refused: tuple[float, float] = (0, 0)) -> Recording:
    """Answers that are `age` old as they come; refused between two moments."""
    moments = (number * every for number in range(round(seconds / every) + 1))
    first, last = refused
    return Recording([Answer(at, None if first <= at < last else at - age) for at in moments], seconds)


def test_a_values_age_grows_until_the_next_answer() -> None:
    found = ages(Recording([Answer(0.0, -0.2), Answer(0.5, 0.4)], 0.8))
    assert list(found) == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6, 0.1, 0.2, 0.3])


def test_steps_may_begin_between_two_answers() -> None:
    found = ages(Recording([Answer(0.0, 0.0), Answer(0.12, 0.12)], 0.36), offset=0.05)
    assert list(found) == pytest.approx([0.05, 0.03, 0.13])


def test_before_the_first_answer_there_is_nothing() -> None:
    assert list(ages(Recording([Answer(0.25, 0.2)], 0.4))) == pytest.approx([NOTHING, NOTHING, NOTHING, 0.1])


def test_a_refusal_takes_the_value_away_at_once() -> None:
    found = ages(Recording([Answer(0.0, 0.0), Answer(0.2, None)], 0.4))
    assert list(found) == pytest.approx([0.0, 0.1, NOTHING, NOTHING])


def test_silence_takes_the_value_away_after_a_while() -> None:
    found = ages(Recording([Answer(0.0, 0.0)], 3.0))
    assert found[round(FORGOTTEN_AFTER / STEP) - 1] != NOTHING
    assert found[round(FORGOTTEN_AFTER / STEP) + 2] == NOTHING


def test_days_are_as_long_as_wanted_and_repeated_by_their_seed() -> None:
    usual = recording(60, 0.3)
    found = over_days(usual, 1000, "a")
    assert len(found) == 10_000
    assert min(found) >= 0.3 - 1e-9
    assert max(found) <= 0.3 + 0.16 + 1e-9
    assert found == over_days(usual, 1000, "a")
    assert found != over_days(usual, 1000, "b")


def test_an_outage_of_the_day_is_the_recorded_one() -> None:
    episode = Episode(recording(50, 0.3, refused=(5, 25)), 5.0, 20.0)
    found = over_days(recording(60, 0.3), 1000, "a", [Outage(500.0, 20.0)], [episode])
    nothing = [step for step, age in enumerate(found) if age == NOTHING]
    assert nothing[0] == pytest.approx(5000, abs=3)
    assert nothing[-1] == pytest.approx(5200, abs=3)
    assert len(nothing) == pytest.approx(200, abs=3)


def test_an_outage_that_was_not_recorded_is_an_error() -> None:
    with pytest.raises(ValueError, match="20 s"):
        over_days(recording(60, 0.3), 100, "a", [Outage(50.0, 20.0)])


def test_outages_make_up_their_share_and_lie_apart() -> None:
    day, lengths = 86_400.0, (2.0, 5.0, 20.0, 45.0, 144.0)
    found = draw_outages(day, 0.01, lengths, 70.0, "a")
    assert sum(one.seconds for one in found) == pytest.approx(0.01 * day)
    assert {length: [one.seconds for one in found].count(length) for length in lengths} == dict.fromkeys(lengths, 4)
    for before, after in pairwise(found):
        assert after.at - before.at - before.seconds >= 69.0
    assert found[-1].at + found[-1].seconds <= day
    assert found == draw_outages(day, 0.01, lengths, 70.0, "a")
    assert found != draw_outages(day, 0.01, lengths, 70.0, "b")


def test_outages_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(ValueError, match="too few"):
        draw_outages(100.0, 0.9, (20.0,), 70.0, "a")
