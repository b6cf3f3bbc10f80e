import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksem_contract.values_message import CounterGuard, Withheld


def test_a_counter_that_grows_passes() -> None:
    guard = CounterGuard()
    assert guard.check({"energy_import": 100.0}, now=0) == ({"energy_import": 100.0}, ())
    assert guard.check({"energy_import": 100.0}, now=10) == ({"energy_import": 100.0}, ())
    assert guard.check({"energy_import": 100.1}, now=20) == ({"energy_import": 100.1}, ())


@pytest.mark.promise(8)
def test_a_lower_value_is_withheld_however_often_it_is_read_and_the_other_counters_pass() -> None:
    guard = CounterGuard()
    guard.check({"energy_import": 100.0, "energy_export": 5.0}, now=0)
    for poll in range(1, 100):
        passed, withheld = guard.check({"energy_import": 0.0, "energy_export": 5.0 + poll / 100}, now=poll * 10)
        assert passed == {"energy_export": 5.0 + poll / 100}
        assert withheld == (Withheld("energy_import", 0.0, last=100.0),)
    assert guard.check({"energy_import": 100.2}, now=1000) == ({"energy_import": 100.2}, ())


def test_a_leap_is_withheld_and_does_not_count_as_the_last_value() -> None:
    guard = CounterGuard()
    guard.check({"energy_import": 100.0}, now=0)
    assert guard.check({"energy_import": 1e7}, now=10) == ({}, (Withheld("energy_import", 1e7, last=100.0),))
    assert guard.check({"energy_import": 100.1}, now=20) == ({"energy_import": 100.1}, ())


def test_what_was_used_during_a_long_outage_passes() -> None:
    guard = CounterGuard()
    guard.check({"energy_import": 100.0}, now=0)
    assert guard.check({"energy_import": 400.0}, now=86_400)[0] == {"energy_import": 400.0}


@pytest.mark.promise(8)
def test_a_first_value_beyond_reason_is_withheld() -> None:
    assert CounterGuard().check({"energy_import": 1e12}, now=0) == ({}, (Withheld("energy_import", 1e12, last=None),))
    assert CounterGuard().check({"energy_import": float("nan")}, now=0)[0] == {}


@given(st.lists(st.tuples(st.floats(-1, 1e10), st.floats(0, 1e5)), max_size=50))
@pytest.mark.promise(8)
def test_what_passes_never_steps_backwards(reads: list[tuple[float, float]]) -> None:
    guard = CounterGuard()
    now = 0.0
    passed_so_far: list[float] = []
    for value, pause in reads:
        now += pause
        passed, withheld = guard.check({"energy_import": value}, now)
        assert len(passed) + len(withheld) == 1
        passed_so_far += passed.values()
    assert passed_so_far == sorted(passed_so_far)
