"""Home Assistant's MQTT device discovery: the messages that make the devices appear by themselves [core].

One retained message a device on `<discovery prefix>/device/<role>/<object id>/config` (a level of its own for
each role, so that a login can replace no other device), sent again on Home Assistant's
birth message. The rules (homeassistant/components/mqtt/schemas.py, energy/validate.py): a device has identifiers, the
message an origin with a name, each component a platform and a unique_id; ids are [a-zA-Z0-9_-]; an energy sensor that
the dashboard takes has device_class energy and state_class total_increasing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ksem_contract.message_fields import JsonObject, write_object
from ksem_contract.topics import Topics
from ksem_contract.values import VALUE_KEYS, ValueKey

LIVE_EXPIRES: Final = 15
"""Seconds after which a live value that was not renewed is unavailable; it is published once a second."""
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

HEALTH_EXPIRES: Final = 60
"""Seconds after which a value from health is unavailable; health is published every 10 seconds."""
_REASONS: Final = "{{ {'reasons': value_json.get('reasons', [])} | tojson }}"
"""Attributes of the state, for automations: they compare `code` of each."""
_STATE_AND_WHY: Final = "{{ (value_json.state ~ ' ' ~ value_json.why)[:255] }}"


@dataclass(frozen=True, slots=True)
class Discovery:
    """One device's message: its topic and payload. An empty payload removes the device."""

    topic: str
    payload: bytes


def birth_topic(prefix: str) -> str:
    """Return the topic on which Home Assistant publishes `online` when it starts."""
    return f"{prefix}/status"


def meter_device(
    topics: Topics,
    discovery_prefix: str,
    meter: str,
    *,
    version: str,
    texts: Mapping[str, str] | None = None,
    values: bool = True,
    interval: float = 1.0,
) -> Discovery:
    """Return the meter's device. `texts`: what is known of vendor_name, product_name, firmware_version.

    `values`, `interval`: the settings [values] enabled, interval; no sensors for values that are not published.
    """
    known = texts or {}
    ident = _ident(topics.prefix, meter)
    published = [key for key in VALUE_KEYS if values and key.block != "device"]
    components: JsonObject = {key.key: _value(topics, meter, ident, key, interval) for key in published}
    components["data"] = _binary(ident, "data", "Live data", topics.meter_status(meter))
    health = topics.meter_health(meter)
    components |= {
        "why": _text(ident, "why", "State", health, _STATE_AND_WHY),
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
    return _message(f"{discovery_prefix}/device/ksem_publisher", ident, device, components, version)


def node_device(topics: Topics, discovery_prefix: str, node: str, meter: str, *, version: str) -> Discovery:
    """Return the RTU server's device, which belongs to its meter's."""
    ident = _ident(topics.prefix, "rtu", node)
    health = topics.node_health(node)
    first = "units[0]."
    components: JsonObject = {
        "served": _binary(ident, "served", "Inverter gets data", topics.node_status(node)),
        "why": _text(ident, "why", "State", health, _STATE_AND_WHY),
        "turnaround": _number(ident, "turnaround", "Turnaround", health, f"{first}turnaround_ms.p50", "ms", "duration"),
        "age": _number(ident, "age", "Age at the inverter", health, f"{first}age_ms.p50", "ms", "duration"),
        "requests": _number(ident, "requests", "Requests", health, f"{first}requests", None, None, total=True),
        "no_data": _number(
            ident, "no_data", "Without data today", health, "no_data.today.seconds", "s", "duration", total=True
        ),
    }
    device: JsonObject = {
        "identifiers": [ident],
        "name": f"AirBridge RTU server {node}",
        "manufacturer": "KSEM AirBridge",
        "model": "RTU server",
        "sw_version": version,
        "via_device": _ident(topics.prefix, meter),
    }
    return _message(f"{discovery_prefix}/device/ksem_rtu", ident, device, components, version)


def inverter_device(topics: Topics, discovery_prefix: str, inverter: str, meter: str, *, version: str) -> Discovery:
    """Return the inverter's device: what it believes of its meter. It belongs to the meter's."""
    ident = _ident(topics.prefix, "inverter", inverter)
    health, values = topics.inverter_health(inverter), topics.inverter_values(inverter)
    power = _number(ident, "believed_power", "Believed power", values, "power", "W", "power")
    del power["entity_category"]
    components: JsonObject = {
        "read": _binary(ident, "read", "Inverter is read", topics.inverter_status(inverter)),
        "why": _text(ident, "why", "State", health, _STATE_AND_WHY),
        "believed_power": power | {"expire_after": LIVE_EXPIRES},
        "delay": _number(ident, "delay", "Behind the meter", health, "delay.p50_ms", "ms", "duration"),
        "power_limit": _number(ident, "power_limit", "Grid operator's limit", values, "power_limit", "%", None),
    }
    device: JsonObject = {
        "identifiers": [ident],
        "name": f"Inverter {inverter}",
        "manufacturer": "KOSTAL Solar Electric GmbH",
        "model": "PLENTICORE",
        "via_device": _ident(topics.prefix, meter),
    }
    return _message(f"{discovery_prefix}/device/ksem_inverter", ident, device, components, version)


def removal(discovery: Discovery) -> Discovery:
    """Return the message that removes the device."""
    return Discovery(discovery.topic, b"")


def _ident(prefix: str, *names: str) -> str:
    """Return an id in [a-zA-Z0-9_]; different devices never share one: `_` separates, all else in a name is escaped.

    The escape is `-` and the letter's number in hexadecimal, which ends at the next `-`.
    """
    return "_".join(("airbridge", *map(_escaped, (prefix, *names))))


def _escaped(name: str) -> str:
    return "".join(one if one.isascii() and one.isalnum() else f"-{ord(one):x}-" for one in name)


def _number_template(path: str) -> str:
    """Return a template that is unknown (`None`), not 0 and no error, while any part of `path` is missing or null."""
    *parents, last = path.split(".")
    value = "value_json"
    for part in parents:
        name, first, _ = part.partition("[0]")
        value = f"({value}.get('{name}') or [{{}}])[0]" if first else f"({value}.get('{name}') or {{}})"
    return f"{{{{ {value}.get('{last}') }}}}"


def _message(level: str, ident: str, device: JsonObject, components: JsonObject, version: str) -> Discovery:
    found: JsonObject = {
        "device": device,
        "origin": {"name": "KSEM AirBridge", "sw_version": version},
        "components": components,
        "qos": 0,
    }
    return Discovery(f"{level}/{ident}/config", write_object(found))


def _value(topics: Topics, meter: str, ident: str, key: ValueKey, interval: float) -> JsonObject:
    device_class, state_class = _CLASSES.get(key.unit, ("power_factor", "measurement"))
    found: JsonObject = {
        "platform": "sensor",
        "unique_id": f"{ident}_{key.key}",
        "name": key.name,
        "state_topic": topics.meter_value(meter, key.key),
        "device_class": device_class,
        "state_class": state_class,
        "suggested_display_precision": min(key.decimals, 2),
        "expire_after": max(LIVE_EXPIRES if key.block == "live" else ENERGY_EXPIRES, math.ceil(3 * interval)),
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
        "json_attributes_topic": topic,
        "json_attributes_template": _REASONS,
        "entity_category": "diagnostic",
        "expire_after": HEALTH_EXPIRES,
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
        "value_template": _number_template(path),
        "state_class": "total_increasing" if total else "measurement",
        "entity_category": "diagnostic",
        "expire_after": HEALTH_EXPIRES,
    }
    if unit:
        found["unit_of_measurement"] = unit
    if device_class:
        found["device_class"] = device_class
    return found
