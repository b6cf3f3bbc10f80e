"""The inverter's strict eye: what counts as an answer, and what it is worth."""

import pytest

from ksem_contract.registers import RegisterRange
from ksem_simulators.line.wire_log import ECHO, INJECTED, TO_CLIENT, TO_SERVER, UNCERTAIN, WireByte
from ksem_simulators.plenticore.answer import Answer, bursts, expected_length, judge_outcome, read_answer, wire_times
from ksem_simulators.plenticore.plan import Plan, parse_limits
from ksem_simulators.plenticore.tally import Tally, Transaction
from ksem_simulators.truth import Verdict
from modbus_codec.crc import append_crc
from modbus_codec.pdu import FunctionCode, ReadRequest

REQUEST = ReadRequest(FunctionCode.READ_HOLDING_REGISTERS, 0, 2)
GOOD = append_crc(bytes((1, 3, 4, 0, 1, 0x30, 0x39)))
CHARACTER = 11 / 38400


def test_a_whole_answer_gives_its_registers() -> None:
    assert read_answer(1, REQUEST, GOOD) == Answer("data", (1, 12345))


@pytest.mark.parametrize("index", range(len(GOOD)))
def test_any_damaged_byte_spoils_the_answer(index: int) -> None:
    for mask in (1, 0x80, 0xFF):
        damaged = bytearray(GOOD)
        damaged[index] ^= mask
        assert read_answer(1, REQUEST, bytes(damaged)).kind == "broken"


@pytest.mark.parametrize("length", range(1, len(GOOD)))
def test_a_cut_answer_is_broken(length: int) -> None:
    assert read_answer(1, REQUEST, GOOD[:length]).kind == "broken"


@pytest.mark.parametrize("extra", [b"\0", b"\0\0", b"\xff", GOOD])
def test_bytes_behind_or_before_an_answer_spoil_it(extra: bytes) -> None:
    """A zero behind a frame leaves its CRC right."""
    assert read_answer(1, REQUEST, GOOD + extra).kind == "broken"
    assert read_answer(1, REQUEST, extra + GOOD).kind in {"broken", "foreign"}


@pytest.mark.parametrize("registers", [1, 3])
def test_a_well_formed_answer_of_another_length_answers_another_request(registers: int) -> None:
    other = append_crc(bytes((1, 3, 2 * registers)) + bytes(2 * registers))
    assert read_answer(1, REQUEST, other).kind == "other-request"
    mislabelled = append_crc(bytes((1, 3, 4)) + bytes(2 * registers))
    assert read_answer(1, REQUEST, mislabelled).kind == "broken"


@pytest.mark.parametrize(("unit", "function"), [(2, 3), (0, 3), (1, 4), (1, 0x80), (1, 0x84)])
def test_whole_frames_of_others_are_foreign(unit: int, function: int) -> None:
    assert read_answer(1, REQUEST, append_crc(bytes((unit, function)) + GOOD[2:-2])).kind == "foreign"


def test_exceptions_are_told_with_their_code() -> None:
    assert read_answer(1, REQUEST, append_crc(bytes((1, 0x83, 4)))) == Answer("exception", code=4)
    assert read_answer(1, REQUEST, append_crc(bytes((1, 0x83, 4, 0)))).kind == "broken"
    assert read_answer(1, REQUEST, append_crc(bytes((1, 0x80, 4)))).kind == "foreign"


def test_nothing_is_nothing() -> None:
    assert read_answer(1, REQUEST, b"").kind == "nothing"


def test_a_client_waits_for_as_many_bytes_as_the_frame_tells() -> None:
    assert expected_length(b"\x01") == 5
    assert expected_length(b"\x01\x83\x04") == 5
    assert expected_length(GOOD[:3]) == len(GOOD)
    assert expected_length(b"\x01\x55\x00") is None


def _outcome(
    answer: Answer | None = None,
    turnaround: float | None = 0.002,
    verdict: Verdict | None = None,
    limit: float | None = 1.5,
) -> str:
    verdict = verdict or Verdict("good", "", 0.1, 7, 0.1)
    return judge_outcome(answer or Answer("data", (1, 2)), turnaround, 0.15, verdict, limit).name


def test_good_is_only_what_came_in_time_and_was_said_lately() -> None:
    assert _outcome() == "good"
    assert _outcome(turnaround=0.1499) == "good"
    assert _outcome(verdict=Verdict("good", "", 1.5, 7, 1.5)) == "good"


def test_each_way_to_fail_has_its_name() -> None:
    assert _outcome(Answer("nothing"), None) == "timeout"
    assert _outcome(turnaround=0.151) == "late"
    assert _outcome(Answer("other-request")) == "late"
    assert _outcome(Answer("exception", code=4)) == "exception-4"
    assert _outcome(Answer("foreign")) == "foreign"
    assert _outcome(Answer("broken")) == "broken"
    assert _outcome(verdict=Verdict("wrong", "")) == "wrong"
    assert _outcome(verdict=Verdict("torn", "")) == "torn"
    assert _outcome(verdict=Verdict("good", "", 1.501, 7, 1.5)) == "stale"


def test_without_a_limit_any_age_is_good() -> None:
    assert _outcome(verdict=Verdict("good", "", 9e9, 7, 9e9), limit=None) == "good"


def test_an_answer_that_began_before_its_request_was_whole_is_late_whatever_it_holds() -> None:
    assert _outcome(turnaround=-0.0001) == "late"
    assert _outcome(Answer("exception", code=4), -0.001) == "late"
    assert _outcome(Answer("broken"), -0.001) == "late"


