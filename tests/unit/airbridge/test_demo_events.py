import json
from pathlib import Path

import pytest

from airbridge.demo.events import Event, FileFollower, InverterWatch, parse_log_line

_NOW = "12:00:00"


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ("15:39:49.123 INFO    push is up", Event("15:39:49", "publisher", "push is up")),
        ("15:39:49.123 WARNING push is down", Event("15:39:49", "publisher", "push is down", "warning")),
        ("15:39:49.123 ERROR   boom", Event("15:39:49", "publisher", "boom", "error")),
        ("Traceback (most recent call last):", Event(_NOW, "publisher", "Traceback (most recent call last):", "error")),
        ("", None),
    ],
)
def test_a_log_line_becomes_an_event(line: str, event: Event | None) -> None:
    assert parse_log_line("publisher", line, _NOW) == event


def _record(at: float, outcome: str, why: str = "") -> str:
    return json.dumps({"at": at, "outcome": outcome, "why": why})


def test_only_changes_of_what_the_inverter_gets_are_told_and_how_long_data_was_away() -> None:
    watch = InverterWatch()
    records = [
        _record(1.0, "good"),
        _record(1.1, "good"),
        _record(2.0, "exception-4"),
        _record(2.1, "exception-4"),
        _record(3.0, "timeout", "nothing within 0.15 s"),
        _record(5.5, "good"),
        _record(5.6, "good"),
    ]
    reported = [event.text for record in records if (event := watch.take(record, _NOW))]
    assert reported == [
        "gets data",
        "gets exception-4",
        "gets timeout: nothing within 0.15 s",
        "gets data again after 3.5 s",
    ]
    assert watch.lately == "data"


def test_a_record_that_is_none_is_passed_over() -> None:
    assert InverterWatch().take("{half a li", _NOW) is None


def test_a_follower_gives_each_whole_line_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    follower = FileFollower(path)
    assert list(follower.lines()) == []
    path.write_text("one\ntw")
    assert list(follower.lines()) == ["one"]
    with path.open("a") as file:
        file.write("o\nthree\n")
    assert list(follower.lines()) == ["two", "three"]
    assert list(follower.lines()) == []
