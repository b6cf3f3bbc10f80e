"""The page in a real browser, at the end of the real chain: it is quick, and it never shows what was as what is."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ksem_contract.blocks import LIVE
from ksem_contract.health import LinkHealth, NodeHealth, Percentiles, UnitHealth
from ksem_contract.values import decode_live
from ksem_simulators.truth import Block, TruthReader
from service_runtime.clock import boottime
from tests.bridge.broker import free_port
from tests.browser.chromium import Chromium
from tests.browser.dashboard import DashboardService
from tests.chain import Chain

FRESH = "return document.body.dataset.fresh"
SENTENCE = "return document.getElementById('sentence').textContent"
# Notes each power that the page shows, and when.
WATCH = """
window.seen = [];
const number = document.getElementById('watts');
new MutationObserver(() => {
    if (number.dataset.watts !== '') window.seen.push([Date.now(), Number(number.dataset.watts)]);
}).observe(number, {attributes: true, attributeFilter: ['data-watts']});
"""


class Scene:
    """The chain with its dashboard, and the page in a browser."""

    def __init__(self, chain: Chain, dashboard: DashboardService, browser: Chromium) -> None:
        self.chain, self.dashboard, self.browser = chain, dashboard, browser

    def await_true(self, holds: Callable[[], bool], within: float, what: str) -> float:
        """Wait for it; how long it took, in seconds."""
        begun = time.monotonic()
        while not holds():
            took = time.monotonic() - begun
            assert took < within, f"{what}: not within {within} s; the page says {self.browser.run(SENTENCE)!r}"
            time.sleep(0.02)
        return time.monotonic() - begun

    def await_fresh(self, word: str, within: float) -> float:
        return self.await_true(lambda: self.browser.run(FRESH) == word, within, f"data-fresh = {word}")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("page")
    tcp = f'[[tcp]]\nlisten = "127.0.0.1"\nport = {free_port()}\n'
    with Chain(folder / "chain", server=tcp) as chain:
        chain.start()
        with DashboardService(folder, chain.broker) as dashboard, Chromium(folder / "chromium") as browser:
            chain.await_good()
            dashboard.await_log("the page is at")
            browser.open(dashboard.address)
            scene = Scene(chain, dashboard, browser)
            scene.await_fresh("live", 5)
            yield scene


def shown_delays(scene: Scene, truth: Path, seconds: float) -> list[float]:
    """How long after the meter's push each power stood on the page, in seconds."""
    scene.browser.run(WATCH)
    time.sleep(seconds)  # what is watched is time itself
    ahead = time.time() - boottime()
    seen: list[list[float]] = scene.browser.run("return window.seen")
    pushed: dict[float, float] = {}
    reader = TruthReader(truth)
    newest = reader.newest(Block.LIVE)
    assert newest is not None
    for number in range(max(1, newest.number - int(10 * seconds)), newest.number + 1):
        snapshot = reader.snapshot(Block.LIVE, number)
        assert snapshot is not None
        pushed.setdefault(decode_live(snapshot.registers(LIVE), LIVE.start)["power"], snapshot.at)
    reader.close()
    return [shown / 1000 - ahead - pushed[power] for shown, power in seen if power in pushed]


