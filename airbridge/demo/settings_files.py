"""Makes the settings files of the demo's services [core]."""

import json
from pathlib import Path

from airbridge.demo.options import Address
from service_runtime.common_settings import MqttSettings

METER = "main"
NODE = "demo"
LINE = "rs485"


def publisher_toml(meter: Address, push: Address, mqtt: MqttSettings) -> str:
    """publisher.toml: where the meter is, and where it may push to."""
    return f"""\
[[meter]]
id = {_text(METER)}
host = {_text(meter.host)}
port = {meter.port}

[push]
listen = {_text(push.host)}
port = {push.port}

{_common(mqtt)}"""


def rtu_server_toml(port: str, mqtt: MqttSettings, *, low_latency: bool = True) -> str:
    """rtu-server.toml: one line, one unit. A pty knows no `low_latency`."""
    return f"""\
[node]
name = {_text(NODE)}

[[line]]
name = {_text(LINE)}
port = {_text(port)}
low_latency = {str(low_latency).lower()}

  [[line.unit]]
  id = 1
  meter = {_text(METER)}

{_common(mqtt)}"""


def inverter_reader_toml(inverter: Address, mqtt: MqttSettings) -> str:
    """inverter-reader.toml: where the simulated inverter shows what it believes."""
    return f"""\
[[inverter]]
host = {_text(inverter.host)}
port = {inverter.port}
meter = {_text(METER)}

{_common(mqtt)}"""


def mqtt_settings(broker: Address, *, prefix: str, username: str | None, password_file: Path | None) -> MqttSettings:
    """How everything in the demo reaches the broker. ValueError or OSError for settings that can't be."""
    password = password_file.read_text(encoding="utf-8").rstrip("\n") if password_file else None
    return MqttSettings(
        host=broker.host,
        port=broker.port,
        username=username,
        password=password,
        password_file=password_file,
        prefix=prefix,
    )


def _common(mqtt: MqttSettings) -> str:
    lines = ["[mqtt]", f"host = {_text(mqtt.host)}", f"port = {mqtt.port}", f"prefix = {_text(mqtt.prefix)}"]
    if mqtt.username is not None:
        lines.append(f"username = {_text(mqtt.username)}")
    if mqtt.password_file is not None:
        lines.append(f"password_file = {_text(str(mqtt.password_file.absolute()))}")
    # A demo is no device that should stay in somebody's Home Assistant.
    return "\n".join([*lines, "", "[homeassistant]", "discovery = false", ""])


def _text(value: str) -> str:
    return json.dumps(value)  # a TOML basic string has JSON's escapes
