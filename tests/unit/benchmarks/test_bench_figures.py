"""The bench's own arithmetic: percentiles, least times, what counts as early, when a verdict holds."""

import struct

import pytest

from benchmarks.rounds import Part
from benchmarks.samples import percentile, summary
from benchmarks.verdicts import Verdict
from benchmarks.wire import CHARACTER, FRAME_GAP, Exchange, least_time


def exchange(
    turnaround: float, *, begun: float = 10.0, handing: float = 0.0, count: int = 2, disturbed: bool = False
) -> Exchange:
    requested = begun + 8 * CHARACTER
    answer = bytes((1, 3, 2 * count)) + struct.pack(f">{count}H", *range(count)) + b"\0\0"
    return Exchange(begun, requested, requested + turnaround, handing, 0, count, disturbed, answer)


def test_a_percentile_is_a_sample_that_so_many_do_not_exceed() -> None:
    samples = [float(number) for number in range(1, 101)]
    assert [percentile(samples, share) for share in (0.5, 0.9, 0.99, 1.0)] == [50, 90, 99, 100]
    assert percentile([], 0.5) is None
    assert summary([0.001, 0.003], 1000)["max"] == 3.0


@pytest.mark.parametrize(("count", "milliseconds"), [(2, 6.62 + 1.75), (106, 66.2 + 1.75), (125, 77.09 + 1.75)])
def test_the_least_time_of_a_transaction_is_the_wire_s(count: int, milliseconds: float) -> None:
    assert 1000 * least_time(count) == pytest.approx(milliseconds, abs=0.01)


def test_an_answer_before_t35_is_early_and_a_disturbed_request_says_nothing() -> None:
    part = Part()
    part.add([exchange(0.0017), exchange(0.00176), exchange(0.0001, disturbed=True)], cpu=0.1)
    assert (part.early, part.disturbed, len(part.turnarounds)) == (1, 1, 2)


@pytest.mark.parametrize(
    ("turnaround", "handing", "early"),
    [(0.00176, 0.00002, True), (0.0018, 0.00002, False), (0.0018, 0.0015, False), (0.0017, 0.0015, True)],
)
def test_t35_counts_from_the_end_of_handing_over_or_from_its_begin_where_the_host_held_it_up(
    turnaround: float, handing: float, early: bool
) -> None:
    part = Part()
    part.add([exchange(turnaround, handing=handing)], cpu=0.0)
    assert part.early == early


def test_efficiency_is_one_when_every_answer_begins_exactly_at_t35() -> None:
    exchanges = [exchange(FRAME_GAP, begun=10 + number * least_time(2)) for number in range(5)]
    part = Part()
    part.add(exchanges, cpu=0.0)
    assert part.least / part.busy == pytest.approx(1.0)


def test_what_a_run_did_not_measure_neither_holds_nor_fails() -> None:
    assert Verdict("a", None, 1.0, "x").holds is None
    assert Verdict("a", 1.0, 1.0, "x").holds is True
    assert Verdict("a", 0.97, 0.98, "x", at_least=True).holds is False
