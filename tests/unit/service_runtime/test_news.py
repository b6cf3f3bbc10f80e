"""Logs stay readable: news at once, repetition once a minute."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service_runtime.news import QuietLog


@pytest.mark.promise(9)
def test_what_repeats_is_told_at_once_and_then_in_one_summary_a_minute() -> None:
    quiet = QuietLog()
    lines = [quiet.line("port", f"gone {second}", float(second)) for second in range(200)]
    assert [line for line in lines if line is not None] == [
        "gone 0",
        "gone 60 (59 times in the last 60 s)",
        "gone 120 (59 times in the last 60 s)",
        "gone 180 (59 times in the last 60 s)",
    ]


def test_kinds_are_counted_apart() -> None:
    quiet = QuietLog()
    assert quiet.line("a", "first", 0) == "first"
    assert quiet.line("b", "second", 0) == "second"
    assert quiet.line("a", "first", 1) is None


def test_what_comes_seldom_is_told_each_time() -> None:
    quiet = QuietLog()
    assert [quiet.line("a", "x", now) for now in (0, 61, 122)] == ["x", "x", "x"]


@pytest.mark.promise(9)
def test_a_few_changes_in_a_row_are_told_each_and_flapping_is_summarised() -> None:
    quiet = QuietLog()
    reported = [quiet.line("link", f"{n}", float(n), at_once=6) for n in range(60)]
    assert [line for line in reported if line] == ["0", "1", "2", "3", "4", "5"]
    assert quiet.due(59) == []
    assert quiet.due(61) == ["59 (54 times in the last 61 s)"]
    assert quiet.due(62) == []


def test_nothing_is_summarised_once_the_trouble_is_over() -> None:
    quiet = QuietLog()
    quiet.line("a", "x", 0)
    quiet.line("a", "x", 1)
    quiet.settle("a")
    quiet.settle("never said")
    assert quiet.due(100) == []
    assert quiet.line("a", "x", 100) == "x"


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 2)), max_size=300))
@pytest.mark.promise(9, 10)
def test_however_many_kinds_come_memory_and_lines_stay_bounded(events: list[tuple[int, float]]) -> None:
    quiet, now, lines = QuietLog(most_kinds=5), 0.0, 0
    for kind, step in events:
        now += step
        lines += quiet.line(str(kind), "x", now) is not None
    assert len(quiet._kinds) <= 6
    assert lines <= 7 * (now // 60 + 1) + 5 * (now // 60)
