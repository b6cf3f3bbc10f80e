import csv
import re
from itertools import pairwise
from pathlib import Path

import pytest

from ksem_contract.blocks import FIRMWARE, FREQUENCY, MAP, MEASURED, MEASURING_INTERVAL
from ksem_contract.register_map import BY_KEY, REGISTERS, register_at
from ksem_contract.registers import Register

_TABLE = Path(__file__).parents[2] / "data" / "ksem-registers.csv"


def _rows() -> list[dict[str, str]]:
    with _TABLE.open(encoding="utf-8", newline="") as table:
        return sorted(csv.DictReader(table), key=lambda row: int(row["address"]))


def _as_row(register: Register) -> tuple[str, ...]:
    scale = f"10^SF@{register.scale_at}" if register.scale_at else f"{register.scale:g}" if register.scale else ""
    return str(register.address), str(register.count), register.type, register.unit, scale, register.key


def test_the_map_is_the_researched_table_row_by_row() -> None:
    expected = [tuple(row[name] for name in ("address", "count", "type", "unit", "scale", "key")) for row in _rows()]
    assert [_as_row(register) for register in REGISTERS] == expected


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row["key"])
def test_each_name_is_the_table_s_without_its_remarks(row: dict[str, str]) -> None:
    name = BY_KEY[row["key"]].name
    assert row["name"].startswith(name)
    assert re.match(r"$| \(|: |;", row["name"][len(name) :])


def test_no_two_values_share_a_register_or_a_key() -> None:
    assert len(BY_KEY) == len(REGISTERS)
    for one, next_one in pairwise(REGISTERS):
        assert one.range.stop <= next_one.address


def test_every_word_of_a_value_leads_to_it_and_a_gap_to_none() -> None:
    assert register_at(0) is register_at(1) is BY_KEY["active_power_plus"]
    assert register_at(8) is None
    assert register_at(8249) is BY_KEY["modbus_spec_version"]


def test_the_named_addresses_are_those_of_the_table() -> None:
    assert BY_KEY["frequency"].address == FREQUENCY
    assert BY_KEY["measuring_interval"].address == MEASURING_INTERVAL
    assert BY_KEY["firmware_version"].address == FIRMWARE


def test_measured_words_hold_exactly_the_instantaneous_values_that_are_known() -> None:
    instantaneous = [register for register in REGISTERS if register.address < 146]
    assert all(any(part.covers(register.range) for part in MEASURED) for register in instantaneous)
    assert [part.start for part in MEASURED] == [0, 40, 80, 120]


def test_the_map_of_the_contract_holds_the_meter_s_own_registers_and_sunspec() -> None:
    outside = {register.address for register in REGISTERS if not any(part.covers(register.range) for part in MAP)}
    assert min(outside) == 40972
