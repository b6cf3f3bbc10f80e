"""Faults on the RS485 line at its true speed: noise, other devices, broken frames, odd requests, ports that go."""

import random
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
import serial

from tests.chain import NEVER, Chain, FaultRow, kinds

from .ear import Ear
from .processes import cpu_rate
from .raw_line import READ_PHASES, READ_TOTALS, frame, is_data, line_fault, send

PERIOD: Final = 0.06
"""Seconds between the inverter's rounds of two requests: more often than a real one asks, for more to go wrong."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with Chain(tmp_path_factory.mktemp("line")) as chain:
        chain.start()
        chain.inverter.command("plan", period=PERIOD)
        chain.server.await_log("the inverter gets data")
        yield chain


@pytest.fixture
def chain(running: Chain, kept_rows: list[object]) -> Chain:
    """One chain for all of this module: a fault that left something behind would fail the next test."""
    running.rows = kept_rows  # type: ignore[assignment]
    running.line.command("clear")
    running.await_well()
    # What is asked for the first time is logged once: not what these tests count.
    send(running, READ_TOTALS, READ_PHASES, gap_ms=100)
    for request in (READ_TOTALS, READ_PHASES):
        running.server.await_log(f"first request {request.hex(' ')}")
    return running


def assert_answers_again(chain: Chain) -> None:
    (answer,) = send(chain, READ_TOTALS)
    assert is_data(answer.frame, 28), answer


# Traffic that is not for us


REPLY_WITH_REQUESTS_TO_US: Final = frame("02 03 38" + 7 * READ_PHASES.hex())
WRITE_WITH_REQUEST_TO_US: Final = frame("02 10 00 00 00 04 08" + READ_TOTALS.hex())
FOREIGN: Final = {
    "a request to another unit, which is not there": (frame("02 03 00 00 00 1c"),),
    "another unit's request and its reply, which holds requests to us": (
        frame("02 03 00 00 00 1c"),
        REPLY_WITH_REQUESTS_TO_US,
    ),
    "such a reply, handed over in two grains, the second of which begins with a request to us": (
        frame("02 03 00 00 00 1c"),
        REPLY_WITH_REQUESTS_TO_US[:3],
        REPLY_WITH_REQUESTS_TO_US[3:],
    ),
    "such a reply after a broken request": (frame("02 03 00 00 00 1c")[:-1] + b"\x55", REPLY_WITH_REQUESTS_TO_US),
    "such a reply without its head": (REPLY_WITH_REQUESTS_TO_US[2:],),
    "another unit's write, which holds a request to us, and its reply": (
        WRITE_WITH_REQUEST_TO_US,
        frame("02 10 00 00 00 04"),
    ),
    "another unit's refusal": (frame("02 03 00 00 00 1c"), frame("02 83 02")),
    "requests to units 247 and 255": (frame("f7 03 00 00 00 1c"), frame("ff 03 00 00 00 1c")),
    "our own kind of answer from somebody else": (frame("01 03 38" + 28 * "0102"),),
}

SEVERAL_REQUESTS: Final = {"such a reply after a broken request", "such a reply without its head"}
"""What looks like several requests to us. A server that finds them at one look takes them for a pause that no clock
counted: it gives no data until a new echo."""
IN_GRAINS: Final = {what for what in FOREIGN if "such a reply" in what or "holds" in what}
"""What looks so where an adapter hands over in one grain what was sent one by one."""
DOUBTS: Final = 4
"""Lines about that, where it takes longer than a second: no data, and data again."""


def stalls(chain: Chain, at_least: int = 0) -> int:
    """How often the server says that it stood still."""
    with Ear(chain.broker.port) as probe:
        return probe.await_node_health(lambda health: health.units[0].stalls >= at_least, 25).units[0].stalls


def send_foreign(chain: Chain, may_look_like_a_pause: Collection[str] = SEVERAL_REQUESTS) -> None:
    """Send what is not for us: nothing of it is answered, and it costs no data but where it looks like a pause."""
    for what, frames in FOREIGN.items():
        assert send(chain, *frames, gap_ms=4) == [], what
        (answer,) = send(chain, READ_TOTALS)
        if what not in may_look_like_a_pause:
            assert is_data(answer.frame, 28), (what, answer)
        chain.inverter.wait_for("good", 5, 5)


def assert_good_but_for_pauses(chain: Chain, row: FaultRow, stalls_before: int) -> None:
    """Nothing was refused but what the server counts as a pause."""
    judged = set(NEVER)  # by `line_fault`
    assert kinds(row.inverter_saw) - judged <= {"good", "exception-4"}, row
    if "exception-4" in row.inverter_saw:
        assert stalls(chain, stalls_before + 1) > stalls_before


@pytest.mark.promise(4)
def test_other_units_on_the_line_are_none_of_our_business(chain: Chain) -> None:
    before = stalls(chain)
    name = "other units' requests and replies, some of which hold requests to us"
    with line_fault(chain, name, recovery=1.0, lines=DOUBTS) as (row, _):
        send_foreign(chain)
    assert_good_but_for_pauses(chain, row, before)


@pytest.mark.slow
@pytest.mark.promise(4)
def test_a_broadcast_is_never_answered_read_or_write(chain: Chain) -> None:
    with line_fault(chain, "broadcast reads and writes", recovery=1.0):
        for body in ("03 00 00 00 1c", "04 00 00 00 1c", "06 00 00 de ad", "10 00 00 00 02 04 de ad be ef", "42 00"):
            assert send(chain, frame(f"00 {body}")) == [], body
            assert_answers_again(chain)


@pytest.mark.slow
@pytest.mark.promise(4)
def test_other_units_talk_at_any_time_and_no_answer_of_ours_is_ever_wrong(chain: Chain) -> None:
    chance = random.Random(7)
    talk = [b"".join(frames) for frames in FOREIGN.values()] + [chance.randbytes(n) for n in (1, 2, 7, 8, 30, 200)]
    with line_fault(chain, "traffic of other units and noise across our requests, 4 s", recovery=1.0) as (row, _):
        until = time.monotonic() + 4
        while time.monotonic() < until:
            chain.line.command("inject", to="server", hex=chance.choice(talk).hex())
            time.sleep(chance.uniform(0.02, 0.12))  # the talk is by the clock
    assert row.inverter_saw["good"] > 15, row


# Noise and broken frames


@dataclass(frozen=True)
class Weather:
    """A fault that hits frames on their way to the server; `harmless`: it must not cost an answer."""

    name: str
    kind: str
    parameters: dict[str, object]
    harmless: bool = False


WEATHER: Final = (
    Weather("a zero before each request", "noise", {"at": 0, "hex": "00"}, harmless=True),
    Weather("two stray bytes before each request", "noise", {"at": 0, "hex": "ff01"}, harmless=True),
    Weather("the head of a request before each request", "noise", {"at": 0, "hex": "0103"}, harmless=True),
    Weather(
        "40 random bytes before each request",
        "noise",
        {"at": 0, "hex": random.Random(1).randbytes(40).hex()},
        harmless=True,
    ),
    Weather("a zero behind each request", "noise", {"at": -1, "hex": "00"}, harmless=True),
    Weather("two stray bytes behind each request", "noise", {"at": -1, "hex": "ff7f"}, harmless=True),
    Weather("40 random bytes behind each request", "noise", {"at": -1, "hex": random.Random(2).randbytes(40).hex()}),
    Weather("a stray byte inside each request", "noise", {"at": 4, "hex": "a5"}),
    Weather("a flipped bit in the unit", "flip", {"at": 0, "mask": 2}),
    Weather("a flipped bit in the function", "flip", {"at": 1, "mask": 5}),
    Weather("a flipped bit in the count", "flip", {"at": 5, "mask": 1}),
    Weather("a flipped bit in the CRC", "flip", {"at": 7, "mask": 128}),
    Weather("requests cut after their first byte", "truncate", {"at": 1}),
    Weather("requests cut before their last byte", "truncate", {"at": 7}),
    Weather("10 ms of silence inside requests", "silence", {"at": 4, "ms": 10}, harmless=True),
    Weather("100 ms of silence inside requests", "silence", {"at": 4, "ms": 100}),
    Weather("one byte in twenty lost", "drop", {"chance": 0.05}),
)


@pytest.mark.slow
@pytest.mark.parametrize("weather", WEATHER, ids=lambda weather: weather.name.replace(" ", "-"))
@pytest.mark.promise(4, 9)
def test_noise_costs_no_more_than_the_requests_that_it_hits(chain: Chain, weather: Weather) -> None:
    with line_fault(chain, weather.name, recovery=1.0) as (row, _):
        begun = chain.line.status()["faulted_frames"][0]
        chain.line.command("fault", kind=weather.kind, to="server", times=5, **weather.parameters)
        chain.inverter.wait_for("good" if weather.harmless else "timeout", 1)
        while (hit := chain.line.status()["faulted_frames"][0] - begun) < 5:
            time.sleep(0.02)
    lost = row.inverter_saw.get("timeout", 0)
    assert lost <= (2 if weather.harmless else hit), row  # 2 of 5: what a stall of the testing machine costs
    assert set(row.inverter_saw) <= {"good", "timeout"}


def as_read_at_twice_the_rate(data: bytes) -> bytes:
    """What a UART at 38400 8N1 makes of bytes that were sent at 19200 8N2."""
    wire = (
        "1" * 8 + "".join("00" + "".join(2 * bit for bit in f"{byte:08b}"[::-1]) + "1111" for byte in data) + "1" * 40
    )
    read, at = bytearray(), 0
    while (start := wire.find("10", at)) >= 0:
        read.append(int(wire[start + 2 : start + 10][::-1], 2))
        at = start + 10
    return bytes(read)


@pytest.mark.slow
@pytest.mark.promise(4)
def test_an_inverter_at_another_baud_rate_is_noise(chain: Chain) -> None:
    received = [as_read_at_twice_the_rate(one) for one in (READ_TOTALS, READ_PHASES)]
    with line_fault(chain, "an inverter that asks at another baud rate", recovery=1.0):
        for one in received * 10:
            assert send(chain, one, listen_ms=30) == []
        assert_answers_again(chain)


@pytest.mark.slow
@pytest.mark.promise(9)
def test_random_bytes_for_seconds_are_never_answered_and_leave_no_trace(chain: Chain) -> None:
    chance = random.Random(3)
    # Where nobody asks for 5 s, that is told, and that it is over.
    with line_fault(chain, "4 s of random bytes at the full rate of the line", recovery=1.0, lines=2):
        assert send(chain, *(chance.randbytes(200) for _ in range(70)), listen_ms=100) == []
        assert_answers_again(chain)


# Odd requests


@pytest.mark.slow
@pytest.mark.promise(4)
def test_of_requests_back_to_back_only_the_newest_is_answered(chain: Chain) -> None:
    before, refused = stalls(chain), 0
    with line_fault(chain, "requests without the silence between them", recovery=1.0, lines=DOUBTS):
        for gap_ms in (0.0, 0.5, 1.0):
            answers = send(chain, READ_PHASES, READ_PHASES, READ_TOTALS, gap_ms=gap_ms)
            assert [is_data(answer.frame, 28) for answer in answers] in ([True], []), (gap_ms, answers)
            refused += not answers
            chain.inverter.wait_for("good", 5, 5)
        (answer,) = send(chain, READ_PHASES, b"\x01", READ_TOTALS)
        assert is_data(answer.frame, 28), answer
    if refused:  # the server found several at one look: as after a pause that no clock counted
        assert stalls(chain, before + 1) > before


RARE: Final = 3
"""Requests of many that the testing machine may cost."""


def functions_and_bodies() -> Iterator[tuple[int, str]]:
    well_formed = {
        15: "00 00 00 01 01 01",
        16: "00 00 00 02 04 de ad be ef",
        22: "00 00 ff ff 00 00",
        23: "00 00 00 01 00 00 00 01 02 de ad",
    }
    for function in range(256):
        yield function, well_formed.get(function, "00 00 00 01")


@pytest.mark.slow
@pytest.mark.promise(4)
def test_a_client_that_lets_go_of_the_line_late_gets_whole_answers_by_a_setting(
    tmp_path: Path, kept_rows: list[object]
) -> None:
    with Chain(tmp_path, server="[[line.unit]]\nearliest = 0.01") as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.start()
        chain.await_well()
        with line_fault(chain, "earliest = 0.01: no answer begins within 10 ms", recovery=1.0):
            for _ in range(20):
                (answer,) = send(chain, READ_TOTALS)
                assert answer.after_ms >= 10
                assert is_data(answer.frame, 28)


@pytest.mark.slow
@pytest.mark.promise(4)
def test_every_function_code_gets_what_is_due(chain: Chain) -> None:
    requested = {function: frame(f"01 {function:02x} {body}") for function, body in functions_and_bodies()}
    # Each is asked for the first time, which is logged up to a bound.
    with line_fault(chain, "every function code, 0 to 255", recovery=1.0, lines=16):
        silent = [one for function, one in requested.items() if not 0 < function < 128]
        assert send(chain, *silent, gap_ms=35) == []
        # No reply is longer than an exception, so that an answer never meets the next request.
        spoken = [frame("01 03 00 00 00 00"), *(requested[function] for function in range(1, 128) if function != 3)]
        due = {3: 3, 4: 2}
        expected = [frame(f"01 {one[1] + 128:02x} {due.get(one[1], 1):02x}") for one in spoken]
        answers = [answer.frame for answer in send(chain, *spoken, gap_ms=60)]
        wrong = [one for one in answers if one not in expected]
        assert not wrong
        assert answers == [one for one in expected if one in answers]
        assert len(answers) >= len(expected) - RARE


@pytest.mark.slow
@pytest.mark.promise(4)
def test_every_count_gets_what_is_due(chain: Chain) -> None:
    refused = {
        "00 00 00 00": 3,
        "00 00 00 7e": 3,
        "00 00 ff ff": 3,
        "ff ff 00 01": 2,
        "ff ff 00 02": 2,
        "00 93 00 02": 2,
        "ff ff ff ff": 3,
    }
    with line_fault(chain, "counts 0, 125, 126 and 65535, addresses past the end", recovery=1.0, lines=9):
        (whole,) = send(chain, frame("01 03 00 00 00 7d"))
        assert is_data(whole.frame, 125)
        for body, code in refused.items():
            (answer,) = send(chain, frame(f"01 03 {body}"))
            assert answer.frame == frame(f"01 83 {code:02x}"), body
        # A whole frame of a known function with a wrong length: its CRC is right, its length is not.
        (answer,) = send(chain, frame("01 03 00 00 00 1c 00"))
        assert answer.frame == frame("01 83 03")


@pytest.mark.slow
@pytest.mark.promise(2)
def test_writes_change_nothing(chain: Chain) -> None:
    writes = {
        "05 00 00 ff 00": 5,
        "06 00 00 de ad": 6,
        "0f 00 00 00 08 01 ff": 15,
        "10 00 00 00 02 04 de ad be ef": 16,
        "16 00 00 00 00 de ad": 22,
        "17 00 00 00 01 00 00 00 01 02 de ad": 23,
    }
    with line_fault(chain, "writes by the inverter", recovery=1.0, lines=len(writes)):
        for body, function in writes.items():
            (answer,) = send(chain, frame(f"01 {body}"))
            assert answer.frame == frame(f"01 {function + 128:02x} 01"), body
            chain.inverter.wait_for("good", 4)  # and the judge sees that the meter said what is read


# Adapters


@pytest.mark.slow
@pytest.mark.parametrize("grain_ms", [1, 8, 16])
@pytest.mark.promise(4)
def test_an_adapter_that_hands_over_bytes_in_grains_costs_nothing(chain: Chain, grain_ms: int) -> None:
    before = stalls(chain)
    with line_fault(chain, f"bytes handed over every {grain_ms} ms", recovery=1.0, lines=DOUBTS) as (row, _):
        chain.line.command("grain", ms=grain_ms, to="server")
        chain.inverter.wait_for("good", 15)
        send_foreign(chain, IN_GRAINS)
    assert_good_but_for_pauses(chain, row, before)


@pytest.mark.slow
@pytest.mark.parametrize("grain_ms", [0, 16])
@pytest.mark.promise(4)
def test_an_adapter_that_echoes_costs_nothing(chain: Chain, grain_ms: int) -> None:
    with line_fault(chain, f"the server hears itself, in grains of {grain_ms} ms", recovery=1.0) as (row, _):
        chain.line.command("grain", ms=grain_ms, to="server")
        chain.line.command("echo", on=True)
        chain.inverter.wait_for("good", 20)
    assert kinds(row.inverter_saw) == {"good"}


@pytest.mark.slow
@pytest.mark.promise(4)
def test_an_adapter_that_hangs_with_a_full_buffer_and_is_reset_gets_no_old_answers(chain: Chain) -> None:
    chain.inverter.command("plan", period=0.0, timeout=0.05)
    try:
        # On a pseudo-terminal nobody is told how much waits to be sent; what does so dies with the adapter's reset.
        with line_fault(chain, "the adapter takes no bytes for 7 s, then resets", recovery=1.0, lines=6) as (row, _):
            chain.line.command("stall", seconds=20)
            chain.inverter.wait_for("timeout", 130)  # some 20 kB of answers
            chain.line.command("unplug", seconds=0.0)
            chain.line.command("clear")
    finally:
        chain.inverter.command("plan", period=PERIOD, timeout=0.15)
    assert set(row.inverter_saw) == {"good", "timeout"}


# Ports


def assert_told_once(lines: list[str], port: str) -> None:
    """One line for each change: gone, and back."""
    assert len([line for line in lines if f"{port} is open" in line]) == 1, lines
    for one, next_one in pairwise(lines):
        assert one.split(" ", 1)[1] != next_one.split(" ", 1)[1], lines


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.promise(5)
def test_a_port_that_vanishes_and_comes_back_under_its_name_is_used_again_within_a_second(chain: Chain) -> None:
    # Gone, not there, unit down; there, unit served again.
    with line_fault(chain, "the port is gone for 5 s", recovery=1.0, lines=6) as (_, written):
        chain.line.command("unplug")
        chain.server.await_log("no such port")
        rates = [cpu_rate(chain.server.pid, 1.5) for _ in range(3)]
        chain.line.command("plug")
    # The least of them: on a busy host the same work takes longer. `make bench` holds it to 0.010 on a quiet one.
    assert min(rates) < 0.020, f"{rates} of a CPU while the port is gone"
    assert_told_once(list(written), str(chain.line.server))


@pytest.mark.slow
@pytest.mark.promise(5)
def test_a_port_that_fails_and_is_back_at_once_is_used_again_within_a_second(chain: Chain) -> None:
    with line_fault(chain, "input/output error, the port is back at once", recovery=1.0, lines=6) as (_, written):
        chain.line.command("unplug", seconds=0.0)
    assert_told_once(list(written), str(chain.line.server))


@pytest.mark.slow
@pytest.mark.promise(9)
def test_a_port_that_comes_and_goes_is_told_and_survived(chain: Chain) -> None:
    with line_fault(chain, "the port comes and goes five times", recovery=1.0, lines=30):
        for _ in range(5):
            chain.line.command("unplug", seconds=0.1)
            chain.inverter.wait_for("good", 1, 5)


@pytest.mark.slow
@pytest.mark.promise(9)
def test_a_port_that_flaps_without_end_is_logged_a_few_times_and_then_counted(chain: Chain) -> None:
    with Ear(chain.broker.port) as probe:
        # A dozen about the port, the rest in one line a minute; and what becomes of the unit.
        with line_fault(chain, "the port flaps 25 times", recovery=1.5, lines=30):
            for _ in range(25):
                chain.line.command("unplug", seconds=0.05)
                time.sleep(0.6)  # the server opens it again within this time
        probe.await_node_health(lambda health: health.units[0].port.changes > 30, within=15)


@pytest.mark.slow
@pytest.mark.promise(5)
def test_a_port_held_by_another_program_is_named_and_taken_when_it_is_free(
    tmp_path: Path, kept_rows: list[object]
) -> None:
    with Chain(tmp_path) as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.start("broker", "meter", "publisher", "line", "inverter")
        holder = serial.Serial(str(chain.line.server), exclusive=True)
        chain.start("server")
        chain.server.await_log("held by another program")
        chain.inverter.wait_for("timeout", 5)
        with line_fault(chain, "the port is held by another program at start", recovery=1.5, lines=8):
            time.sleep(1)  # it goes on trying, and says no more
            holder.close()
        assert chain.server.log_text().count("held by another program") <= 2
