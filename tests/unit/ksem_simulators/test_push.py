import pytest

from ksem_contract.blocks import PUSH_GROUPS
from ksem_contract.register_map import REGISTERS
from ksem_simulators.ksem.push_plan import ENERGY_SPLITS, MAX_WRITE, SPLITS, PushSettings, parse_ranges
from ksem_simulators.ksem.server import PollFault
from ksem_simulators.percentiles import Samples


def _writes(**settings: object) -> list[str]:
    return [str(write) for write in PushSettings().changed(settings).writes()]


def test_by_default_the_two_groups_of_instantaneous_values_are_written() -> None:
    assert _writes() == ["0-27", "40-145"]


@pytest.mark.parametrize(
    ("settings", "writes"),
    [
        ({"split": "hundred"}, ["0-99", "100-147"]),
        ({"split": "longest"}, ["0-122", "123-147"]),
        ({"split": "0-27,40-145"}, ["0-27", "40-145"]),
        ({"groups": ["total"]}, ["0-27"]),
        ({"groups": ["phases"], "split": "hundred"}, ["40-99", "100-145"]),
        ({"groups": ["total", "phases", "energy_total"]}, ["0-27", "40-145", "512-551"]),
        ({"groups": ["energy_phases"]}, ["592-711", "712-791"]),
        ({"groups": []}, []),
    ],
)
def test_groups_and_splits(settings: dict[str, object], writes: list[str]) -> None:
    assert _writes(**settings) == writes


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("energy_split", ENERGY_SPLITS)
def test_each_split_writes_every_value_of_its_groups_in_writes_that_modbus_allows(
    split: str, energy_split: str
) -> None:
    writes = PushSettings(groups=tuple(PUSH_GROUPS), split=split, energy_split=energy_split).writes()
    assert all(write.count <= MAX_WRITE for write in writes)
    written = {address for write in writes for address in range(write.start, write.stop)}
    for register in REGISTERS:
        if any(group.covers(register.range) for group in PUSH_GROUPS.values()):
            assert set(range(register.address, register.range.stop)) <= written, register.key


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"groups": ["totals"]}, "groups totals"),
        ({"interval": 90.0}, "0.02 to 60"),
        ({"split": "0-147"}, "at most 123"),
        ({"split": "thirds"}, "hundred"),
        ({"speed": 1}, "speed: a push has"),
        ({"order": "random"}, "shuffled"),
        ({"connections": 9}, "1 to 4"),
    ],
)
def test_a_mistaken_setting_is_refused_with_what_is_allowed(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        PushSettings().changed(changes)


def test_a_fault_can_be_limited_to_registers_and_to_a_number_of_requests() -> None:
    fault = PollFault.of("exception", {"code": 6, "only": "512-791", "times": 2})
    live, energy = parse_ranges("0-27")[0], parse_ranges("512-611")[0]
    assert [fault.hits(one) for one in (live, energy, live, energy, energy)] == ["", "exception", "", "exception", ""]


def test_samples_keep_their_count_and_maximum_when_the_oldest_make_room() -> None:
    samples = Samples(kept=10)
    for value in range(100):
        samples.add(float(99 - value))
    assert samples.summary() == {"count": 100, "p50": 5.0, "p90": 9.0, "p99": 9.0, "max": 99.0}
    assert Samples().summary()["p50"] is None
