"""The meter's device in Home Assistant: announced, announced again, taken away."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from .fake_publisher import FakePublisher
from .publisher_bench import Bench, Start, start
from .service import Service

__all__ = ["start"]

TOPIC = "homeassistant/device/ksem_publisher/airbridge_ksem_main/config"


@pytest.fixture
def bench(start: Start) -> Bench:
    return start()


@pytest.fixture
def probe(bench: Bench) -> Iterator[FakePublisher]:
    """Home Assistant, as far as discovery goes."""
    probe = FakePublisher(bench.broker.port, session="ear", answers=False, subscriptions=[TOPIC]).start()
    yield probe
    probe.stop()


def await_device(bench: Bench, probe: FakePublisher) -> dict[str, Any]:
    bench.audience.await_block("device")
    probe.await_count(TOPIC, 1)
    while "sw_version" not in (device := json.loads(probe.received[TOPIC][-1])["device"]):
        probe.await_count(TOPIC, len(probe.received[TOPIC]) + 1)
    found: dict[str, Any] = device
    return found


def test_the_device_is_announced_with_what_the_meter_says_it_is(bench: Bench, probe: FakePublisher) -> None:
    device = await_device(bench, probe)
    assert device["identifiers"] == ["airbridge_ksem_main"]
    assert "KOSTAL" in device["manufacturer"]
    assert device["model"]
    assert int(device["sw_version"]) > 0


def test_every_value_topic_that_is_published_has_its_sensor(bench: Bench, probe: FakePublisher) -> None:
    await_device(bench, probe)
    bench.audience.await_live("push", 8)
    bench.audience.await_true(lambda: bool(bench.audience.received["ksem/main/value/energy_import"]), "energy")
    sensors = json.loads(probe.received[TOPIC][-1])["components"].values()
    announced = {sensor["state_topic"] for sensor in sensors}
    device_values = {"measuring_interval", "firmware_version", "product_version", "device_id", "manufacturer_id"}
    published = {topic for topic in bench.audience.received if "/value/" in topic}
    assert published - announced == {f"ksem/main/value/{key}" for key in device_values} & published


def test_it_is_announced_again_when_home_assistant_starts(bench: Bench, probe: FakePublisher) -> None:
    await_device(bench, probe)
    count = len(probe.received[TOPIC])
    probe.link.publish("homeassistant/status", b"online")
    probe.await_count(TOPIC, count + 1)


def test_it_is_taken_away_where_discovery_is_switched_off(bench: Bench, probe: FakePublisher) -> None:
    await_device(bench, probe)
    bench.publisher.stop()
    text = bench.publisher.settings_path.read_text() + "[homeassistant]\ndiscovery = false\n"
    with Service("ksem_publisher", text, bench.publisher.folder):
        probe.await_payload(TOPIC, b"")


def test_the_counters_stand_in_the_json_too(bench: Bench) -> None:
    bench.audience.await_block("energy")
    bench.audience.await_live("push", 3)
    received = bench.audience.received["ksem/main/values"]
    bench.audience.await_true(lambda: b'"energy_import":' in received[-1], "counters")
