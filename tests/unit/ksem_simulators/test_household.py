"""The simulated day must be plausible, and each measuring cycle must be told from its neighbours."""

import itertools
import math
from pathlib import Path

import pytest

from ksem_contract.register_map import BY_KEY, REGISTERS
from ksem_contract.registers import RegisterRange
from ksem_simulators.ksem.household import Household
from ksem_simulators.ksem.image import live_words
from ksem_simulators.ksem.measurement import BOOTING, Channel, Energies, Measurement, measure
from tests.unit.ksem_simulators.meters import ALL, Spoken


def _day(seed: int = 1, cycles: int = 500, begin: float = 9 * 3600.0, step: float = 0.2) -> list[Measurement]:
    house = Household(seed, begin)
    return [measure(house.step(step), cycle, house.seconds, seed) for cycle in range(cycles)]


WHOLE_DAY = _day(cycles=2000, begin=0.0, step=43.2)


def test_the_same_seed_gives_the_same_day_and_another_one_another() -> None:
    assert _day(1) == _day(1)
    assert _day(1) != _day(2)


@pytest.mark.parametrize("quantity", ["active", "reactive"])
def test_phases_sum_to_the_total_exactly(quantity: str) -> None:
    for one in WHOLE_DAY:
        assert sum(getattr(phase, quantity) for phase in one.phases) == getattr(one.total, quantity)


def test_a_day_has_import_and_export_and_rest() -> None:
    watts = [one.total.active / 10 for one in WHOLE_DAY]
    assert max(watts) > 500
    assert min(watts) < -500
    assert all(abs(power) < 12_000 for power in watts)


def test_frequency_and_voltage_stay_near_what_a_grid_has() -> None:
    for one in WHOLE_DAY:
        assert 49_900 < one.frequency < 50_100
        assert all(224_000 < phase.voltage < 236_000 for phase in one.phases)


def test_apparent_power_current_and_power_factor_fit_the_powers() -> None:
    for one in WHOLE_DAY:
        for phase in one.phases:
            apparent = math.hypot(phase.active, phase.reactive)
            assert phase.apparent == pytest.approx(apparent, abs=1)
            assert phase.current / 1000 * phase.voltage / 1000 == pytest.approx(apparent / 10, abs=0.4)
            assert phase.power_factor == pytest.approx(1000 * phase.active / apparent, abs=1 + 1000 / apparent)


def test_each_cycle_differs_from_the_ten_thousand_before_it_in_both_groups() -> None:
    seen_head: set[bytes] = set()
    seen_body: set[bytes] = set()
    for one in _day(cycles=10_000):
        words = live_words(one)
        assert words[:56] not in seen_head
        assert words[80:292] not in seen_body
        seen_head.add(words[:56])
        seen_body.add(words[80:292])


def test_neighbouring_cycles_differ_in_each_phase_and_in_the_total() -> None:
    for old, new in itertools.pairwise(_day()):
        assert old.total.active != new.total.active
        assert old.total.reactive != new.total.reactive
        assert all(a.voltage != b.voltage for a, b in zip(old.phases, new.phases, strict=True))


def test_at_a_constant_load_no_power_moves_and_yet_no_two_cycles_are_the_same() -> None:
    house = Household(1, 2 * 3600.0, constant_load=347.0)
    night = [measure(house.step(0.2), cycle, house.seconds, 1) for cycle in range(500)]
    assert {one.total.active for one in night} == {3470}
    assert len({tuple((phase.active, phase.reactive) for phase in one.phases) for one in night}) == 1
    for one in night:
        assert sum(phase.active for phase in one.phases) == one.total.active
        assert sum(phase.reactive for phase in one.phases) == one.total.reactive
    assert len({live_words(one)[80:292] for one in night}) == len(night)


