"""The page and its plot, of numbers that were made up."""

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

from evaluation.document import page
from evaluation.house import Energy
from evaluation.plot import plot
from evaluation.run import CABLE, FEEDS, SKIES, Age, Case, Evaluation, all_cases


def made_up(changed: dict[Case, float] | None = None) -> Evaluation:
    """Each feed is 0.1 kWh a day worse than the one before."""
    found = Evaluation("1", 0.2, {feed: Age(0.1 * number, 0.2 * number) for number, feed in enumerate(FEEDS)})
    for case in all_cases():
        needless = (changed or {}).get(case, 0.1 * FEEDS.index(case.feed))
        half = needless / 2
        found.days[case] = [Energy(bought_needlessly=half, sold_needlessly=half) for _ in SKIES]
    return found


def test_the_headline_is_airbridges_distance_from_the_cable() -> None:
    headline = page(made_up()).split("\n\n")[2]
    assert headline.startswith(
        "**AirBridge with push costs at most 0.100 kWh a day more than a cable**, 36.5 kWh a year"
    )


def test_the_headline_has_the_worst_of_all_assumptions() -> None:
    case = Case("AirBridge, push", "corrects", slower=True)
    assert "costs at most 0.250 kWh" in page(made_up({case: 0.35}))


def test_every_feed_has_a_row_in_the_table() -> None:
    table = page(made_up()).partition("## Without outages")[2].partition("## With")[0]
    assert re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)[2:] == list(FEEDS)
    assert "| poller, 2 s | 0.250 | 0.250 | **0.400** |" in table


def test_the_page_names_the_cases_in_which_a_poller_needs_less() -> None:
    assert "AirBridge stays ahead of the 1 s poller in all four cases" in page(made_up())
    case = Case("AirBridge, polling", "follows", outages=True)
    assert "needs less than** AirBridge, polling with *follows*" in page(made_up({case: 9.0}))


def test_the_same_numbers_make_the_same_page() -> None:
    assert page(made_up()) == page(made_up())
    assert plot(made_up()) == plot(made_up())


def test_the_plot_is_well_formed_and_has_a_bar_for_each_case() -> None:
    text = plot(made_up())
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    bars = [one for one in root.iter() if one.tag.endswith("rect") and one.get("height") == "12"]
    assert len(bars) == 2 * (2 * len(FEEDS) + 2 * (len(FEEDS) - 1))
    assert max(float(one.get("x", 0)) + float(one.get("width", 0)) for one in bars) < 760


def test_all_cases_are_different_and_have_a_cable_beside_them() -> None:
    cases = all_cases()
    assert len(cases) == len(set(cases))
    for case in cases:
        assert replace(case, feed=CABLE, outages=False, lost="idles") in cases
