import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksem_contract.register_map import BY_KEY
from ksem_contract.values import (
    ENERGY_KEYS,
    LIVE_KEYS,
    VALUE_KEYS,
    decode_device,
    decode_energy,
    decode_live,
    decode_texts,
    format_value,
)


def _live(**counts: int | None) -> list[int | None]:
    """The words of `live`, all 0 but the registers named."""
    registers: list[int | None] = [0] * 148
    for key, count in counts.items():
        register = BY_KEY[key]
        for index in range(register.count):
            shift = 16 * (register.count - 1 - index)
            registers[register.address + index] = None if count is None else (count >> shift) & 0xFFFF
    return registers


def _energy(**counts: int) -> list[int | None]:
    registers: list[int | None] = [0] * 280
    for key, count in counts.items():
        first = BY_KEY[key].address - 512
        registers[first : first + 4] = [(count >> shift) & 0xFFFF for shift in (48, 32, 16, 0)]
    return registers


def test_the_keys_are_those_of_the_contract() -> None:
    phases = ("l1", "l2", "l3")
    everywhere = ("power", "reactive_power", "apparent_power", "power_factor")
    assert {key.key for key in LIVE_KEYS} == {
        *everywhere,
        "frequency",
        *(f"{key}_{phase}" for key in (*everywhere, "current", "voltage") for phase in phases),
    }
    assert {key.key for key in ENERGY_KEYS} == {
        *("energy_import", "energy_export"),
        *(f"energy_{way}_{phase}" for way in ("import", "export") for phase in phases),
    }
    assert len({key.key for key in VALUE_KEYS}) == len(VALUE_KEYS)


def test_energy_and_device_info_are_retained_and_live_values_never() -> None:
    assert all(key.retained == (key.block != "live") for key in VALUE_KEYS)


def test_power_is_positive_when_it_comes_from_the_grid() -> None:
    assert decode_live(_live(active_power_plus=12345))["power"] == 1234.5
    assert decode_live(_live(active_power_minus=12345))["power"] == -1234.5
    assert decode_live(_live(reactive_power_minus_l2=7))["reactive_power_l2"] == -0.7


def test_a_current_has_the_sign_of_its_own_phase_s_power() -> None:
    values = decode_live(
        _live(current_l1=5000, current_l2=5000, active_power_minus_l1=11500, active_power_plus_l2=11500)
    )
    assert values["current_l1"] == -5.0
    assert values["current_l2"] == 5.0


def test_a_power_factor_may_be_negative() -> None:
    assert decode_live(_live(power_factor=0xFFFFFFFF - 949))["power_factor"] == -0.95
    assert decode_live(_live(power_factor_l1=0xFFFFFFFF))["power_factor_l1"] == -0.001


def test_apparent_power_is_that_of_the_present_direction() -> None:
    assert decode_live(_live(apparent_power_minus=2300))["apparent_power"] == 230.0
    assert decode_live(_live(apparent_power_plus=2300))["apparent_power"] == 230.0


def test_voltage_and_frequency_are_in_volt_and_hertz() -> None:
    values = decode_live(_live(voltage_l3=231_456, frequency=50_012))
    assert (values["voltage_l3"], values["frequency"]) == (231.456, 50.012)


def test_a_value_with_a_hole_in_any_of_its_words_is_left_out_and_the_others_stay() -> None:
    registers = _live(current_l1=5000)
    registers[BY_KEY["active_power_minus_l1"].address + 1] = None
    values = decode_live(registers)
    assert "power_l1" not in values
    assert "current_l1" not in values, "its sign is not known"
    assert "voltage_l1" in values
    assert "power" in values


@pytest.mark.parametrize("nothing", [0xFFFFFFFF, 0x80000000])
def test_a_value_that_the_meter_calls_unknown_is_left_out(nothing: int) -> None:
    values = decode_live(_live(voltage_l1=nothing, active_power_plus=nothing))
    assert "voltage_l1" not in values
    assert "power" not in values


def test_values_of_a_part_of_the_block_are_decoded_too() -> None:
    registers = _live(active_power_plus_l1=100)
    assert decode_live(registers[40:66], start=40)["power_l1"] == 10.0
    assert set(decode_live(registers[:28])) == {
        "power",
        "reactive_power",
        "apparent_power",
        "power_factor",
        "frequency",
    }
    assert decode_live(registers[1:28], start=1).keys() == {
        "reactive_power",
        "apparent_power",
        "power_factor",
        "frequency",
    }


def test_energy_is_in_kwh_over_all_four_words() -> None:
    assert decode_energy(_energy(active_energy_plus=123_456_789))["energy_import"] == 12345.6789
    assert decode_energy(_energy(active_energy_minus_l3=1 << 33))["energy_export_l3"] == (1 << 33) / 10_000


def test_a_counter_of_zero_is_a_measured_zero() -> None:
    assert decode_energy(_energy())["energy_export"] == 0.0


@pytest.mark.parametrize("nothing", [(1 << 64) - 1, 1 << 63])
def test_a_counter_that_the_meter_calls_unknown_is_left_out(nothing: int) -> None:
    values = decode_energy(_energy(active_energy_plus=nothing))
    assert "energy_import" not in values
    assert "energy_export" in values


def test_device_numbers_and_texts_are_told_as_far_as_they_are_there() -> None:
    registers: list[int | None] = [0] * 58
    registers[8195 - 8192] = 0x0205
    registers[8244 - 8192] = 200
    registers[8193 - 8192] = 0xFFFF
    registers[8196 - 8192 : 8196 - 8192 + 4] = [0x4B4F, 0x5354, 0x414C, 0x0000]
    registers[8228 - 8192] = None
    assert decode_device(registers) == {
        "measuring_interval": 200.0,
        "firmware_version": 517.0,
        "product_version": 0.0,
        "manufacturer_id": 0.0,
    }
    assert decode_texts(registers) == {"vendor_name": "KOSTAL"}


def test_a_text_of_strange_bytes_holds_only_what_can_be_shown() -> None:
    registers: list[int | None] = [0] * 58
    registers[4:7] = [0xFF4B, 0x0A4F, 0x2020]
    assert decode_texts(registers) == {"vendor_name": "KO"}


@given(st.lists(st.none() | st.integers(0, 0xFFFF), max_size=300), st.integers(0, 900))
def test_whatever_the_registers_hold_every_value_is_a_plain_number(registers: list[int | None], start: int) -> None:
    for values in (decode_live(registers, start), decode_energy(registers, start)):
        decimals = {key.key: key.decimals for key in VALUE_KEYS}
        for key, value in values.items():
            text = format_value(value, decimals[key])
            assert float(text) == pytest.approx(value)
            assert text.strip("-0123456789.") == ""
            assert text != "-0.0"


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-1234.5, 1, "-1234.5"), (0.0, 1, "0.0"), (-0.04, 1, "0.0"), (1e15, 0, "1000000000000000"), (1e-7, 4, "0.0000")],
)
def test_numbers_are_written_plainly(value: float, decimals: int, text: str) -> None:
    assert format_value(value, decimals) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_never_written(value: float) -> None:
    with pytest.raises(ValueError, match="no number"):
        format_value(value, 1)
