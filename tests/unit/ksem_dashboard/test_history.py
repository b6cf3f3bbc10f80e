from datetime import timedelta

from ksem_dashboard.history import SLOTS, STEP, Energy, EnergyToday, PowerHistory
from ksem_dashboard.views import ArrivalRate

from .house import LOCAL


def test_a_slot_holds_least_mean_and_greatest() -> None:
    history = PowerHistory()
    for power in (100.0, -50.0, 10.0):
        history.add(power, 1000.0)
    assert history.points(1000.0 + STEP)[-1] == (-50.0, 20.0, 100.0)


def test_a_host_that_has_just_started_has_no_history() -> None:
    assert [one for one in PowerHistory().points(5.0) if one] == []


def test_a_gap_in_the_data_is_a_gap_in_the_history() -> None:
    history = PowerHistory()
    history.add(1.0, 1000.0)
    history.add(1.0, 1000.0 + 3 * STEP)
    assert history.points(1000.0 + 4 * STEP)[-4:] == [(1.0, 1.0, 1.0), None, None, (1.0, 1.0, 1.0)]


def test_what_is_more_than_an_hour_ago_is_gone() -> None:
    history = PowerHistory()
    history.add(1.0, 1000.0)
    assert [one for one in history.points(1000.0 + STEP * SLOTS) if one] == []
    assert len(history.points(1000.0)) == SLOTS - 1


def test_energy_counts_from_the_first_reading_and_says_so() -> None:
    today = EnergyToday()
    assert today.energy is None
    today.note(100.0, 50.0, LOCAL)
    today.note(101.5, 50.25, LOCAL + timedelta(hours=1))
    assert today.energy == Energy(1.5, 0.25, "10:00")


def test_energy_counts_from_midnight_on_the_next_day() -> None:
    today = EnergyToday()
    today.note(100.0, 50.0, LOCAL)
    today.note(110.0, 50.0, LOCAL.replace(hour=23, minute=59, second=55))
    today.note(110.5, 50.0, LOCAL.replace(day=23, hour=0, second=5))
    assert today.energy == Energy(0.5, 0.0, "00:00")


def test_after_a_day_without_readings_it_counts_from_the_new_one() -> None:
    today = EnergyToday()
    today.note(100.0, 50.0, LOCAL)
    today.note(150.0, 50.0, LOCAL.replace(day=24))
    assert today.energy == Energy(0.0, 0.0, "10:00")


def test_another_meters_counters_begin_anew() -> None:
    today = EnergyToday()
    today.note(100.0, 50.0, LOCAL)
    today.note(3.0, 0.0, LOCAL + timedelta(hours=1))
    assert today.energy == Energy(0.0, 0.0, "11:00")


def test_the_rate_is_that_of_the_last_seconds_and_sinks_to_nothing() -> None:
    rate = ArrivalRate()
    for number in range(50):
        rate.happened(number * 0.2)
    assert round(rate.per_s(9.9), 1) == 5.0
    assert rate.per_s(11.5) < 3.0
    assert rate.per_s(20.0) == 0.0
