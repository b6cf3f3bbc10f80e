"""The files of deploy/fleet fit one another."""

import json
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_SECOND = 1_000_000_000
_ROOT = Path(__file__).parents[2]
_FLEET = _ROOT / "deploy" / "fleet"


def _telegraf() -> dict[str, object]:
    return tomllib.loads((_FLEET / "telegraf.conf").read_text())


def test_the_fleets_page_reads_only_what_its_consumer_writes() -> None:
    board = json.loads((_ROOT / "docs" / "grafana-fleet.json").read_text())
    read = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    read += [one["query"] for one in board["templating"]["list"]]
    names = {name for text in read for name in re.findall(r"ksem_(?:values|status|health|bridge)_\w+", text)}
    assert names == {"ksem_values_age_ms", "ksem_values_power", "ksem_bridge_value", "ksem_health_ok"}
    written = (_FLEET / "telegraf.conf").read_text()
    assert all(f'"{name}"' in written for name in ("ksem_values", "ksem_health", "ksem_bridge"))


def test_the_consumer_reads_topics_that_a_house_s_bridge_carries() -> None:
    bridge = (_FLEET / "bridge.conf").read_text()
    carried = set(re.findall(r"^topic site/HOUSE/(\S+) out", bridge, re.MULTILINE))
    carried |= {"bridge"} if "notification_topic site/HOUSE/bridge" in bridge else set()
    inputs = _telegraf()["inputs"]
    assert isinstance(inputs, dict)
    topics = [topic for one in inputs["mqtt_consumer"] for topic in one["topics"]]
    subjects = [subject for one in inputs["nats_consumer"] for subject in one["subjects"]]
    topics += [subject.replace(".", "/").replace("*", "+") for subject in subjects]
    assert {topic.removeprefix("site/+/") for topic in topics} <= carried


class _Filter:
    """The consumer's Starlark, which is Python as far as it goes here."""

    def __init__(self) -> None:
        processors: Any = _telegraf()["processors"]
        lines = processors["starlark"][0]["source"].splitlines()
        time = SimpleNamespace(parse_time=lambda text: SimpleNamespace(unix_nano=int(text)))
        self._names: dict[str, Any] = {"time": time}
        exec("\n".join(line for line in lines if not line.startswith("load(")), self._names)

    def take(self, published: float, arrived: float, house: str = "house-1") -> bool:
        """Whether a message is kept. The house's clock shows `published` seconds."""
        metric = SimpleNamespace(
            tags={"subject": f"site.{house}.ksem.main.values"},
            fields={"time": str(round(published * _SECOND)), "power": 1.0},
            time=round(arrived * _SECOND),
        )
        kept = self._names["apply"](metric)
        assert kept is None or kept.tags == {"house": house, "meter": "main"}
        return kept is not None


def test_the_consumer_drops_what_was_held_back_on_the_way_whatever_the_house_s_clock_shows() -> None:
    late = _Filter()
    wrong_by = -86_400.0
    assert all(late.take(wrong_by + at, at + 0.01) for at in range(10))
    held_back = [late.take(wrong_by + at, 30.0) for at in (10, 20, 25)]
    assert held_back == [False, False, False]
    assert late.take(wrong_by + 30, 30.01)


def test_the_consumer_learns_a_clock_that_was_set_back_within_a_minute() -> None:
    late = _Filter()
    assert late.take(1000.0, 1000.0)
    kept = [late.take(float(at), 1000.0 + at) for at in range(1, 100)]
    assert not any(kept[:60])
    assert all(kept[63:])


def test_the_consumer_lets_each_house_have_its_own_clock() -> None:
    late = _Filter()
    assert late.take(5000.0, 10.0, "house-1")
    assert late.take(10.0, 10.0, "house-2")
    assert late.take(5001.0, 11.0, "house-1")
