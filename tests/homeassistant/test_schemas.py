"""What we tell Home Assistant, judged by Home Assistant's own code: `make test-homeassistant`.

Its package is big and needs a later Python than ours, so it has a venv of its own. Without it, the written table of its
rules in tests/unit/ksem_contract/test_home_assistant.py stands alone.
"""

import asyncio
import json
import re
import tempfile
from collections.abc import Callable
from typing import Any

import pytest

from airbridge.snippets.place import Address
from airbridge.snippets.programs import render_home_assistant
from ksem_contract.home_assistant import Discovery, meter_device, node_device
from ksem_contract.topics import Topics
from tests.unit.ksem_dashboard.house import METER_HEALTH, NODE_HEALTH

schemas = pytest.importorskip("homeassistant.components.mqtt.schemas", reason="make test-homeassistant installs it")

from homeassistant.components.energy import validate as energy  # noqa: E402
from homeassistant.components.mqtt import binary_sensor, discovery, sensor  # noqa: E402
from homeassistant.components.sensor.const import (  # noqa: E402
    DEVICE_CLASS_STATE_CLASSES,
    DEVICE_CLASS_UNITS,
    SensorDeviceClass,
)
from homeassistant.const import __version__  # noqa: E402
from homeassistant.core import HomeAssistant  # noqa: E402
from homeassistant.helpers import frame  # noqa: E402
from homeassistant.helpers.template import Template  # noqa: E402
from homeassistant.util.yaml import parse_yaml  # noqa: E402

Invalid = (getattr(schemas, "probatio", None) or schemas.vol).Invalid
"""Of the library that its schemas are made with: voluptuous in 2024.12, probatio in 2026.11."""
_complete = getattr(schemas, "validate_device_discovery_components", lambda message: message)
"""Looks for components since they may stand in child devices instead; the schema alone requires them before that."""

TOPICS = Topics("site/house/ksem")
METER = meter_device(
    TOPICS,
    "homeassistant",
    "main",
    version="1.2.3",
    texts={"vendor_name": "KOSTAL", "product_name": "KSEM G2", "firmware_version": "2.6.1"},
)
NODE = node_device(TOPICS, "homeassistant", "attic", "main", version="1.2.3")
BOTH = pytest.mark.parametrize("found", [METER, NODE], ids=["meter", "node"])
PLATFORMS = {"sensor": sensor, "binary_sensor": binary_sensor}
HEALTH: dict[str, dict[str, Any]] = {
    TOPICS.meter_health("main"): json.loads(METER_HEALTH.encode()),
    TOPICS.node_health("attic"): json.loads(NODE_HEALTH.encode()),
}


@pytest.fixture(scope="module", autouse=True)
def version() -> None:
    print(f"Home Assistant {__version__}")


def at_home(look: Callable[[HomeAssistant], None]) -> None:
    """Call it in the event loop of a Home Assistant that has nothing set up: templates are checked nowhere else."""

    async def live() -> None:
        with tempfile.TemporaryDirectory() as folder:
            home = HomeAssistant(folder)
            frame.async_setup(home)
            try:
                look(home)
            finally:
                await home.async_stop(force=True)

    asyncio.run(live())


def message(found: Discovery) -> dict[str, Any]:
    reported: dict[str, Any] = json.loads(found.payload)
    return reported


def sensors(found: Discovery) -> list[dict[str, Any]]:
    return [one for one in message(found)["components"].values() if one["platform"] == "sensor"]


def accept(reported: dict[str, Any]) -> None:
    """As its discovery does it (homeassistant/components/mqtt/discovery.py)."""
    _complete(schemas.DEVICE_DISCOVERY_SCHEMA(reported))


@BOTH
def test_the_message_is_a_device_discovery(found: Discovery) -> None:
    accept(message(found))


@BOTH
@pytest.mark.parametrize("part", ["device", "origin", "components"])
def test_a_message_without_one_of_its_parts_would_be_refused(found: Discovery, part: str) -> None:
    reported = message(found)
    del reported[part]
    with pytest.raises(Invalid):
        accept(reported)


@BOTH
def test_each_component_is_what_its_platform_takes_and_no_option_is_unknown(found: Discovery) -> None:
    """An option that it doesn't know would be dropped without a word."""

    def look(_home: HomeAssistant) -> None:
        reported = message(found)
        for component in reported["components"].values():
            options = {name: value for name, value in component.items() if name != "platform"}
            given = discovery.MQTTDiscoveryPayload(
                options | {"device": reported["device"], "origin": reported["origin"]}
            )
            discovery._merge_common_device_options(given, reported)
            taken = PLATFORMS[component["platform"]].DISCOVERY_SCHEMA(dict(given))
            assert options.keys() <= taken.keys()

    at_home(look)


@BOTH
def test_its_topic_is_one_that_discovery_listens_to(found: Discovery) -> None:
    received = discovery.TOPIC_MATCHER.fullmatch(found.topic.removeprefix("homeassistant/"))
    assert received is not None
    assert received["component"] == "device"


@BOTH
def test_units_and_state_classes_go_with_the_device_class(found: Discovery) -> None:
    for one in sensors(found):
        if "device_class" in one:
            device_class = SensorDeviceClass(one["device_class"])
            assert one.get("unit_of_measurement") in DEVICE_CLASS_UNITS[device_class]
            assert one["state_class"] in DEVICE_CLASS_STATE_CLASSES[device_class]


def test_the_energy_dashboard_takes_import_and_export() -> None:
    made = message(METER)["components"]
    for key in ("energy_import", "energy_export"):
        assert made[key]["device_class"] in energy.ENERGY_USAGE_DEVICE_CLASSES
        assert made[key]["unit_of_measurement"] in energy.ENERGY_USAGE_UNITS[made[key]["device_class"]]
        assert made[key]["state_class"] == "total_increasing"


@BOTH
def test_templates_make_a_state_of_the_real_payloads(found: Discovery) -> None:
    def look(home: HomeAssistant) -> None:
        for one in sensors(found):
            if "value_template" not in one:
                continue
            reported = HEALTH[one["state_topic"]]
            state = str(
                Template(one["value_template"], home).async_render({"value_json": reported}, parse_result=False)
            )
            if "state_class" in one:
                assert re.fullmatch(r"\d+(\.\d+)?", state), f"{one['name']}: {state}"
            assert 0 < len(state) <= 255

    at_home(look)


def test_the_settings_for_a_home_without_discovery_are_taken_too() -> None:
    text = render_home_assistant(Address("192.0.2.7", 1883, False, "", TOPICS, "main"))
    parsed: Any = parse_yaml(text)

    def look(_home: HomeAssistant) -> None:
        for one in parsed["mqtt"]["sensor"]:
            taken = sensor.PLATFORM_SCHEMA_MODERN(dict(one))
            assert one.keys() <= taken.keys()

    at_home(look)
