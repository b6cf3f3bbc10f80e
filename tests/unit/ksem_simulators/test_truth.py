"""The judge of the whole project: it must let nothing pass that the meter did not say, whole and lately."""

from pathlib import Path

import pytest

from ksem_contract.registers import RegisterRange
from ksem_simulators.truth import Block, Kind, TruthReader, TruthWriter, Verdict
from tests.unit.ksem_simulators.meters import ALL, BODY, HEAD, Spoken

ENERGY = RegisterRange(512, 120)


@pytest.fixture
def meter(tmp_path: Path) -> Spoken:
    return Spoken(tmp_path)


def _age(verdict: Verdict) -> float:
    assert verdict.kind == "good", verdict
    assert verdict.age is not None
    return verdict.age


def test_words_that_were_pushed_are_good_and_as_old_as_the_push(meter: Spoken) -> None:
    head, body = meter.cycle(1000.2)
    assert _age(meter.truth.judge(0, head, 1000.25)) == pytest.approx(0.05)
    assert _age(meter.truth.judge(40, body, 1001.2)) == pytest.approx(1.0)
    assert meter.truth.judge(40, body, 1001.2).cycle == meter.meter.reading.cycle


def test_a_part_of_what_was_pushed_is_good(meter: Spoken) -> None:
    _, body = meter.cycle(1000.2)
    assert meter.truth.judge(60, body[20:25], 1000.3).kind == "good"


@pytest.mark.parametrize("index", range(BODY.count))
@pytest.mark.parametrize("change", [1, 0x8000, 0xFFFF])
def test_one_word_off_is_never_good(meter: Spoken, index: int, change: int) -> None:
    _, body = meter.cycle(1000.2)
    body[index] ^= change
    assert meter.truth.judge(40, body, 1000.3).kind in {"wrong", "torn"}


def test_a_word_the_meter_never_held_is_wrong(meter: Spoken) -> None:
    _, body = meter.cycle(1000.2)
    body[22] = 0xBEEF
    verdict = meter.truth.judge(40, body, 1000.3)
    assert verdict.kind == "wrong"
    assert "62: beef" in verdict.why


@pytest.mark.parametrize("seam", range(41, 146))
@pytest.mark.promise(3)
def test_a_mix_of_two_neighbouring_cycles_is_torn_wherever_it_was_cut(meter: Spoken, seam: int) -> None:
    _, old = meter.cycle(1000.2)
    _, new = meter.cycle(1000.4)
    for first, second in ((old, new), (new, old)):
        mixed = first[: seam - 40] + second[seam - 40 :]
        verdict = meter.truth.judge(40, mixed, 1000.5)
        if mixed in (old, new):
            assert verdict.kind == "good"
        else:
            assert verdict.kind == "torn"
            assert verdict.age is None


def test_cycles_differ_on_both_sides_of_every_seam_between_phases(meter: Spoken) -> None:
    """Else a mix at that seam could not be told from a whole cycle."""
    _, old = meter.cycle(1000.2)
    _, new = meter.cycle(1000.4)
    for first, stop in ((40, 66), (80, 106), (120, 146)):
        assert old[first - 40 : stop - 40] != new[first - 40 : stop - 40]


@pytest.mark.promise(3)
def test_total_of_one_cycle_with_phases_of_the_next_is_torn(meter: Spoken) -> None:
    meter.read(ALL, 1000.0)
    meter.cycle(1000.2)
    head = meter.push(HEAD, 1000.25)
    meter.cycle(1000.4)
    whole = meter.read(ALL, 1000.45)
    assert meter.truth.judge(0, whole, 1000.5).kind == "good"
    assert meter.truth.judge(0, head + whole[28:], 1000.5).kind == "torn"


def test_the_answer_to_another_request_is_never_good(meter: Spoken) -> None:
    head, body = meter.cycle(1000.2)
    assert meter.truth.judge(0, body, 1000.3).kind in {"wrong", "torn"}
    assert meter.truth.judge(40, body[40:] + body[:40], 1000.3).kind in {"wrong", "torn"}
    assert meter.truth.judge(40, head, 1000.3).kind in {"wrong", "torn"}
    assert meter.truth.judge(41, body[:-1], 1000.3).kind in {"wrong", "torn"}


def test_zeros_are_wrong_where_the_meter_measured(meter: Spoken) -> None:
    meter.cycle(1000.2)
    assert meter.truth.judge(0, [0] * 28, 1000.3).kind == "wrong"
    assert meter.truth.judge(40, [0] * 106, 1000.3).kind == "wrong"
    assert meter.truth.judge(512, [0] * 100, 1000.3).kind == "wrong"
    assert meter.truth.judge(8192, [0] * 58, 1000.3).kind == "wrong"


