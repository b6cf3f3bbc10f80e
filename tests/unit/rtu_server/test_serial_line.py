"""What the line's thread does with a port that does not behave: no port is needed for it, and no thread."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modbus_codec.crc import append_crc
from rtu_server.register_cache import FreshnessLimits, RegisterCache
from rtu_server.responder import Responder, Unit
from rtu_server.serial_line import SerialLine
from rtu_server.settings import LineSettings
from service_runtime.clock import boottime

from .blocks import block, echo

READ_TOTALS = bytes.fromhex("01 03 00 00 00 1c 44 03")
ANSWER = append_crc(bytes((1, 3, 56)) + b"\0\7" * 28)


class Port:
    """A port on which `coming` arrives, one piece for each read."""

    def __init__(self, *coming: bytes, is_stuck: bool = False, takes: bool = True) -> None:
        self.coming = list(coming)
        self.written: list[bytes] = []
        self.dropped: list[str] = []
        self._unsent = 0
        self._is_stuck = is_stuck
        self._takes = takes

    def wait(self, seconds: float) -> bool:
        if self.unread() < 8:
            time.sleep(min(seconds, 0.002))
        return self.unread() >= 8

    def read(self) -> bytes:
        return self.coming.pop(0) if self.coming else b""

    def unread(self) -> int:
        return len(self.coming[0]) if self.coming else 0

    def unsent(self) -> int:
        return self._unsent

    def write(self, frame: bytes) -> bool:
        self.written.append(frame)
        self._unsent += len(frame) * self._is_stuck
        return self._takes

    def restore(self) -> bool:
        return False

    def drop_output(self) -> None:
        self.dropped.append("output")
        self._unsent = 0

    def drop_input(self) -> None:
        self.dropped.append("input")
        self.coming.clear()


@contextmanager
def line_with(limits: FreshnessLimits, **settings: object) -> Iterator[SerialLine]:
    now, cache = boottime(), RegisterCache(limits)
    echo(cache, at=now)
    cache.on_block(block(at=now, fill=7), now)
    wanted = LineSettings(port="none", **settings)  # type: ignore[arg-type]
    line = SerialLine(wanted, Responder({1: Unit(1, "main", cache)}), lambda *_: None)
    line._core.opened(boottime())
    serve(line, Port())
    yield line
    os.close(line._wake)
    os.close(line._waker)


@pytest.fixture
def line() -> Iterator[SerialLine]:
    with line_with(FreshnessLimits()) as line:
        yield line


def serve(line: SerialLine, port: Port) -> list[bytes]:
    """Let the line's thread work until all that comes was read and the line is silent."""
    line._step(port)  # type: ignore[arg-type]
    while port.coming or not line._core.is_at_rest:
        line._step(port)  # type: ignore[arg-type]
    line.count_answers()
    return port.written


def test_a_request_is_answered(line: SerialLine) -> None:
    assert serve(line, Port(READ_TOTALS)) == [ANSWER]


def test_an_answer_that_stays_in_the_port_is_thrown_away_and_counts_as_unsent_and_not_as_data(line: SerialLine) -> None:
    port = Port(READ_TOTALS, is_stuck=True)
    serve(line, port)
    until = time.monotonic() + 0.2
    while "output" not in port.dropped:
        assert time.monotonic() < until
        line._step(port)  # type: ignore[arg-type]
    line.count_answers()
    assert line.counters.unsent == 1
    assert line.counters.units[1].outcomes == {"unsent": 1}
    assert line.counters.unsent_since is not None


@pytest.mark.promise(4)
def test_no_answer_is_written_behind_one_that_never_left(line: SerialLine) -> None:
    port = Port(READ_TOTALS, is_stuck=True)
    serve(line, port)
    port.coming = [READ_TOTALS]
    assert serve(line, port) == [ANSWER]
    assert port.dropped == ["output"]
    assert line.counters.units[1].outcomes == {"unsent": 2}


def test_an_answer_that_the_port_does_not_take_counts_as_unsent_and_not_as_data(line: SerialLine) -> None:
    serve(line, Port(READ_TOTALS, takes=False))
    assert line.counters.unsent == 1
    assert line.counters.units[1].outcomes == {"unsent": 1}


class SlowPort(Port):
    """A port at which the process stands still in one call, as if stopped there, or not let run by others."""

    def __init__(self, *coming: bytes, at: str, call: int = 1, seconds: float = 0.11) -> None:
        super().__init__(*coming)
        self._at, self._calls, self._seconds = at, call, seconds

    def wait(self, seconds: float) -> bool:
        self._stand_still("wait")
        return super().wait(seconds)

    def read(self) -> bytes:
        self._stand_still("read")
        return super().read()

    def unread(self) -> int:
        self._stand_still("unread")
        return super().unread()

    def _stand_still(self, at: str) -> None:
        if at == self._at:
            self._calls -= 1
            if not self._calls:
                time.sleep(self._seconds)


