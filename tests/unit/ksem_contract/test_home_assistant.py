"""Home Assistant's rules for discovery, each with the place where it is written."""

import json
import re
from typing import Any

import pytest

from ksem_contract.home_assistant import Discovery, birth_topic, meter_device, node_device, removal
from ksem_contract.topics import Topics

TOPICS = Topics("site/house/ksem")
METER = meter_device(TOPICS, "homeassistant", "main", version="1.2.3", texts={"product_name": "KSEM G2"})
NODE = node_device(TOPICS, "homeassistant", "attic", "main", version="1.2.3")
BOTH = pytest.mark.parametrize("found", [METER, NODE], ids=["meter", "node"])

# homeassistant/components/sensor/const.py: DEVICE_CLASS_UNITS, DEVICE_CLASS_STATE_CLASSES
UNITS: dict[str, set[str | None]] = {
    "power": {"W"},
    "reactive_power": {"var"},
    "apparent_power": {"VA"},
    "current": {"A"},
    "voltage": {"V"},
    "frequency": {"Hz"},
    "energy": {"kWh"},
    "power_factor": {None},
    "duration": {"ms"},
}


def components(found: Discovery) -> dict[str, dict[str, Any]]:
    made = json.loads(found.payload)["components"]
    assert isinstance(made, dict)
    return made


@BOTH
def test_a_device_has_identifiers_and_the_message_an_origin_with_a_name(found: Discovery) -> None:
    """mqtt/schemas.py: MQTT_ENTITY_DEVICE_INFO_SCHEMA, MQTT_ORIGIN_INFO_SCHEMA"""
    message = json.loads(found.payload)
    assert message["device"]["identifiers"]
    assert message["origin"]["name"]


@BOTH
def test_each_component_has_a_platform_and_a_unique_id_of_its_own(found: Discovery) -> None:
    """mqtt/discovery.py: device discovery requires platform and unique_id in each component"""
    made = components(found)
    assert {one["platform"] for one in made.values()} <= {"sensor", "binary_sensor"}
    assert len({one["unique_id"] for one in made.values()}) == len(made)


@BOTH
def test_object_ids_are_made_of_letters_digits_underscore_and_dash(found: Discovery) -> None:
    """mqtt/discovery.py: TOPIC_MATCHER"""
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", found.topic)


@BOTH
def test_units_and_state_classes_go_with_the_device_class(found: Discovery) -> None:
    for one in components(found).values():
        device_class = one.get("device_class")
        if one["platform"] == "sensor" and device_class is not None:
            assert one.get("unit_of_measurement") in UNITS[str(device_class)]
            assert one["state_class"] == ("total_increasing" if device_class == "energy" else "measurement")


def test_the_energy_dashboard_takes_import_and_export() -> None:
    """energy/validate.py: device_class energy, an energy unit, state_class total_increasing or total; two sensors"""
    made = components(METER)
    for key in ("energy_import", "energy_export"):
        assert made[key]["device_class"] == "energy"
        assert made[key]["state_class"] == "total_increasing"
        assert made[key]["unit_of_measurement"] == "kWh"
        assert "last_reset_value_template" not in made[key]


def test_live_values_expire_and_follow_the_meters_status_and_counters_outlast_it() -> None:
    made = components(METER)
    assert made["power"]["expire_after"] == 15
    assert made["power"]["availability_topic"] == "site/house/ksem/main/status"
    assert made["energy_import"]["expire_after"] == 4000
    assert "availability_topic" not in made["energy_import"]


def test_diagnostics_are_diagnostic_entities() -> None:
    for key in ("data", "why", "live_age", "push_period", "poll_errors"):
        assert components(METER)[key]["entity_category"] == "diagnostic"


def test_the_rtu_server_is_a_device_of_its_own_that_hangs_on_the_meter() -> None:
    meter, node = json.loads(METER.payload)["device"], json.loads(NODE.payload)["device"]
    assert node["via_device"] in meter["identifiers"]
    assert node["identifiers"] != meter["identifiers"]


def test_state_topics_are_those_of_the_contract() -> None:
    for found in (METER, NODE):
        for one in components(found).values():
            assert TOPICS.parse(str(one["state_topic"])) is not None


def test_an_empty_retained_payload_removes_the_device() -> None:
    assert removal(METER) == Discovery(METER.topic, b"")


def test_home_assistants_birth_message_is_expected_below_its_prefix() -> None:
    assert birth_topic("homeassistant") == "homeassistant/status"