def test_zeros_are_wrong_in_words_without_meaning(meter: Spoken) -> None:
    meter.read(ALL, 1000.1)
    assert meter.truth.judge(28, [0] * 12, 1000.3).kind == "wrong"
    body = meter.read(BODY, 1000.2)
    body[26:40] = [0] * 14
    assert meter.truth.judge(40, body, 1000.3).kind == "wrong"


def test_words_without_meaning_have_no_age_but_must_have_been_said_once(meter: Spoken) -> None:
    gap = RegisterRange(28, 12)
    words = [0xC000 | address for address in range(28, 40)]
    meter.cycle(1000.2)
    assert meter.truth.judge(28, words, 1000.3).kind == "wrong"
    assert meter.read(gap, 1000.4) == words
    assert _age(meter.truth.judge(28, words, 5000.0)) == 0.0


def test_measured_but_never_sent_is_wrong(meter: Spoken) -> None:
    meter.cycle(1000.0)
    reading = meter.measure(1000.2)
    words = [reading.live[2 * i] << 8 | reading.live[2 * i + 1] for i in range(28)]
    verdict = meter.truth.judge(0, words, 1000.3)
    assert verdict.kind == "wrong"
    assert "not sent" in verdict.why


def test_an_answer_from_before_the_meter_said_it_is_wrong(meter: Spoken) -> None:
    head, _ = meter.cycle(1000.2)
    assert meter.truth.judge(0, head, 1000.19).kind == "wrong"


def test_what_could_not_be_sent_does_not_count(meter: Spoken) -> None:
    meter.measure(1000.2)
    answer = meter.meter.prepare(HEAD, Kind.PUSH, 1000.2)
    meter.meter.take_back(answer)
    words = meter.read(RegisterRange(0, 20), 1000.25)
    assert meter.truth.judge(0, words, 1000.3).kind == "good"
    everything = [*words, *(answer.registers[i] << 8 | answer.registers[i + 1] for i in range(40, 56, 2))]
    assert meter.truth.judge(0, everything, 1000.3).kind == "wrong"


def test_taken_back_after_the_reader_saw_it_does_not_count_either(meter: Spoken) -> None:
    meter.measure(1000.2)
    answer = meter.meter.prepare(HEAD, Kind.PUSH, 1000.2)
    words = [answer.registers[i] << 8 | answer.registers[i + 1] for i in range(0, 56, 2)]
    assert meter.truth.judge(0, words, 1000.3).kind == "good"
    meter.meter.take_back(answer)
    assert meter.truth.judge(0, words, 1000.3).kind == "wrong"


def test_an_answer_over_two_groups_is_as_old_as_the_group_said_first(meter: Spoken) -> None:
    meter.read(ALL, 1000.0)
    reading = meter.measure(1000.2)
    head = meter.push(HEAD, 1000.2, reading)
    body = meter.push(BODY, 1000.26, reading)
    whole = [*head, *(0xC000 | address for address in range(28, 40)), *body]
    assert _age(meter.truth.judge(0, whole, 1000.3)) == pytest.approx(0.1)
    assert _age(meter.truth.judge(40, body, 1000.3)) == pytest.approx(0.04)


def test_the_same_cycle_said_again_makes_it_young_again(meter: Spoken) -> None:
    head, _ = meter.cycle(1000.2)
    assert meter.read(HEAD, 1000.38) == head
    assert _age(meter.truth.judge(0, head, 1000.4)) == pytest.approx(0.02)


def test_said_again_only_in_part_leaves_the_age_of_the_rest(meter: Spoken) -> None:
    head, _ = meter.cycle(1000.2)
    meter.read(RegisterRange(0, 26), 1000.38)
    assert _age(meter.truth.judge(0, head, 1000.4)) == pytest.approx(0.2)
    assert _age(meter.truth.judge(0, head[:26], 1000.4)) == pytest.approx(0.02)


def test_old_words_are_good_and_old(meter: Spoken) -> None:
    head, _ = meter.cycle(1000.2)
    for step in range(1, 30):
        meter.cycle(1000.2 + 0.2 * step)
    verdict = meter.truth.judge(0, head, 1006.2)
    assert _age(verdict) == pytest.approx(6.0)


def test_words_older_than_all_that_is_kept_are_not_good(meter: Spoken) -> None:
    head, _ = meter.cycle(1000.2)
    for step in range(1, 70):
        meter.cycle(1000.2 + 0.2 * step)
    assert meter.truth.judge(0, head, 1014.2).kind in {"wrong", "torn"}


def test_a_frozen_meter_repeats_itself_and_the_age_of_its_values_grows(meter: Spoken) -> None:
    head, _ = meter.cycle(1000.2)
    meter.meter.frozen = True
    for step in range(1, 20):
        assert meter.cycle(1000.2 + 0.2 * step)[0] == head
    verdict = meter.truth.judge(0, head, 1004.1)
    assert _age(verdict) == pytest.approx(0.1)
    assert verdict.measured_age == pytest.approx(3.9)