def test_without_a_truth_nothing_is_called_good() -> None:
    assert judge_outcome(Answer("data", (1,)), 0.002, 0.15, None, 1.5).name == "data"


def _byte(direction: int, due: float, *, flags: int = 0, late: float = 0.0, grain: float = 0.0) -> WireByte:
    return WireByte(direction, 0x41, flags, 0, due, due + grain, due + grain + late)


def _frame(direction: int, start: float, count: int, **options: float) -> list[WireByte]:
    return [_byte(direction, start + (n + 1) * CHARACTER, **options) for n in range(count)]  # type: ignore[arg-type]


def test_turnaround_is_from_the_last_stop_bit_to_the_first_start_bit() -> None:
    request = _frame(TO_SERVER, 10.0, 8)
    answer = _frame(TO_CLIENT, 10.0 + 8 * CHARACTER + 0.00195, 9)
    times = wire_times(request + answer, CHARACTER)
    assert times.turnaround == pytest.approx(0.00195)
    assert not times.disturbed


def test_the_lines_own_lateness_is_not_the_servers() -> None:
    request = _frame(TO_SERVER, 10.0, 8, late=0.0004)
    answer = _frame(TO_CLIENT, 10.0 + 8 * CHARACTER + 0.0004 + 0.00195, 9)
    assert wire_times(request + answer, CHARACTER).turnaround == pytest.approx(0.00195)


def test_an_adapters_grain_is_the_servers_burden() -> None:
    request = _frame(TO_SERVER, 10.0, 8, grain=0.004)
    answer = _frame(TO_CLIENT, 10.0 + 8 * CHARACTER + 0.006, 9)
    assert wire_times(request + answer, CHARACTER).turnaround == pytest.approx(0.006)


def test_an_answer_under_way_before_the_request_has_a_turnaround_below_zero() -> None:
    request = _frame(TO_SERVER, 10.0, 8)
    answer = _frame(TO_CLIENT, 10.0005, 9)
    turnaround = wire_times(request + answer, CHARACTER).turnaround
    assert turnaround is not None
    assert turnaround < 0


def test_noise_and_echo_are_neither_request_nor_answer() -> None:
    noise = [_byte(TO_CLIENT, 10.0001, flags=INJECTED), _byte(TO_SERVER, 10.9, flags=ECHO)]
    received = _frame(TO_SERVER, 10.0, 8) + _frame(TO_CLIENT, 10.01, 9)
    assert wire_times(received + noise, CHARACTER) == wire_times(received, CHARACTER)


def test_a_request_that_the_host_stretched_is_told() -> None:
    stretched = _frame(TO_SERVER, 10.0, 4) + _frame(TO_SERVER, 10.0 + 4 * CHARACTER + 0.001, 4)
    assert wire_times(stretched, CHARACTER).disturbed
    uncertain = [*_frame(TO_SERVER, 10.0, 7), _byte(TO_SERVER, 10.0 + 8 * CHARACTER, flags=UNCERTAIN)]
    assert wire_times(uncertain, CHARACTER).disturbed


def test_bursts_are_parted_by_silence() -> None:
    received = _frame(TO_CLIENT, 10.0, 5) + _frame(TO_CLIENT, 10.1, 7)
    found = bursts(received, TO_CLIENT, CHARACTER)
    assert [len(one.data) for one in found] == [5, 7]
    assert [one.start for one in found] == pytest.approx([10.0, 10.1])
    assert bursts(received, TO_SERVER, CHARACTER) == []


def _transaction(
    outcome: str, turnaround: float | None, *, age: float | None = None, disturbed: bool = False
) -> Transaction:
    return Transaction(1, 5.0, "0-27", outcome, "", turnaround, age, age, 1, disturbed, b"", None)


def test_the_tally_counts_outcomes_and_early_answers_and_leaves_disturbed_times_out() -> None:
    tally = Tally(0.00175)
    tally.add(_transaction("good", 0.0017, age=0.2))
    tally.add(_transaction("good", 0.002, age=0.1))
    tally.add(_transaction("good", 0.9, disturbed=True))
    tally.add(_transaction("stale", 0.003, age=2.0))
    tally.add(_transaction("timeout", None))
    counts = tally.as_dict()
    assert counts["outcomes"] == {"good": 3, "stale": 1, "timeout": 1}
    assert counts["early"] == 1
    assert counts["turnaround_ms"] == {"count": 3, "p50": 2.0, "p90": 3.0, "p99": 3.0, "max": 3.0}
    assert counts["age_ms"]["max"] == 2000.0
    assert [problem["outcome"] for problem in counts["problems"]] == ["stale", "timeout"]
    assert counts["ranges"]["0-27"]["disturbed"] == 1


def test_limits_go_by_block() -> None:
    plan = Plan().changed({"limits": parse_limits("live=0.5,device=none")})
    assert plan.limit(RegisterRange(0, 28)) == 0.5
    assert plan.limit(RegisterRange(8244, 1)) is None
    assert plan.limit(RegisterRange(512, 100)) == 60.0


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"ranges": "0-200"}, "at most 125"),
        ({"ranges": "0+3"}, "FIRST-LAST"),
        ({"pace": 1}, "pace: a plan has"),
        ({"limits": {"power": 1.0}}, "limit power"),
    ],
)
def test_a_mistaken_plan_is_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Plan().changed(changes)
