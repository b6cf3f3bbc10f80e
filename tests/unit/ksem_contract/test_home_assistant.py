"""Home Assistant's rules for discovery, each with the place where it is written: the table of its rules.

Places are below homeassistant/components of its core, or pages of its documentation. tests/homeassistant asks its own
code the same (`make test-homeassistant`).
"""

import json
import re
from typing import Any

import pytest

from ksem_contract.blocks import ENERGY
from ksem_contract.home_assistant import (
    Discovery,
    birth_topic,
    inverter_device,
    meter_device,
    node_device,
    removal,
)
from ksem_contract.topics import Topics
from ksem_contract.values import VALUE_KEYS, decode_energy

TOPICS = Topics("site/house/ksem")
METER = meter_device(TOPICS, "homeassistant", "main", version="1.2.3", texts={"product_name": "KSEM G2"})
NODE = node_device(TOPICS, "homeassistant", "attic", "main", version="1.2.3")
INVERTER = inverter_device(TOPICS, "homeassistant", "roof", "main", version="1.2.3")
BOTH = pytest.mark.parametrize("found", [METER, NODE, INVERTER], ids=["meter", "node", "inverter"])

# sensor/const.py: DEVICE_CLASS_UNITS
UNITS: dict[str, set[str | None]] = {
    "power": {"W"},
    "reactive_power": {"var"},
    "apparent_power": {"VA"},
    "current": {"A"},
    "voltage": {"V"},
    "frequency": {"Hz"},
    "energy": {"kWh"},
    "power_factor": {None},
    "duration": {"ms", "s"},
}


