"""The files of deploy/fleet fit one another."""

import json
import re
import tomllib
from pathlib import Path

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
