"""What is kept of each minute and each day."""

from datetime import UTC, datetime, timedelta

from ksem_dashboard.record import Batch, Day, DayEnergy, Recorder, days_before
from tests.unit.ksem_dashboard.house import House

EVENING = datetime(2026, 11, 22, 23, 58, 30, tzinfo=UTC)


def recorded(house: House, recorder: Recorder, start: datetime, seconds: int) -> list[Batch]:
    """The batches of so many seconds, in which the house passes its time."""
    found = []
    begun = house.now
    for _ in range(seconds):
        house.pass_time(1.0)
        local = start + timedelta(seconds=house.now - begun)
        batch = recorder.step(house.state, (), (), house.now, local)
        found += [batch] if batch else []
    return found


def test_each_minute_becomes_one_row_with_least_mean_and_greatest_power() -> None:
    house, recorder = House().run_well(), Recorder()
    batches = recorded(house, recorder, EVENING, 200)
    assert [batch.minute for batch in batches] == [int(EVENING.timestamp() // 60) + n for n in range(3)]
    assert all(batch.is_watched for batch in batches)
    (row,) = batches[1].minutes
    assert (row.meter, row.low, row.mean, row.high) == ("main", 1234, 1234, 1234)


def test_a_minute_without_data_has_no_row() -> None:
    house, recorder = House().run_well(), Recorder()
    recorded(house, recorder, EVENING, 40)
    house.now += 180
    batch = recorder.step(house.state, (), (), house.now, EVENING + timedelta(seconds=220))
    assert batch is not None
    assert batch.minutes == ()


def test_the_end_of_the_service_writes_what_the_unfinished_minute_holds() -> None:
    house, recorder = House().run_well(), Recorder()
    recorded(house, recorder, EVENING.replace(second=1), 25)
    batch = recorder.rest(house.state, (), house.now, EVENING)
    assert batch is not None
    assert [row.mean for row in batch.minutes] == [1234]


def test_nothing_is_kept_by_a_clock_that_was_never_set() -> None:
    house, recorder = House().run_well(), Recorder()
    assert recorded(house, recorder, datetime(2024, 1, 1, tzinfo=UTC), 130) == []


def test_the_counters_become_energy_by_day() -> None:
    energy = DayEnergy("main")
    (first,) = energy.on_reading(100.0, 50.0, EVENING)
    assert (first.imported, first.is_whole) == (0.0, False), "what was before the first reading is not known"
    (second,) = energy.on_reading(100.4, 50.1, EVENING + timedelta(seconds=60))
    assert (round(second.imported, 3), round(second.exported, 3)) == (0.4, 0.1)
    (third,) = energy.on_reading(100.5, 50.1, EVENING + timedelta(seconds=120))
    assert (third.day, round(third.imported, 3), third.is_whole) == ("2026-11-23", 0.1, True)
    (fourth,) = energy.on_reading(102.5, 50.1, EVENING + timedelta(hours=12))
    assert (fourth.day, round(fourth.imported, 3), fourth.is_whole) == ("2026-11-23", 2.1, True)


def test_a_gap_over_midnight_makes_neither_day_whole_and_puts_nothing_into_the_wrong_one() -> None:
    energy = DayEnergy("main", Day("main", "2026-11-22", 5.0, 1.0, True, EVENING.timestamp(), 100.0, 50.0))
    yesterday, today = energy.on_reading(109.0, 50.0, EVENING + timedelta(hours=8))
    assert (yesterday.day, yesterday.imported, yesterday.is_whole) == ("2026-11-22", 5.0, False)
    assert (today.day, today.imported, today.is_whole) == ("2026-11-23", 0.0, False)


def test_a_gap_within_a_day_costs_nothing_since_the_counters_go_on() -> None:
    begin = EVENING.replace(hour=6)
    energy = DayEnergy("main", Day("main", "2026-11-22", 5.0, 1.0, True, begin.timestamp(), 100.0, 50.0))
    (day,) = energy.on_reading(109.0, 50.0, begin + timedelta(hours=8))
    assert (day.imported, day.is_whole) == (14.0, True)


def test_the_counters_of_another_meter_are_no_energy() -> None:
    begin = EVENING.replace(hour=6)
    for counter in (3.0, 90_000.0):
        energy = DayEnergy("main", Day("main", "2026-11-22", 5.0, 1.0, True, begin.timestamp(), 100.0, 50.0))
        (day,) = energy.on_reading(counter, 50.0, begin + timedelta(minutes=1))
        assert (day.imported, day.is_whole) == (5.0, False)
        (day,) = energy.on_reading(counter + 0.5, 50.0, begin + timedelta(minutes=2))
        assert day.imported == 5.5


def test_a_clock_that_was_set_back_takes_nothing_twice() -> None:
    energy = DayEnergy("main", Day("main", "2026-11-22", 5.0, 1.0, True, EVENING.timestamp(), 100.0, 50.0))
    assert energy.on_reading(100.1, 50.0, EVENING - timedelta(minutes=10)) == []
    (day,) = energy.on_reading(100.2, 50.0, EVENING + timedelta(seconds=1))
    assert round(day.imported, 3) == 5.2


def test_days_are_local_ones_the_oldest_first() -> None:
    assert days_before(EVENING, 3) == ["2026-11-20", "2026-11-21", "2026-11-22"]
