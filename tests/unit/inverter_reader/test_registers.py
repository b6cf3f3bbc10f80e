"""Bytes of an inverter become values, in either byte order, or nothing."""

import pytest

from inverter_reader.inverter import Inverter
from inverter_reader.registers import BYTE_ORDER, KIND, METER, STATE, decode_state

# 50 Hz is 4248 0000, -347 W is c3ad 8000 (IEEE 754).
HZ, WATT = (0x4248, 0x0000), (0xC3AD, 0x8000)


def meter(order: str) -> tuple[int, ...]:
    words = [0] * METER.count
    for address, (high, low) in ((220, HZ), (252, WATT)):
        words[address - 218 : address - 216] = (high, low) if order == "big" else (low, high)
    return tuple(words)


def read(setting: str, sent: str, register_5: int) -> Inverter:
    inverter = Inverter("main", setting, "inverter:1502")  # type: ignore[arg-type]
    inverter.on_read(BYTE_ORDER, (register_5,), 1.0, 1.1)
    inverter.on_read(METER, meter(sent), 1.1, 1.2)
    return inverter


@pytest.mark.parametrize(("order", "register_5"), [("little", 0), ("big", 1)])
def test_auto_reads_both_byte_orders(order: str, register_5: int) -> None:
    inverter = read("auto", order, register_5)
    assert inverter.values()["power"] == -347.0
    assert inverter.values()["frequency"] == 50.0


@pytest.mark.parametrize("order", ["little", "big"])
def test_auto_trusts_the_frequency_more_than_what_register_5_says(order: str) -> None:
    assert read("auto", order, int(order == "little")).values()["power"] == -347.0


@pytest.mark.parametrize(("setting", "sent"), [("little", "big"), ("big", "little")])
def test_a_wrong_byte_order_is_named_and_no_value_is_published(setting: str, sent: str) -> None:
    inverter = read(setting, sent, 0)
    assert inverter.values() == {}
    assert not inverter.is_read
    (reason,) = inverter.condition(2.0).reasons
    assert reason.code == "inverter-byte-order"
    assert "auto" in reason.remedy


def test_numbers_without_sense_are_named_and_not_published() -> None:
    inverter = Inverter("main", "auto", "inverter:1502")
    inverter.on_read(METER, (1,) * METER.count, 1.1, 1.2)
    assert inverter.values() == {}
    assert inverter.condition(2.0).reasons[0].code == "inverter-implausible"


def test_state_and_limit_are_read_in_both_byte_orders() -> None:
    little, big = [0] * STATE.count, [0] * STATE.count
    little[0], big[1] = 8, 8
    little[18:20], big[18:20] = (0, 0x428C), (0x428C, 0)
    assert decode_state(little, "little") == decode_state(big, "big") == (8, 70.0)


def test_what_seldom_changes_is_read_seldom() -> None:
    inverter = Inverter("main", "auto", "inverter:1502")
    assert inverter.reads_due(0.0) == [BYTE_ORDER, KIND, STATE, METER]
    for span in (BYTE_ORDER, KIND, STATE):
        inverter.on_read(span, (0,) * span.count, 0.0, 0.1)
    assert inverter.reads_due(1.0) == [METER]
    assert set(inverter.reads_due(11.0)) == {BYTE_ORDER, KIND, STATE, METER}


def test_one_failed_read_is_no_outage_and_three_are() -> None:
    inverter = read("auto", "little", 0)
    inverter.on_failure("no-answer", "nothing in 2 s")
    seen = [inverter.is_read]
    inverter.on_failure("no-answer", "nothing in 2 s")
    inverter.on_failure("no-answer", "nothing in 2 s")
    seen.append(inverter.is_read)
    assert inverter.condition(2.0).reasons[0].code == "inverter-no-answer"
    inverter.on_read(METER, meter("little"), 3.1, 3.2)
    assert [*seen, inverter.is_read] == [True, False, True]


def test_a_refused_side_range_costs_only_itself() -> None:
    inverter = read("auto", "little", 0)
    inverter.on_refused(KIND, "exception 2", 2.0)
    assert inverter.is_read
    assert KIND not in inverter.reads_due(20.0)