def test_what_a_starting_meter_says_is_wrong_even_if_it_was_said(meter: Spoken) -> None:
    meter.meter.booting = True
    head, body = meter.cycle(1000.2)
    assert meter.truth.judge(0, head, 1000.3).kind == "wrong"
    assert meter.truth.judge(40, body, 1000.3).kind == "wrong"


def test_registers_outside_the_map_are_wrong(meter: Spoken) -> None:
    assert meter.truth.judge(9000, [1, 2], 1000.3).kind == "wrong"
    assert meter.truth.judge(140, [0] * 20, 1000.3).kind == "wrong"


def test_counters_are_good_with_the_age_of_their_last_reading(meter: Spoken) -> None:
    words = meter.read(ENERGY, 1000.1)
    assert _age(meter.truth.judge(512, words, 1030.1)) == pytest.approx(30.0)


def test_counters_may_come_from_several_readings_but_no_value_may(meter: Spoken) -> None:
    old = meter.read(ENERGY, 1000.1)
    for step in range(400):
        meter.measure(1000.2 + step)
    new = meter.read(ENERGY, 1500.0)
    changed = [index for index in range(24) if old[index] != new[index]]
    assert changed, "the counters must have moved"
    value = changed[0] // 4 * 4
    mixed = old[: value + 4] + new[value + 4 :]
    assert _age(meter.truth.judge(512, mixed, 1500.1)) == pytest.approx(500.0)
    torn = list(new)
    torn[changed[0]] = 0x7777
    assert meter.truth.judge(512, torn, 1500.1).kind == "wrong"


def test_a_counter_made_of_two_readings_is_torn(tmp_path: Path) -> None:
    writer = TruthWriter(tmp_path / "truth")
    block = RegisterRange(512, 4)
    for number, words in enumerate((b"\0\0\0\0\0\x01\xff\xff", b"\0\0\0\0\0\x02\0\0")):
        snapshot = writer.snapshot(Block.ENERGY, words, cycle=number, at=10.0 + number, measured_at=10.0 + number)
        writer.record_sent(Block.ENERGY, snapshot, block, Kind.READ, 10.0 + number)
    reader = TruthReader(tmp_path / "truth")
    assert reader.judge(512, [0, 0, 1, 0xFFFF], 12.0).kind == "good"
    assert reader.judge(512, [0, 0, 2, 0], 12.0).kind == "good"
    assert reader.judge(512, [0, 0, 1, 0], 12.0).kind == "torn"
    assert reader.judge(512, [0, 0, 2, 0xFFFF], 12.0).kind == "torn"
    assert reader.judge(512, [0, 0, 3, 0], 12.0).kind == "wrong"


def test_the_interval_read_once_is_good_for_ever(meter: Spoken) -> None:
    device = meter.read(RegisterRange(8192, 58), 1000.1)
    assert device[8244 - 8192] == 200
    assert _age(meter.truth.judge(8244, [200], 4000.0)) == pytest.approx(2999.9)
    assert meter.truth.judge(8244, [500], 1000.2).kind == "wrong"


@pytest.mark.parametrize("firmware", ["2.5.0", "2.6.0"])
def test_sunspec_is_judged_in_both_layouts(tmp_path: Path, firmware: str) -> None:
    meter = Spoken(tmp_path, firmware=firmware)
    count = 179 if firmware == "2.6.0" else 178
    words = meter.read(RegisterRange(40000, 100), 1000.1) + meter.read(RegisterRange(40100, count - 100), 1000.2)
    assert _age(meter.truth.judge(40000, words, 1000.3)) == pytest.approx(0.2)
    words[88] ^= 1
    assert meter.truth.judge(40000, words, 1000.3).kind in {"wrong", "torn"}


def test_a_meter_that_starts_again_counts_its_cycles_on_and_old_words_stay_known(tmp_path: Path) -> None:
    first = Spoken(tmp_path)
    head, _ = first.cycle(1000.2)
    cycle = first.meter.reading.cycle
    again = Spoken(tmp_path, start=1010.0)
    assert again.meter.reading.cycle == cycle + 1
    assert again.truth.judge(0, head, 1010.1).cycle == cycle
    new, _ = again.cycle(1010.2)
    assert first.truth.judge(0, new, 1010.3).kind == "good"


def test_a_reader_that_was_away_too_long_says_so(meter: Spoken) -> None:
    for step in range(200):
        meter.cycle(1000.2 + 0.2 * step)
    meter.truth.refresh()
    assert meter.truth.missed == 400 - 256
    head, _ = meter.cycle(1100.0)
    assert meter.truth.judge(0, head, 1100.1).kind == "good"


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"x" * 5000)
    with pytest.raises(ValueError, match="expected b'KSEMTRU1'"):
        TruthReader(tmp_path / "other")
