"""A change is told once, when its reason is clear."""

import pytest

from service_runtime.news import PATIENCE, STILL, StableChange

MAX_SLEEP = 0.25
"""Seconds between two looks: four of them are the first moment at which STILL is over."""


def reported(change: StableChange, *looks: tuple[float, str, str]) -> list[float]:
    """The moments at which a change was told, of looks at (time, state, reason)."""
    return [now for now, state, why in looks if change.is_due(state, why, now, at_once=state == "up")]


@pytest.mark.promise(9)
def test_a_change_is_told_once_when_its_reason_stands_still() -> None:
    looks = [(at * MAX_SLEEP, "down", "a group is off" if at > 2 else "a write is missing") for at in range(40)]
    assert reported(StableChange("up"), *looks) == [7 * MAX_SLEEP]


def test_a_reason_that_never_stands_still_is_told_after_a_while() -> None:
    looks = [(at / 4, "down", f"reason {at}") for at in range(40)]
    assert reported(StableChange("up"), *looks) == [PATIENCE]


def test_what_comes_back_at_once_was_no_change() -> None:
    looks = [(0.0, "up", "fine"), (1.0, "down", "late"), (1.5, "up", "fine"), (9.0, "up", "fine")]
    assert reported(StableChange("up"), *looks) == []


def test_a_return_needs_no_reason() -> None:
    looks = [(0.0, "down", "away"), (STILL, "down", "away"), (5.0, "up", "every 200 ms"), (6.0, "up", "every 201 ms")]
    assert reported(StableChange("up"), *looks) == [STILL, 5.0]


def test_each_return_of_the_trouble_is_judged_from_its_own_beginning() -> None:
    looks = [(0.0, "down", "away"), (0.5, "up", "fine"), (10.0, "down", "away"), (10.0 + STILL, "down", "away")]
    assert reported(StableChange("up"), *looks) == [10.0 + STILL]


def test_another_reason_for_what_was_told_is_clearer_once_when_it_stands_still() -> None:
    change = StableChange("up")
    clearer = []
    for at in range(40):
        now, why = at * MAX_SLEEP, "no rhythm" if at < 20 else "too slow"
        if not change.is_due("down", why, now, at_once=False) and change.is_clearer(now):
            clearer.append(now)
    assert clearer == [24 * MAX_SLEEP]