def test_the_registers_hold_what_was_measured_in_plus_and_minus_pairs(tmp_path: Path) -> None:
    spoken = Spoken(tmp_path, time_of_day=12 * 3600.0)
    for step in range(50):
        one = spoken.measure(1000.2 + step).measurement
        words = spoken.read(ALL, 1000.3 + step)
        value = {
            register.key: (words[register.address] << 16) + words[register.address + 1]
            for register in REGISTERS
            if register.address < 146
        }
        for suffix, channel in (("", one.total), *((f"_l{n}", phase) for n, phase in enumerate(one.phases, 1))):
            for quantity, signed in (("active_power", channel.active), ("reactive_power", channel.reactive)):
                plus, minus = value[f"{quantity}_plus{suffix}"], value[f"{quantity}_minus{suffix}"]
                assert plus - minus == signed
                assert plus == 0 or minus == 0
            assert value[f"apparent_power_plus{suffix}"] + value[f"apparent_power_minus{suffix}"] == channel.apparent
            assert value[f"power_factor{suffix}"] == channel.power_factor % 2**32
        assert value["frequency"] == one.frequency
        assert value["voltage_l2"] == one.phases[1].voltage
        assert value["current_l3"] == one.phases[2].current


def test_words_without_meaning_are_never_zero(tmp_path: Path) -> None:
    spoken = Spoken(tmp_path)
    known = {address for register in REGISTERS for address in range(register.address, register.range.stop)}
    for block in (ALL, RegisterRange(512, 280)):
        words = spoken.read(block, 1000.1)
        gaps = [word for address, word in enumerate(words, block.start) if address not in known]
        assert gaps
        assert all(gaps)


def test_counters_integrate_what_was_measured() -> None:
    energies = Energies()
    before = energies.counters()
    one = Measurement(Channel(36_000, -7200), (Channel(36_000, -7200), Channel(0, 0), Channel(0, 0)), 50_000)
    for _ in range(500):
        energies.add(one, 200)
    after = energies.counters()
    gained = [b - a for a, b in zip(before[0], after[0], strict=True)]
    # 3.6 kW for 100 s are 100 Wh, 1000 counts of 0.1 Wh; 720 var of the other sign 20 varh.
    assert gained == [1000, 0, 0, 200, int(10 * math.hypot(100, 20)), 0]
    assert after[0][1] == before[0][1]
    assert after[2] == before[2]


def test_counters_step_back_when_told_to() -> None:
    energies = Energies()
    before = energies.counters()
    energies.rewind(500)
    assert all(a - b == 500 for a, b in zip(before[0], energies.counters()[0], strict=True))


def test_a_starting_meter_measures_nothing() -> None:
    words = live_words(BOOTING)
    frequency = BY_KEY["frequency"].address
    assert words[2 * frequency : 2 * frequency + 4] == bytes(4)
    assert words[2 * 62 : 2 * 64] == bytes(4)


@pytest.mark.parametrize(("firmware", "meter_at"), [("2.6.0", 40070), ("2.5.0", 40069)])
def test_the_sunspec_chain_can_be_walked(tmp_path: Path, firmware: str, meter_at: int) -> None:
    spoken = Spoken(tmp_path, firmware=firmware)
    words = dict(enumerate(spoken.read(RegisterRange(40000, 178), 1000.1), 40000))
    assert bytes.fromhex(f"{words[40000]:04x}{words[40001]:04x}") == b"SunS"
    at, models = 40002, []
    while at in words and words[at] != 0xFFFF:
        models.append((at, words[at], words[at + 1]))
        at += 2 + words[at + 1]
    assert models[-1] == (meter_at, 203, 105)
    assert words[at] == 0xFFFF
    total = words[meter_at + 18]
    assert abs((total - 65536 if total & 0x8000 else total) * 100 - spoken.meter.reading.measurement.total.active) < 101


def test_the_kettle_can_be_switched_on() -> None:
    house = Household(1, 3 * 3600.0)
    before = house.step(0.2).load
    house.boil(30)
    assert house.step(0.2).load > before + 1900