@pytest.mark.parametrize(
    ("coming", "at", "call"),
    [
        ((READ_TOTALS,), "wait", 1),
        ((READ_TOTALS,), "read", 1),
        ((READ_TOTALS,), "unread", 2),
        ((b"\0" + READ_TOTALS,), "read", 1),
        ((b"\0" + READ_TOTALS,), "unread", 2),
        ((b"\0\0\0\0\0\0\0\0", READ_TOTALS), "unread", 2),
        ((b"\0" + READ_TOTALS[:7], READ_TOTALS[7:]), "unread", 2),
        ((b"\0" + READ_TOTALS[:7], READ_TOTALS[7:]), "read", 2),
    ],
    ids=[
        "before a request",
        "before it is read",
        "before its answer",
        "before a request behind noise is read",
        "before that one's answer",
        "while noise is sifted",
        "in the middle of a request behind noise",
        "before the rest of it is read",
    ],
)
@pytest.mark.promise(4)
def test_what_lies_on_the_port_after_a_stall_is_thrown_away(
    line: SerialLine, coming: tuple[bytes, ...], at: str, call: int
) -> None:
    port = SlowPort(*coming, at=at, call=call)
    assert serve(line, port) == []
    assert "input" in port.dropped
    assert line.counters.stalls == 1
    port.coming = [READ_TOTALS]
    assert serve(line, port) == [ANSWER]


def test_a_request_in_two_pieces_is_answered_once_it_is_whole(line: SerialLine) -> None:
    assert serve(line, Port(READ_TOTALS[:3], READ_TOTALS[3:])) == [ANSWER]
    assert line.counters.noise == 0


def test_a_thread_that_was_not_let_run_for_long_before_it_waited_throws_away_what_came(line: SerialLine) -> None:
    time.sleep(0.11)  # what passes is the stall itself
    assert serve(line, Port(READ_TOTALS)) == []


def test_what_was_true_when_an_answer_was_due_is_not_said_when_it_is_not_true_any_more() -> None:
    """The process is held up right before it writes, for less than a stall, and the data expires meanwhile."""
    with line_with(FreshnessLimits({"live": 0.05})) as line:
        port = SlowPort(READ_TOTALS, at="unread", call=2, seconds=0.07)
        assert serve(line, port) == [append_crc(b"\1\x83\4")]


@pytest.mark.promise(4)
def test_of_two_requests_only_the_newer_is_answered(line: SerialLine) -> None:
    assert serve(line, Port(append_crc(bytes.fromhex("01 03 00 28 00 6a")), READ_TOTALS)) == [ANSWER]


@pytest.mark.parametrize("glitch", [b"\0", b"\xff\x7f"])
def test_a_glitch_behind_a_request_does_not_cost_it(line: SerialLine, glitch: bytes) -> None:
    assert serve(line, Port(READ_TOTALS, glitch)) == [ANSWER]
    assert serve(line, Port(READ_TOTALS + glitch)) == [ANSWER]


@pytest.mark.promise(4)
def test_more_than_a_glitch_behind_a_request_costs_it(line: SerialLine) -> None:
    assert serve(line, Port(READ_TOTALS, b"\1\2", b"\3")) == []


def test_a_glitch_behind_a_request_that_was_dug_out_of_noise_costs_it(line: SerialLine) -> None:
    assert serve(line, Port(b"\x38" + READ_TOTALS, b"\0")) == []
    assert serve(line, Port(b"\x38\x39\x40" + READ_TOTALS)) == [ANSWER]


@pytest.mark.promise(9)
def test_first_requests_are_told_up_to_a_bound(line: SerialLine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for address in range(40):
        serve(line, Port(append_crc(bytes((1, 3, 0, address, 0, 1)))))
    reported = [record.message for record in caplog.records]
    assert len(reported) == 16
    assert "topic requests" in reported[-1]


HOLDS_REQUESTS = append_crc(bytes((2, 3, 56)) + READ_TOTALS * 7)
"""Another unit's reply, whose registers hold seven requests to us."""


@pytest.mark.parametrize("lost", [1, 2, 3, 4, 11])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
@pytest.mark.promise(4)
def test_no_request_inside_another_units_reply_is_answered_however_it_is_handed_over(
    lost: int, data: st.DataObject
) -> None:
    rest = HOLDS_REQUESTS[lost:]
    sizes = [data.draw(st.integers(8, 10)), *data.draw(st.lists(st.integers(2, 4), min_size=30, max_size=30))]
    cuts = [0, *(at for at in accumulate(sizes) if at < len(rest)), len(rest)]
    with line_with(FreshnessLimits(), idle_gap=0.004) as line:
        port = Port(*(rest[begin:end] for begin, end in pairwise(cuts)))
        while port.coming:
            assert serve(line, port) == [], cuts
