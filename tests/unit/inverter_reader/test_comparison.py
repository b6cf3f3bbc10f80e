"""What the reader finds out about an inverter that is wrong, and that it finds nothing where nothing is wrong."""

import pytest

from ksem_simulators.plenticore.belief import BeliefPlan

from .house import House

GOOD = {"inverter-comparing", "inverter-agrees"}


@pytest.mark.parametrize("hour", [0.0, 7.0, 12.0, 18.0])
def test_an_hour_of_a_healthy_house_that_moves_raises_nothing(hour: float) -> None:
    house = House(hour=hour, seed=round(hour))
    assert house.found(3600).keys() <= GOOD


def test_an_hour_at_night_with_a_constant_load_raises_nothing() -> None:
    assert House(hour=2.0, constant=True).found(3600).keys() <= GOOD


def test_an_inverter_that_is_read_seldom_and_smooths_raises_nothing() -> None:
    assert House(hour=12.2, interval=5.0, plan=BeliefPlan(delay=1.5)).found(3600).keys() <= GOOD


@pytest.mark.parametrize("hour", [9.0, 12.0, 20.0])
@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (BeliefPlan(wrong_sign=True), "inverter-wrong-sign"),
        (BeliefPlan(swapped_phases=True), "inverter-phases-swapped"),
        (BeliefPlan(frozen=True), "inverter-stands-still"),
        (BeliefPlan(kind=0), "inverter-meter-kind"),
    ],
)
def test_each_fault_is_found_within_a_minute_and_as_what_it_is(hour: float, plan: BeliefPlan, code: str) -> None:
    house = House(hour=hour)
    house.found(120)
    house.belief.plan = plan
    found = house.found(60)
    assert found.keys() - GOOD == {code}


@pytest.mark.parametrize("factor", [0.95, 1.05])
@pytest.mark.parametrize("hour", [10.0, 12.0])
def test_a_power_off_by_five_percent_is_found_within_a_minute_while_power_flows(hour: float, factor: float) -> None:
    house = House(hour=hour)
    house.found(120)
    house.belief.plan = BeliefPlan(factor=factor)
    assert house.found(60).keys() - GOOD == {"inverter-other-power"}


def test_a_delay_of_three_seconds_is_found_within_five_minutes_of_moving_power() -> None:
    house = House(hour=12.0)
    house.found(120)
    house.belief.plan = BeliefPlan(delay=3.0)
    found = house.found(300)
    assert found.keys() - GOOD == {"inverter-lags"}


@pytest.mark.parametrize("delay", [0.2, 0.9, 1.6])
def test_the_delay_is_right_to_what_it_is_said_to_be_known_to(delay: float) -> None:
    house = House(hour=12.0, plan=BeliefPlan(delay=delay))
    house.found(600)
    found = house.inverter.delay
    assert found.sure == "good"
    assert found.p50_ms is not None
    assert found.within_ms is not None
    assert found.p50_ms == pytest.approx(1000 * delay, abs=found.within_ms + 250)


@pytest.mark.parametrize("delay", [2.5, 8.0, 15.0])
def test_any_delay_beyond_two_seconds_is_named_with_its_length(delay: float) -> None:
    house = House(hour=9.0)
    house.found(60)
    house.belief.plan = BeliefPlan(delay=delay)
    house.found(120)
    (reason,) = house.inverter.condition(house.now).reasons
    assert reason.code == "inverter-lags"
    assert float(dict(reason.params)["seconds"]) == pytest.approx(delay, abs=0.5)


def test_a_constant_load_gives_no_delay() -> None:
    house = House(hour=2.0, constant=True)
    house.found(600)
    assert house.inverter.delay.sure == "none"


def test_a_fault_that_ends_is_forgotten_within_half_a_minute() -> None:
    house = House(hour=12.0)
    house.found(30)
    house.belief.plan = BeliefPlan(wrong_sign=True)
    house.found(60)
    house.belief.plan = BeliefPlan()
    assert house.until(lambda: house.inverter.condition(house.now).state == "ok", 30) is not None


def test_an_inverter_without_a_meter_is_named_so_and_not_a_wrong_power() -> None:
    house = House(hour=12.0)
    house.found(30)
    house.belief.plan = BeliefPlan(delay=30.0)
    house.belief._readings.clear()
    assert house.found(20).keys() - GOOD == {"inverter-without-meter"}


def test_values_that_do_not_arrive_are_named_and_nothing_is_compared() -> None:
    house = House(hour=12.0)
    house.found(30)
    house.publishes = False
    house.belief.plan = BeliefPlan(wrong_sign=True)
    assert house.found(60).keys() - GOOD == {"inverter-no-comparison"}
