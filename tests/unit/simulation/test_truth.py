"""The oracle's knowledge of the meter: a mix must show wherever it was cut."""

import pytest

from ksem_contract.blocks import LIVE
from ksem_publisher.plausibility import foreign_device
from ksem_publisher.snapshot import phases_fit_total, sums_up
from simulation.truth import FROZEN_AFTER, Truth, _values_in

RANGES = ((0, 28), (40, 106))


def _truth(cycles: int = 20, *, steady: bool = False, mean: bool = False) -> Truth:
    truth = Truth(steady=steady, mean=mean)
    for cycle in range(cycles):
        truth.measure(0.2 * cycle)
    return truth


@pytest.mark.parametrize("steady", [False, True])
@pytest.mark.parametrize(("start", "count"), RANGES)
def test_what_the_meter_held_in_one_cycle_is_good_and_dated_by_it(start: int, count: int, steady: bool) -> None:
    truth = _truth(steady=steady)
    for cycle, words in truth.live:
        judged = truth.judge(start, words[start : start + count])
        assert (judged.kind, judged.measured) == ("good", truth.times[cycle])


@pytest.mark.parametrize("steady", [False, True])
@pytest.mark.parametrize(("start", "count"), RANGES)
def test_two_cycles_mixed_between_any_two_values_are_torn(start: int, count: int, steady: bool) -> None:
    truth = _truth(steady=steady)
    old, new = truth.live[-2][1], truth.live[-1][1]
    for seam in range(start + 1, start + count):
        mixed = old[start:seam] + new[seam : start + count]
        values = _values_in(start, start + count)
        whole = {tuple(words[at] for at in values) for words in (old, new)}
        if tuple(mixed[at - start] for at in values) not in whole:
            assert truth.judge(start, mixed).kind in {"torn", "wrong"}, seam


def test_power_that_never_changes_still_shows_a_mix_of_totals_and_phases() -> None:
    truth = _truth(steady=True)
    old, new = truth.live[-2][1], truth.live[-1][1]
    assert truth.judge(0, old[:40] + new[40:]).kind == "torn"


def test_a_word_that_the_meter_never_held_is_wrong() -> None:
    truth = _truth()
    words = list(truth.live[-1][1][:28])
    words[27] ^= 0x4000
    assert truth.judge(0, tuple(words)).kind == "wrong"
    assert truth.judge(9000, (1,)).kind == "wrong"


def test_words_between_the_values_may_be_older_unless_the_cycle_s_own_writes_brought_them() -> None:
    truth = _truth()
    old, new = truth.live[-2][1], truth.live[-1][1]
    mixed = new[40:66] + old[66:80] + new[80:146]
    assert truth.judge(40, mixed).kind == "good"
    truth.covered.add(truth.cycle)
    assert truth.judge(40, mixed).kind == "torn"
    assert truth.judge(40, new[40:146]).kind == "good"


def test_a_cycle_with_0_hz_must_not_be_believed() -> None:
    truth = _truth()
    words = truth.measure(9.0, void=True)
    assert truth.judge(0, words[:28]).kind == "void"


def test_frozen_words_count_as_measured_for_ten_seconds_and_no_longer() -> None:
    truth = _truth(1)
    for step in range(1, 100):
        words = truth.measure(0.2 * step, frozen=True)
    assert truth.judge(0, words[:28]).measured == pytest.approx(FROZEN_AFTER, abs=0.3)


@pytest.mark.parametrize("mean", [False, True])
def test_every_cycle_is_one_that_the_services_take_for_a_meter_s(mean: bool) -> None:
    truth = _truth(3000, mean=mean)
    for _, words in truth.live:
        assert len(words) == LIVE.count
        assert phases_fit_total(words)
        assert sums_up(words)
    assert foreign_device(truth.device(5.0)) is None


def test_counters_are_judged_one_by_one_with_the_oldest_s_age() -> None:
    truth = _truth()
    before = truth.energy()
    truth.measure(100.0)
    after = truth.energy()
    assert truth.judge(512, after[:40]).measured == 100.0
    judged = truth.judge(512, before[:4] + after[4:40])
    assert (judged.kind, judged.measured) == ("good", truth.times[-2])
    assert truth.judge(512, (*before[:3], before[3] + 500, *before[4:40])).kind == "wrong"


def test_a_counter_cut_within_at_a_carry_is_wrong() -> None:
    truth = _truth(4096)
    before = truth.energy()
    for cycle in range(4):
        truth.measure(1000.0 + cycle)
        after = truth.energy()
        if before[1] != after[1]:
            assert truth.judge(512, (before[0], before[1], after[2], after[3], *after[4:8])).kind == "wrong"
            return
        before = after
    raise AssertionError("no carry was seen")


def test_live_data_that_a_cycle_brings_behind_other_groups_is_dated_by_its_writing() -> None:
    truth = Truth()
    words = truth.measure(10.0)
    truth.written(truth.cycle, 10.16)
    assert truth.judge(0, words).measured == 10.16
    truth.written(truth.cycle, 10.1)
    assert truth.judge(0, words).measured == 10.16


def test_another_meter_s_registers_are_none_of_this_one_s() -> None:
    truth = Truth()
    truth.measure(10.0)
    assert truth.judge(0, truth.of_another_meter(10.0)).kind == "wrong"
