"""A made-up house is a plausible one, and the same for the same seed."""

from itertools import pairwise

import pytest

from evaluation.feed import STEP
from evaluation.profile import DAY, Sky, load, pv

KWH = 3_600_000 / STEP


def test_a_household_uses_what_households_use() -> None:
    power = load(0, "1")
    assert len(power) == round(DAY / STEP)
    assert 9 < sum(power) / KWH < 14
    assert min(power) > 50
    assert 3000 < max(power) < 9000


def test_loads_jump_often() -> None:
    power = load(0, "1")
    jumps = sum(abs(power[step] - power[step - 1]) > 500 for step in range(1, len(power)))
    assert 100 < jumps < 2000


@pytest.mark.parametrize(("sky", "least", "most"), [("clear", 45, 65), ("broken clouds", 20, 50), ("overcast", 5, 20)])
def test_a_roof_gives_what_the_sky_lets_through(sky: Sky, least: float, most: float) -> None:
    power = pv(sky, 0, "1")
    assert least < sum(power) / KWH < most
    assert max(power[: round(5 * 3600 / STEP)]) == 0
    assert max(abs(after - before) for before, after in pairwise(power)) < 400


def test_a_seed_means_one_day() -> None:
    assert load(1, "7") == load(1, "7")
    assert load(1, "7") != load(2, "7")
    assert pv("broken clouds", 1, "7") == pv("broken clouds", 1, "7")
    assert pv("broken clouds", 1, "7") != pv("broken clouds", 1, "8")
