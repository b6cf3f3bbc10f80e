"""What Home Assistant is told so that the devices appear by themselves: MQTT device discovery.

One retained message a device on `<discovery prefix>/device/<object id>/config`, sent again on Home Assistant's
birth message. The rules (homeassistant/components/mqtt/schemas.py, energy/validate.py): a device has identifiers, the
message an origin with a name, each component a platform and a unique_id; ids are [a-zA-Z0-9_-]; an energy sensor that
the dashboard takes has device_class energy and state_class total_increasing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ksem_contract.message_json import JsonObject, write_object
from ksem_contract.topics import Topics
from ksem_contract.value_keys import VALUE_KEYS, ValueKey

LIVE_EXPIRES: Final = 15
"""Seconds after which a live value that was not renewed is unavailable; they come once a second."""
ENERGY_EXPIRES: Final = 4000
"""As amsreader does it: counters that stand still overnight stay in the energy dashboard."""

# unit -> device class, state class. kWh counters that only grow are what the energy dashboard takes.
_CLASSES: Final[Mapping[str, tuple[str | None, str]]] = {
    "W": ("power", "measurement"),
    "var": ("reactive_power", "measurement"),
    "VA": ("apparent_power", "measurement"),
    "A": ("current", "measurement"),
    "V": ("voltage", "measurement"),
    "Hz": ("frequency", "measurement"),
    "kWh": ("energy", "total_increasing"),
}
_ENABLED_BY_DEFAULT: Final = frozenset(
    {"power", "frequency", "energy_import", "energy_export"}
    | {f"{quantity}_l{phase}" for quantity in ("power", "current", "voltage") for phase in (1, 2, 3)}
)

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


@dataclass(frozen=True, slots=True)
class Discovery:
    """One device's message: where it goes and what it says. An empty payload removes the device."""

    topic: str
    payload: bytes


def birth_topic(prefix: str) -> str:
    """Return the topic on which Home Assistant says `online` when it starts."""
    return f"{prefix}/status"


def meter_device(
    topics: Topics, discovery_prefix: str, meter: str, *, version: str, texts: Mapping[str, str] | None = None
) -> Discovery:
    """Return the meter's device. `texts`: what is known of vendor_name, product_name, firmware_version."""
    known = texts or {}
    ident = _ident(topics.prefix, meter)
    components: JsonObject = {key.key: _value(topics, meter, ident, key) for key in VALUE_KEYS if key.block != "device"}
    components["data"] = _binary(ident, "data", "Live data", topics.meter_status(meter))
    health = topics.meter_health(meter)
    components |= {
        "why": _text(ident, "why", "State", health, "{{ (value_json.state ~ ' ' ~ value_json.why)[:255] }}"),
        "live_age": _number(ident, "live_age", "Age of live data", health, "blocks.live.age_ms", "ms", "duration"),
        "push_period": _number(ident, "push_period", "Push period", health, "push.period_ms", "ms", "duration"),
        "poll_errors": _number(ident, "poll_errors", "Poll errors", health, "poll.errors", None, None, total=True),
    }
    device: JsonObject = {
        "identifiers": [ident],
        "name": f"KSEM {meter}",
        "manufacturer": known.get("vendor_name") or "KOSTAL Solar Electric GmbH",
        "model": known.get("product_name") or "KOSTAL Smart Energy Meter",
    }
    if known.get("firmware_version"):
        device["sw_version"] = known["firmware_version"]
    return _message(discovery_prefix, ident, device, components, version)