# mqtt/schemas.py: MQTT_ENTITY_DEVICE_INFO_SCHEMA, MQTT_ORIGIN_INFO_SCHEMA
DEVICE_KEYS = {
    *("identifiers", "connections", "manufacturer", "model", "model_id", "name", "hw_version", "serial_number"),
    *("sw_version", "via_device", "suggested_area", "configuration_url"),
}
ORIGIN_KEYS = {"name", "sw_version", "support_url"}
# mqtt/schemas.py: DEVICE_DISCOVERY_SCHEMA and SHARED_OPTIONS
TOP_KEYS = {
    *("device", "origin", "components", "availability", "availability_mode", "availability_template"),
    *("availability_topic", "payload_available", "payload_not_available", "state_topic", "command_topic"),
    *("qos", "encoding"),
}
# mqtt/sensor.py and mqtt/binary_sensor.py: DISCOVERY_SCHEMA; what it doesn't know it drops without a word
BOTH_TAKE = {
    *("platform", "unique_id", "name", "state_topic", "value_template", "device_class", "expire_after", "qos"),
    *("availability", "availability_mode", "availability_topic", "enabled_by_default", "entity_category", "icon"),
    *("force_update", "encoding", "json_attributes_topic", "json_attributes_template", "object_id"),
}
TAKEN = {
    "sensor": BOTH_TAKE
    | {"unit_of_measurement", "state_class", "suggested_display_precision", "last_reset_value_template", "options"},
    "binary_sensor": BOTH_TAKE | {"payload_on", "payload_off", "off_delay"},
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
def test_device_origin_and_message_hold_only_keys_that_it_knows(found: Discovery) -> None:
    """mqtt/schemas.py: one unknown key, and the whole message is refused"""
    message = json.loads(found.payload)
    assert message["device"].keys() <= DEVICE_KEYS
    assert message["origin"].keys() <= ORIGIN_KEYS
    assert message.keys() <= TOP_KEYS


@BOTH
def test_components_hold_only_options_that_their_platform_knows(found: Discovery) -> None:
    """mqtt/sensor.py, mqtt/binary_sensor.py: DISCOVERY_SCHEMA"""
    for one in components(found).values():
        assert one.keys() <= TAKEN[one["platform"]]


@BOTH
def test_object_id_is_not_used_since_default_entity_id_has_replaced_it(found: Discovery) -> None:
    """documentation of MQTT, since 2025.10: entity ids follow from the names of device and entity"""
    assert not any("object_id" in one for one in components(found).values())


@BOTH
def test_object_ids_are_made_of_letters_digits_underscore_and_dash(found: Discovery) -> None:
    """mqtt/discovery.py: TOPIC_MATCHER"""
    assert re.fullmatch(r"homeassistant/device/ksem_(publisher|rtu|inverter)/[a-zA-Z0-9_-]+/config", found.topic)


@pytest.mark.parametrize(
    ("quantity", "unit", "device_class", "state_class", "expires"),
    [
        ("power", "W", "power", "measurement", 15),
        ("power_l1", "W", "power", "measurement", 15),
        ("voltage_l2", "V", "voltage", "measurement", 15),
        ("current_l3", "A", "current", "measurement", 15),
        ("frequency", "Hz", "frequency", "measurement", 15),
        ("power_factor", None, "power_factor", "measurement", 15),
        ("apparent_power", "VA", "apparent_power", "measurement", 15),
        ("reactive_power", "var", "reactive_power", "measurement", 15),
        ("energy_import", "kWh", "energy", "total_increasing", 4000),
        ("energy_export_l1", "kWh", "energy", "total_increasing", 4000),
    ],
)
def test_each_quantity_has_its_unit_classes_and_expiry(
    quantity: str, unit: str | None, device_class: str, state_class: str, expires: int
) -> None:
    """sensor/const.py: DEVICE_CLASS_UNITS, DEVICE_CLASS_STATE_CLASSES; 4000 s is amsreader's practice for counters"""
    one = components(METER)[quantity]
    assert one.get("unit_of_measurement") == unit
    assert (one["device_class"], one["state_class"], one["expire_after"]) == (device_class, state_class, expires)


@BOTH
def test_units_and_state_classes_go_with_the_device_class(found: Discovery) -> None:
    """sensor/const.py: DEVICE_CLASS_UNITS, DEVICE_CLASS_STATE_CLASSES"""
    for one in components(found).values():
        device_class = one.get("device_class")
        if one["platform"] == "sensor" and device_class is not None:
            assert one.get("unit_of_measurement") in UNITS[str(device_class)]
            allowed = {"energy": {"total_increasing"}, "duration": {"measurement", "total_increasing"}}
            assert one["state_class"] in allowed.get(str(device_class), {"measurement"})


def test_the_energy_dashboard_takes_import_and_export() -> None:
    """energy/validate.py: device_class energy, an energy unit, state_class total_increasing or total; two sensors"""
    made = components(METER)
    for key in ("energy_import", "energy_export"):
        assert made[key]["device_class"] == "energy"
        assert made[key]["state_class"] == "total_increasing"
        assert made[key]["unit_of_measurement"] == "kWh"
        assert "last_reset_value_template" not in made[key]


def test_import_and_export_are_two_sensors_and_neither_is_ever_negative() -> None:
    """energy/validate.py: entity_negative_state"""
    made = components(METER)
    assert made["energy_import"]["state_topic"] != made["energy_export"]["state_topic"]
    registers: list[int | None] = [0xFFFF if number % 3 else 0 for number in range(ENERGY.count)]
    assert all(value >= 0 for value in decode_energy(registers, ENERGY.start).values())


def test_no_retained_value_has_an_expiry_that_a_restart_would_begin_anew_but_the_counters() -> None:
    """documentation of the MQTT sensor (home-assistant.io#40043): a retained state and expire_after revive an old value

    Live values are not retained. Counters are, so that they are there at once; an old counter is only a late one.
    """
    retained = {TOPICS.meter_value("main", key.key) for key in VALUE_KEYS if key.retained}
    made = [one for one in components(METER).values() if "/value/" in one["state_topic"]]
    assert {one["device_class"] for one in made if one["state_topic"] in retained} == {"energy"}


def test_availability_is_what_the_status_topics_say_by_default() -> None:
    """documentation of MQTT: payload_available is `online`, payload_not_available `offline`"""
    made = components(METER)
    assert not any("payload_available" in one or "payload_not_available" in one for one in made.values())
    assert (made["data"]["payload_on"], made["data"]["payload_off"]) == ("online", "offline")


def test_live_values_expire_and_follow_the_meters_status_and_counters_outlast_it() -> None:
    """documentation of the MQTT sensor: expire_after, availability_topic"""
    made = components(METER)
    assert made["power"]["expire_after"] == 15
    assert made["power"]["availability_topic"] == "site/house/ksem/main/status"
    assert made["energy_import"]["expire_after"] == 4000
    assert "availability_topic" not in made["energy_import"]


def test_diagnostics_are_diagnostic_entities() -> None:
    """mqtt/schemas.py: ENTITY_CATEGORIES_SCHEMA"""
    for key in ("data", "why", "live_age", "push_period", "poll_errors"):
        assert components(METER)[key]["entity_category"] == "diagnostic"


@BOTH
def test_the_state_has_the_reasons_as_attributes_for_automations(found: Discovery) -> None:
    """mqtt/mixins.py: json_attributes_template has to give a JSON object"""
    state = components(found)["why"]
    assert state["json_attributes_topic"] == state["state_topic"]
    assert "value_json.get('reasons', [])" in state["json_attributes_template"]


def test_the_rtu_server_is_a_device_of_its_own_that_hangs_on_the_meter() -> None:
    """mqtt/schemas.py: via_device names an identifier of the other device"""
    meter, node = json.loads(METER.payload)["device"], json.loads(NODE.payload)["device"]
    assert node["via_device"] in meter["identifiers"]
    assert node["identifiers"] != meter["identifiers"]


def test_state_topics_are_those_of_the_contract() -> None:
    for found in (METER, NODE):
        for one in components(found).values():
            assert TOPICS.parse(str(one["state_topic"])) is not None


def test_an_empty_retained_payload_removes_the_device() -> None:
    """mqtt/discovery.py: _parse_device_payload"""
    assert removal(METER) == Discovery(METER.topic, b"")


def test_home_assistants_birth_message_is_expected_below_its_prefix() -> None:
    """mqtt/const.py: DEFAULT_BIRTH; documentation of MQTT: discovery is to be sent again then"""
    assert birth_topic("homeassistant") == "homeassistant/status"


def render(template: str, payload: dict[str, Any]) -> str:
    """Evaluate the subset of Jinja that the number templates use; it means the same in Python."""
    return str(eval(template.removeprefix("{{ ").removesuffix(" }}"), {"value_json": payload}))


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"blocks": {}, "push": {}, "poll": {}, "units": []},
        {"blocks": None, "push": None, "poll": None, "units": None},
        {"blocks": {"live": None}, "units": [{}]},
        {"blocks": {"live": {}}, "units": [{"turnaround_ms": None, "age_ms": None}]},
        {"blocks": {"live": {"age_ms": None}}, "units": [{"turnaround_ms": {}}]},
    ],
)
@BOTH
def test_a_number_that_health_does_not_have_is_unknown_and_no_error(found: Discovery, payload: dict[str, Any]) -> None:
    for one in components(found).values():
        if one["platform"] == "sensor" and ".get(" in one.get("value_template", ""):
            assert render(one["value_template"], payload) == "None"


