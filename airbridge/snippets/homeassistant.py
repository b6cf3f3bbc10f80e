"""Makes configuration.yaml for a Home Assistant without discovery: the sensors that discovery would make."""

import json
from typing import Any

from airbridge.snippets.place import Address
from ksem_contract.home_assistant import meter_device
from service_runtime.version import VERSION

_HOME_ASSISTANT_HEAD = """\
# configuration.yaml. Not needed where discovery works, which is the default: the same sensors appear by themselves.
# The ids are those of discovery, so that a change to it keeps the history.
# The broker itself is set in Home Assistant's page: Settings, Devices & services, MQTT:
#   broker {broker}, port {port}{login}
"""


def render_home_assistant(place: Address) -> str:
    """The settings. JSON texts are YAML, too."""
    message: dict[str, Any] = json.loads(
        meter_device(place.topics, "homeassistant", place.meter, version=VERSION, interval=place.interval).payload
    )
    device = {key: message["device"][key] for key in ("identifiers", "name", "manufacturer", "model")}
    login = f", user {place.username}" if place.username else ""
    login += '; advanced options: "Use a client certificate", and the CA by "Upload"' if place.tls else ""
    parts = [_HOME_ASSISTANT_HEAD.format(broker=place.broker, port=place.port, login=login)]
    parts += [f"{note}\n" for note in place.login_notes()]
    parts.append("mqtt:\n  sensor:\n")
    for component in message["components"].values():
        if component["platform"] != "sensor":
            continue
        fields = {key: value for key, value in component.items() if key not in {"platform", "availability_topic"}}
        if "availability_topic" in component:
            fields["availability"] = [{"topic": component["availability_topic"]}]
        lines = [f"{key}: {json.dumps(value)}" for key, value in {**fields, "device": device}.items()]
        parts.append("    - " + "\n      ".join(lines) + "\n")
    return "".join(parts)
