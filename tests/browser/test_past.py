"""Days and weeks on the page: power, energy by day, outages with their reasons."""

import time
from collections.abc import Iterator

import pytest

from tests.browser.chromium import Chromium
from tests.browser.dashboard import DashboardService
from tests.browser.filled_history import GONE, fill
from tests.browser.test_page import PALE, Scene
from tests.chain import Chain


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("past")
    fill(folder)
    more = f'[history]\ndirectory = "{folder}"\n'
    with Chain(folder / "chain") as chain:
        chain.start()
        with DashboardService(folder, chain.broker, more=more) as dashboard, Chromium(folder / "chromium") as browser:
            chain.await_good()
            dashboard.await_log("the page is at")
            browser.open(dashboard.address)
            scene = Scene(chain, dashboard, browser)
            scene.await_fresh("live", 5)
            scene.await_true(lambda: browser.run("return document.querySelectorAll('.outage').length") > 0, 10, "past")
            yield scene


def points(scene: Scene, span: str) -> int:
    """Choose a span; return the points of its longest curve."""
    scene.browser.run(f"document.querySelector('[data-span={span}]').click()")
    script = "return Math.max(0, ...[...document.querySelectorAll('#plot .curve')].map("
    found: int = scene.browser.run(script + "(one) => one.getAttribute('d').split('L').length))")
    return found


def test_power_of_a_day_and_of_a_week_can_be_chosen(scene: Scene) -> None:
    assert points(scene, "day") >= 280
    assert 150 <= points(scene, "week") <= 336
    gaps = "return document.querySelectorAll('#plot .curve.in').length"
    assert scene.browser.run(gaps) == 2, "a gap stays a gap"
    label = scene.browser.run("return document.querySelector('#plot svg').getAttribute('aria-label')")
    assert label.startswith("Power of the last 7 days, between")
    scene.browser.run("document.querySelector('[data-span=hour]').click()")
    assert scene.browser.run("return document.querySelector('[data-span=hour]').getAttribute('aria-pressed')") == "true"


def test_each_outage_is_a_mark_with_its_reason(scene: Scene) -> None:
    titles = scene.browser.run("return [...document.querySelectorAll('.outage title')].map((one) => one.textContent)")
    assert len(titles) >= 6, "and, on a slow host, that of a chain which has just begun"
    assert any(GONE in title for title in titles)
    widths = scene.browser.run("return [...document.querySelectorAll('.outage')].map((one) => one.width.baseVal.value)")
    assert min(widths) >= 3, "a short one is seen too"
    text = scene.browser.run("return document.getElementById('outages-sum').textContent")
    assert text.startswith(f"{len(titles)} outages, ")
    assert "Seen: 27 days of the last 30 days." in text
    assert GONE in scene.browser.run("return document.getElementById('outages').innerText")


def test_energy_is_shown_by_day_and_a_part_of_a_day_is_pale(scene: Scene) -> None:
    assert scene.browser.run("return document.querySelectorAll('#days .fill-in').length") in {26, 27}
    assert scene.browser.run("return document.querySelectorAll('#days .partly').length") >= 4
    assert "from the grid" in scene.browser.run("return document.getElementById('days-sum').textContent")


def test_tables_are_linked_for_the_meter_that_is_shown(scene: Scene) -> None:
    links = scene.browser.run("return [...document.querySelectorAll('[data-table]')].map((one) => one.href)")
    assert [link.rpartition("/")[2] for link in links] == [
        "power.csv?meter=main",
        "energy.csv?meter=main",
        "outages.csv?meter=main",
    ]
    assert scene.dashboard.get("history/power.csv?meter=main")[1].count("\n") > 9000
    assert scene.dashboard.memory_mb() <= 45


@pytest.mark.parametrize("width", [360, 640, 960])
def test_it_fits_a_phone_and_a_tablet(scene: Scene, width: int) -> None:
    scene.browser.look(width, 740)
    for span in ("day", "week", "hour"):
        points(scene, span)
        time.sleep(0.2)
        assert scene.browser.run("return document.documentElement.scrollWidth") <= width
    scene.browser.look(1160)


def test_no_word_is_too_pale_to_read(scene: Scene) -> None:
    for dark in (False, True):
        scene.browser.look(1160, dark=dark)
        points(scene, "week")
        assert scene.browser.run(PALE) == []
    assert scene.browser.console() == []


def test_an_outage_of_now_appears_on_the_strip_by_itself(scene: Scene) -> None:
    scene.browser.look(1160)
    scene.chain.publisher.stop()
    listed = "return document.getElementById('outages').innerText"
    scene.await_true(lambda: "until now meter main" in scene.browser.run(listed), 20, "the mark")
    scene.chain.publisher.start()
    scene.await_fresh("live", 15)