def test_a_number_that_health_has_is_shown() -> None:
    assert render(components(METER)["live_age"]["value_template"], {"blocks": {"live": {"age_ms": 0}}}) == "0"
    unit = {"turnaround_ms": {"p50": 3.5}, "requests": 7}
    assert render(components(NODE)["turnaround"]["value_template"], {"units": [unit]}) == "3.5"
    assert render(components(NODE)["requests"]["value_template"], {"units": [unit]}) == "7"
    no_data = {"today": {"seconds": 12.4, "reasons": {"meter-offline": 12.4}}}
    assert render(components(NODE)["no_data"]["value_template"], {"no_data": no_data}) == "12.4"


@BOTH
def test_everything_that_health_says_is_unavailable_once_health_stops(found: Discovery) -> None:
    for one in components(found).values():
        assert "expire_after" in one or one["platform"] == "binary_sensor"  # its topic has a will


def test_no_sensor_for_values_that_nobody_publishes() -> None:
    made = components(meter_device(TOPICS, "homeassistant", "main", version="1", values=False))
    assert not [one for one in made.values() if "/value/" in one["state_topic"]]
    assert "live_age" in made


@pytest.mark.parametrize(("interval", "expires"), [(0.0, 15), (1.0, 15), (20.0, 60), (6.5, 20)])
def test_a_live_value_outlives_its_interval(interval: float, expires: int) -> None:
    made = components(meter_device(TOPICS, "homeassistant", "main", version="1", interval=interval))
    assert made["power"]["expire_after"] == expires


def test_different_devices_never_share_a_topic() -> None:
    names = ["a-b", "a_b", "rtu_x", "rtu-x", "x", "rtu", "a-2d-b", "a-b-", "2d"]
    prefixes = ["ksem", "ksem/rtu", "ksem_rtu", "ksem-rtu"]
    made = [
        meter_device(Topics(p), "homeassistant", n, version="1").topic for p in prefixes for n in names if n != "rtu"
    ]
    made += [inverter_device(Topics(p), "homeassistant", n, "main", version="1").topic for p in prefixes for n in names]
    made += [node_device(Topics(p), "homeassistant", n, "main", version="1").topic for p in prefixes for n in names]
    assert len(set(made)) == len(made)
