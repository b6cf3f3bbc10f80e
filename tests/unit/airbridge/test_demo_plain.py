from airbridge.demo.events import Counts
from airbridge.demo.outputs import status_line, summary_lines
from airbridge.demo.picture import BridgeState

from .pictures import TOPICS, flowing

_NOW = 5000.0


def test_a_status_line_tells_everything_in_one_line() -> None:
    line = status_line(flowing(_NOW), _NOW)
    assert "\n" not in line
    for shown in ("10 s", "meter -141 W", "push 5.0/s", "live 3 ms old", "114 good", "0 wrong", "p50 2.0, p99 4.3"):
        assert shown in line, shown


def test_a_status_line_says_that_it_is_still_starting() -> None:
    assert "starting" in status_line(BridgeState(TOPICS, _NOW - 3), _NOW)


def test_the_summary_tells_what_the_start_took_and_that_the_run_was_good() -> None:
    state = flowing(_NOW)
    state.start_counts = Counts.of({"timeout": 2, "exception-4": 3})
    lines = summary_lines(state, 10.0, 50, [])
    assert lines[0] == "start: good answers after 2.0 s; before them 2 timeouts, 3 refused"
    assert lines[-1] == "result: good (at least 50 good answers were expected)"


def test_the_summary_names_every_reason_of_a_failure() -> None:
    lines = summary_lines(flowing(_NOW), 10.0, 500, ["a process ended by itself"])
    assert lines[-1] == ("result: FAILED: a process ended by itself; 114 good answers, at least 500 were expected")


def test_a_run_that_never_began_says_so() -> None:
    assert summary_lines(BridgeState(TOPICS, _NOW), 45.0, 1, [])[0] == "start: no good answers within 45.0 s"