def node_device(topics: Topics, discovery_prefix: str, node: str, meter: str, *, version: str) -> Discovery:
    """Return the RTU server's device, which hangs on its meter's."""
    ident = _ident(topics.prefix, "rtu", node)
    health = topics.node_health(node)
    first = "units[0]."
    components: JsonObject = {
        "served": _binary(ident, "served", "Inverter gets data", topics.node_status(node)),
        "why": _text(ident, "why", "State", health, "{{ (value_json.state ~ ' ' ~ value_json.why)[:255] }}"),
        "turnaround": _number(ident, "turnaround", "Turnaround", health, f"{first}turnaround_ms.p50", "ms", "duration"),
        "age": _number(ident, "age", "Age at the inverter", health, f"{first}age_ms.p50", "ms", "duration"),
        "requests": _number(ident, "requests", "Requests", health, f"{first}requests", None, None, total=True),
    }
    device: JsonObject = {
        "identifiers": [ident],
        "name": f"AirBridge RTU server {node}",
        "manufacturer": "KSEM AirBridge",
        "model": "RTU server",
        "sw_version": version,
        "via_device": _ident(topics.prefix, meter),
    }
    return _message(discovery_prefix, ident, device, components, version)


def removal(discovery: Discovery) -> Discovery:
    """Return what takes the device away again."""
    return Discovery(discovery.topic, b"")


def _ident(*names: str) -> str:
    """Return an id that no other names have: `_` stands between them and never in one."""
    return "_".join(["airbridge", *("".join(map(_plain, name)) for name in names)])


def _plain(letter: str) -> str:
    """A letter as an id may hold it; X, which is none of these letters, begins and ends a code of another one."""
    return letter if letter in _PLAIN else f"X{ord(letter):x}X"


def _message(discovery_prefix: str, ident: str, device: JsonObject, components: JsonObject, version: str) -> Discovery:
    found: JsonObject = {
        "device": device,
        "origin": {"name": "KSEM AirBridge", "sw_version": version},
        "components": components,
        "qos": 0,
    }
    return Discovery(f"{discovery_prefix}/device/{ident}/config", write_object(found))


def _value(topics: Topics, meter: str, ident: str, key: ValueKey) -> JsonObject:
    device_class, state_class = _CLASSES.get(key.unit, ("power_factor", "measurement"))
    found: JsonObject = {
        "platform": "sensor",
        "unique_id": f"{ident}_{key.key}",
        "name": key.name,
        "state_topic": topics.meter_value(meter, key.key),
        "device_class": device_class,
        "state_class": state_class,
        "suggested_display_precision": min(key.decimals, 2),
        "expire_after": LIVE_EXPIRES if key.block == "live" else ENERGY_EXPIRES,
    }
    if key.unit:
        found["unit_of_measurement"] = key.unit
    if key.block == "live":  # a counter stays valid while live data is gone
        found["availability_topic"] = topics.meter_status(meter)
    if key.key not in _ENABLED_BY_DEFAULT:
        found["enabled_by_default"] = False
    return found


def _binary(ident: str, key: str, name: str, topic: str) -> JsonObject:
    return {
        "platform": "binary_sensor",
        "unique_id": f"{ident}_{key}",
        "name": name,
        "state_topic": topic,
        "payload_on": "online",
        "payload_off": "offline",
        "device_class": "connectivity",
        "entity_category": "diagnostic",
    }


def _text(ident: str, key: str, name: str, topic: str, template: str) -> JsonObject:
    return {
        "platform": "sensor",
        "unique_id": f"{ident}_{key}",
        "name": name,
        "state_topic": topic,
        "value_template": template,
        "entity_category": "diagnostic",
    }


def _number(
    ident: str,
    key: str,
    name: str,
    topic: str,
    path: str,
    unit: str | None,
    device_class: str | None,
    *,
    total: bool = False,
) -> JsonObject:
    found: JsonObject = {
        "platform": "sensor",
        "unique_id": f"{ident}_{key}",
        "name": name,
        "state_topic": topic,
        # A number that is not known yet makes the state unknown, not 0.
        "value_template": "{{ value_json." + path + " if value_json." + path + " is not none else 'None' }}",
        "state_class": "total_increasing" if total else "measurement",
        "entity_category": "diagnostic",
        "expire_after": 60,
    }
    if unit:
        found["unit_of_measurement"] = unit
    if device_class:
        found["device_class"] = device_class
    return found