def test_shows_the_meters_power_within_a_second_of_the_push(
    scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    delays = sorted(shown_delays(scene, scene.chain.meter.truth, 10))
    half = delays[len(delays) // 2]
    print(f"{len(delays)} powers, shown after {delays[0]:.3f} to {delays[-1]:.3f} s, half within {half:.3f} s")
    record_property("delays", delays)
    assert len(delays) >= 20
    assert delays[0] >= 0
    assert delays[-1] < 1.0


def test_says_old_when_the_publisher_is_stopped_and_live_when_it_is_back_without_a_reload(scene: Scene) -> None:
    scene.browser.run("window.still = 'the same page'")
    scene.chain.publisher.stop()
    old = scene.await_fresh("old", 3.0)
    assert scene.browser.run("return document.getElementById('pill').textContent").startswith("old")
    assert scene.browser.run("return document.getElementById('watts').textContent") == "\u2013"
    scene.await_true(lambda: "No data from the meter." in scene.browser.run(SENTENCE), 3, "the fault in words")
    assert "systemctl status ksem-publisher" in scene.browser.run("return document.getElementById('faults').innerText")
    scene.chain.publisher.start()
    live = scene.await_fresh("live", 10)
    print(f"old {old:.2f} s after the publisher's stop, live {live:.2f} s after its start")
    assert scene.browser.run("return window.still") == "the same page"


def test_says_old_when_the_publisher_hangs(scene: Scene) -> None:
    scene.chain.publisher.freeze()
    try:
        scene.await_fresh("old", 3.0)
    finally:
        scene.chain.publisher.thaw()
    scene.await_fresh("live", 10)


@pytest.mark.parametrize("loss", ["killed", "frozen"])
def test_says_that_it_has_lost_its_dashboard_and_comes_back_by_itself(scene: Scene, loss: str) -> None:
    scene.browser.run("window.still = 'the same page'")
    if loss == "killed":
        scene.dashboard.kill()
    else:
        scene.dashboard.freeze()
    scene.await_fresh("old", 3.5)
    scene.await_true(lambda: "lost its dashboard" in scene.browser.run(SENTENCE), 2, "lost")
    if loss == "killed":
        scene.dashboard.start()
    else:
        scene.dashboard.thaw()
    scene.await_fresh("live", 10)
    assert scene.browser.run("return window.still") == "the same page"


def test_turnaround_and_age_at_the_inverter_are_histograms(scene: Scene) -> None:
    count = "return document.querySelectorAll('#times .histogram svg[role=img]').length"
    scene.await_true(lambda: scene.browser.run(count) == 2, 12, "two histograms, with the next health")
    reported = "return [...document.querySelectorAll('#times .histogram')].map((one) => one.textContent)"
    turnaround, age = scene.browser.run(reported)
    assert "1.5 to 2 ms: " in turnaround
    assert "100 to 150 ms: " in age
    highest = (
        "return Math.max(...[...document.querySelectorAll('#times .fill-out')].map((one) => one.height.baseVal.value))"
    )
    assert scene.browser.run(highest) == 100, "the fullest column is as high as the picture"


def test_a_modbus_tcp_server_is_shown_with_its_units(scene: Scene) -> None:
    shown = "return document.getElementById('tcp-card').innerText"
    scene.await_true(lambda: "attic, tcp" in scene.browser.run(shown), 12, "the server")
    text = scene.browser.run(shown)
    assert "71" in text
    assert "open" in text
    assert "never" in text, "nobody has asked there"


def test_nothing_from_mqtt_is_taken_for_markup(scene: Scene) -> None:
    evil = '<img src=x onerror="window.evil=1"><script>window.evil=1</script>'
    publish(scene, "ksem/rtu/evil/status", b"online")
    publish(scene, "ksem/rtu/evil/health", health_of_evil_node(evil))
    scene.await_true(lambda: evil[:20] in scene.browser.run("return document.body.innerText"), 5, "the text as text")
    assert scene.browser.run("return window.evil ?? null") is None
    for topic in ("status", "health"):
        publish(scene, f"ksem/rtu/evil/{topic}", b"")


@pytest.mark.parametrize("width", [360, 640, 800, 960, 1024])
def test_the_page_fits_a_phone_and_a_tablet(scene: Scene, width: int) -> None:
    scene.browser.look(width, 740)
    assert scene.browser.run("return document.documentElement.scrollWidth") <= width
    cut = "return [...document.querySelectorAll('.chain')].some((one) => one.scrollWidth > one.clientWidth + 1)"
    assert not scene.browser.run(cut), "every part of the chain is seen"
    scene.browser.look(1160)


def test_no_word_on_the_page_is_too_pale_to_read(scene: Scene) -> None:
    """WCAG 2.1 AA: 4.5 to 1 for text, in light and in dark."""
    for dark in (False, True):
        scene.browser.look(1160, dark=dark)
        assert scene.browser.run(PALE) == []
    scene.browser.look(1160)


def publish(scene: Scene, topic: str, payload: bytes) -> None:
    subprocess.run(
        ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(scene.chain.broker.port), "-r", "-q", "1", "-t", topic]
        + (["-s"] if payload else ["-n"]),
        input=payload or None,
        check=True,
    )


def health_of_evil_node(evil: str) -> bytes:
    when = "2026-11-22T10:00:00.000Z"
    link = LinkHealth("down", when, evil, 1)
    unit = UnitHealth(evil, 1, "main", link, "down", 1, 0, {evil: 1}, 0, 0, Percentiles(), Percentiles(), None)
    return NodeHealth("0", when, "down", evil, LinkHealth("up", when, evil, 1), (unit,), {}).encode()


PALE: Any = """
const parse = (text) => (text.match(/[0-9.]+/g) ?? []).map(Number);
const linear = (part) => { part /= 255; return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4; };
const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const ground = (element) => {
    for (; element; element = element.parentElement) {
        const colour = parse(getComputedStyle(element).backgroundColor);
        if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
};
const found = [];
for (const element of document.querySelectorAll('main *, header *, footer *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim() !== '');
    const svg = element.namespaceURI.endsWith('svg');
    if (element.localName === 'title') continue;  // shown by the browser itself, when pointed at
    if (!own || (svg && element.getAttribute('visibility') === 'hidden')) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(parse(svg ? style.fill : style.color)), light(ground(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found.push(`${element.textContent.trim().slice(0, 30)}: ${ratio.toFixed(2)}`);
}
return found;
"""
