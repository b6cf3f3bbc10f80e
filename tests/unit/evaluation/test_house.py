"""The house: its energy balance closes, and a feed costs what its delay costs."""

from array import array
from itertools import pairwise
from random import Random

import pytest

from evaluation.feed import NOTHING, STEP, Series, constant
from evaluation.house import (
    BAND,
    CORRECTS_IN,
    FOLLOWS_IN,
    REACTS_AFTER,
    SETTLES_WITHIN,
    Control,
    Energy,
    Inverter,
    Lost,
    live,
)

CONTROLS: tuple[Control, ...] = ("follows", "corrects")
CABLE = 0.2
"""Seconds, about the age of a value behind a cable."""


def series(seconds: float, watts: float = 0.0) -> Series:
    return array("d", [watts]) * round(seconds / STEP)


def switching(seconds: float, seed: str) -> Series:
    """Loads that switch every few seconds, never more than the battery can give."""
    random, found = Random(seed), array("d")
    while len(found) < round(seconds / STEP):
        found += series(random.uniform(1.0, 40.0), random.choice((200.0, 900.0, 2300.0, 3100.0)))
    return found[: round(seconds / STEP)]


def run(load: Series, age: float, control: Control = "follows", dead: float = 0.2) -> Energy:
    return live(load, series(len(load) * STEP), constant(age, len(load) * STEP), Inverter(dead, control))


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("age", [0.0, 0.7, 2.2])
def test_the_energy_balance_closes(control: Control, age: float) -> None:
    random = Random("sun")
    load = switching(7200, "balance")
    sun = array("d", (random.choice((0.0, 4000.0)) for _ in range(len(load) // 600) for _ in range(600)))
    inverter = Inverter(0.2, control, capacity=2.0)
    energy = live(load, sun, constant(age, 7200), inverter)
    assert energy.load + energy.sold + energy.charged == pytest.approx(energy.pv + energy.bought + energy.discharged)
    kept = energy.charged * inverter.efficiency - energy.discharged / inverter.efficiency
    assert energy.stored == pytest.approx(kept)
    assert min(energy.bought, energy.sold, energy.charged, energy.discharged) > 0


@pytest.mark.parametrize("control", CONTROLS)
def test_a_perfect_feed_leaves_only_the_inverters_own_error(control: Control) -> None:
    watts, dead = 1000.0, 0.2
    energy = run(series(10) + series(60, watts), age=0.0, control=control, dead=dead)
    own = dead + FOLLOWS_IN if control == "follows" else CORRECTS_IN
    assert energy.bought_needlessly == pytest.approx(watts * own / 3_600_000, rel=0.1)
    assert energy.sold_needlessly == pytest.approx(0.0, abs=1e-6)
    still = run(series(60), age=0.0, control=control, dead=dead)
    assert still.needless == 0.0


@pytest.mark.parametrize("control", CONTROLS)
def test_behind_a_cable_it_reacts_and_settles_as_was_measured(control: Control) -> None:
    watts, begin = 1000.0, 10.0

    def bought_until(seconds: float) -> float:
        load = (series(begin) + series(60, watts))[: round((begin + seconds) / STEP)]
        return run(load, CABLE, control, REACTS_AFTER - CABLE).bought * 3_600_000

    assert bought_until(REACTS_AFTER) == pytest.approx(watts * REACTS_AFTER)
    assert bought_until(REACTS_AFTER + 0.3) < 0.99 * watts * (REACTS_AFTER + 0.3)
    settled = REACTS_AFTER + SETTLES_WITHIN
    left = (bought_until(settled + 0.2) - bought_until(settled)) / 0.2
    before = (bought_until(settled - 0.4) - bought_until(settled - 0.6)) / 0.2
    assert left < BAND * watts * 1.1
    assert before > BAND * watts


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_more_delay_never_improves(control: Control, seed: str) -> None:
    load = switching(3600, seed)
    needless = [run(load, age, control).needless for age in (0.0, 0.2, 0.4, 0.7, 1.0, 1.4)]
    for sooner, later in pairwise(needless):
        assert later > sooner


@pytest.mark.parametrize("lost", ["idles", "holds"])
def test_an_outage_costs(lost: Lost) -> None:
    load = switching(3600, "outage")
    ages = constant(CABLE, 3600)
    for begin in range(3000, 30_000, 3000):
        ages[begin : begin + 600] = constant(NOTHING, 60)
    with_outage = live(load, series(3600), ages, Inverter(0.2, lost=lost))
    assert with_outage.needless > run(load, CABLE).needless


@pytest.mark.parametrize("control", CONTROLS)
def test_a_last_value_that_stands_still_costs(control: Control) -> None:
    load = switching(3600, "standing")
    ages = constant(CABLE, 3600)
    for step in range(600):
        ages[9000 + step] = CABLE + step * STEP
    stands = live(load, series(3600), ages, Inverter(0.2, control))
    assert stands.needless > run(load, CABLE, control).needless


def test_a_battery_that_idles_leaves_the_whole_load_to_the_grid() -> None:
    load = series(600, 1200.0)
    energy = live(load, series(600), constant(NOTHING, 600), Inverter(0.2))
    assert energy.bought_needlessly == pytest.approx(energy.load)


def test_a_battery_that_holds_goes_on_without_a_value() -> None:
    load = series(600, 1200.0)
    ages = constant(0.0, 300) + constant(NOTHING, 300)
    held = live(load, series(600), ages, Inverter(0.2, lost="holds"))
    assert held.needless == pytest.approx(run(load, 0.0).needless)


def test_what_a_battery_cant_give_or_take_is_not_needless() -> None:
    beyond = live(series(600, 9000.0), series(600), constant(0.0, 600), Inverter(0.0, capacity=0.0))
    assert beyond.bought == pytest.approx(1.5)
    assert beyond.needless == 0.0
    full = live(series(600), series(600, 6000.0), constant(0.0, 600), Inverter(0.0, capacity=0.0))
    assert full.sold == pytest.approx(1.0)
    assert full.needless == 0.0


def test_a_controller_that_corrects_swings_where_values_are_too_old() -> None:
    step = series(10, 500.0) + series(600, 1500.0)
    assert run(step, 0.4, "corrects").needless < 0.01
    assert run(step, 2.5, "corrects").needless > 20 * run(step, 0.4, "corrects").needless
