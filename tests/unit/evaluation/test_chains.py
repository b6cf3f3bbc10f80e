"""Each feed as the simulated inverter receives it."""

import pytest

from evaluation.chains import CHAINS, INTERVAL_MS, PERIOD, episode
from evaluation.feed import NOTHING, STEP, Recording, ages

PUSH, POLLING = "AirBridge, push", "AirBridge, polling"
AIRBRIDGE = (PUSH, POLLING)
STARTED = 300
"""Steps after which every chain has values."""


def steady(name: str, seconds: float = 90.0, seed: str = "1") -> list[float]:
    recording = CHAINS[name](seed, seconds, 0.0, 0.0)
    return [age for offset in (0.0, 0.03, 0.06) for age in ages(recording, offset)[STARTED:]]


def mean(found: list[float]) -> float:
    return sum(found) / len(found)


def in_outage(name: str, seconds: float) -> list[float]:
    found = episode(name, "1", seconds)
    begin = round(found.begins / STEP)
    return list(ages(found.recording)[begin : begin + round(seconds / STEP)])


def after_outage(name: str, seconds: float) -> list[float]:
    found = episode(name, "1", seconds)
    return list(ages(found.recording)[round((found.begins + seconds) / STEP) :])


def test_behind_a_cable_a_value_is_never_older_than_a_cycle_and_a_request() -> None:
    found = steady("cable")
    assert NOTHING not in found
    assert max(found) < INTERVAL_MS / 1000 + PERIOD + 0.05


def test_a_poller_adds_half_its_interval_and_never_more_than_all_of_it() -> None:
    cable = mean(steady("cable"))
    for interval in (1.0, 2.0):
        found = steady(f"poller, {interval:g} s")
        assert mean(found) - cable == pytest.approx(interval / 2, abs=0.15)
        assert max(found) < interval * 1.01 + INTERVAL_MS / 1000 + PERIOD + 0.05


def test_airbridge_is_far_nearer_to_the_cable_than_to_a_poller() -> None:
    cable, slow = mean(steady("cable")), mean(steady("poller, 1 s"))
    push, polling = mean(steady(PUSH)), mean(steady(POLLING))
    assert cable < push < polling < slow
    assert push - cable < 0.1 * (slow - cable)
    assert polling - cable < 0.5 * (slow - cable)


@pytest.mark.parametrize("name", AIRBRIDGE)
def test_airbridge_gives_nothing_in_an_outage_and_never_an_old_value(name: str) -> None:
    found = in_outage(name, 20.0)
    assert found.count(NOTHING) * STEP == pytest.approx(18.5, abs=1.0)
    assert max(found) < 1.7


def test_a_poller_serves_its_last_value_throughout_an_outage() -> None:
    found = in_outage("poller, 1 s", 20.0)
    assert NOTHING not in found
    assert max(found) > 19.0


def test_a_cable_that_has_come_off_gives_nothing() -> None:
    assert in_outage("cable", 20.0).count(NOTHING) * STEP > 18.0


@pytest.mark.parametrize("name", list(CHAINS))
def test_after_an_outage_every_feed_is_as_before(name: str) -> None:
    found = after_outage(name, 45.0)
    assert NOTHING not in found[200:]
    assert max(found[200:]) < 2.5


@pytest.mark.parametrize("name", [PUSH, "poller, 1 s"])
def test_a_seed_repeats_a_recording(name: str) -> None:
    def record(seed: str) -> Recording:
        return CHAINS[name](seed, 20.0, 0.0, 0.0)

    assert record("a") == record("a")
    assert record("a") != record("b")
