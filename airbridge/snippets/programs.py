"""Makes the settings of each program that reads the values: one function a program, whose docstring names the source.

What all need, where the values are and how long to trust one, stands in `place`.
"""

import json
from typing import Any

from airbridge.snippets.place import LIVE_TIMEOUT, PASSWORD, Address
from ksem_contract.home_assistant import meter_device
from service_runtime.setting import toml_word
from service_runtime.version import VERSION

_EVCC_HEAD = """\
# evcc.yaml. Every source has a timeout: without one evcc takes values of any age.
# Power is in W and positive when it comes from the grid, currents are signed like it, energy is in kWh.
# Is evcc set up in its web page? Then put the table mqtt into Configuration, MQTT, and what stands below "type: custom"
# into a user-defined grid meter there.
"""


def render_evcc(place: Address) -> str:
    """A meter of type custom for evcc.yaml. Source: evcc's docs, plugins and meters; plugin/mqtt.go."""
    lines = [_EVCC_HEAD + "\n".join(place.login_notes()), "mqtt:"]
    lines.append(f"  broker: {json.dumps(place.url('tcp', 'tls') if place.tls else place.address)}")
    lines.append('  topic: ""  # empty: evcc publishes nothing itself; the login reader may only read')
    if place.username:
        lines += [f"  user: {json.dumps(place.username)}", f"  password: {PASSWORD}"]
    if place.tls:
        for key, name in (("caCert", "ca.pem"), ("clientCert", "cert.pem"), ("clientKey", "key.pem")):
            lines += [f"  {key}: |", f"    the text of {place.file(name)}, each line indented like this one"]
    lines += ["meters:", "  - name: grid", "    type: custom"]
    lines.append(f"    power: {_evcc_source(place, 'power', place.live_timeout)}")
    lines.append(f"    energy: {_evcc_source(place, 'energy_import', place.energy_timeout)}")
    lines.append(f"    returnenergy: {_evcc_source(place, 'energy_export', place.energy_timeout)}")
    for name, key in (("currents", "current"), ("powers", "power"), ("voltages", "voltage")):
        lines.append(f"    {name}:")
        lines += [f"      - {_evcc_source(place, f'{key}_l{phase}', place.live_timeout)}" for phase in (1, 2, 3)]
    lines += ["site:", "  meters:", "    grid: grid"]
    return "\n".join(lines) + "\n"


def _evcc_source(place: Address, key: str, timeout: int) -> str:
    return f"{{ source: mqtt, topic: {json.dumps(place.value(key))}, timeout: {timeout}s }}"


_OPENWB = """\
# publisher.toml. In openWB: add a device "MQTT" with a counter component; openWB shows the counter's id.
# openWB does not look at a value's age: when the meter's data stops, the last value stays there. Where that matters,
# use openWB's own module for the KSEM with the Modbus TCP server of rtu-server instead (docs/modbus-tcp.md).
[openwb]
[[openwb.counter]]
meter = {meter}
id = {counter}

# The publisher writes to the broker of its [mqtt] table. openWB has a broker of its own: let mosquitto carry it there,
# /etc/mosquitto/conf.d/openwb.conf:
#   connection openwb
#   address OPENWB:1883
#   topic openWB/set/mqtt/counter/{counter}/get/# out 0
#   # Is openWB's user management on? Then its broker takes logins alone, encrypted on port 8883: make a user in openWB
#   # that may write the counter's topics, and instead of the line `address` above:
#   #   address OPENWB:8883
#   #   bridge_cafile /etc/ssl/certs/ca-certificates.crt     (or the CA that signed openWB's certificate)
#   #   remote_username USER
#   #   remote_password PASSWORD
# and, where the broker has an ACL, allow it to the publisher:
#   topic write openWB/set/mqtt/counter/#
"""


def render_openwb(place: Address, counter: int) -> str:
    """Settings of openWB 2: the publisher's own table, and the bridge to openWB's broker.

    Source: openWB's packages/modules/devices/generic/mqtt.
    """
    return _OPENWB.format(meter=toml_word(place.meter), counter=counter)


_HOME_ASSISTANT_HEAD = """\
# configuration.yaml. Not needed where discovery works, which is the default: the same sensors appear by themselves.
# The ids are those of discovery, so that a change to it keeps the history.
# The broker itself is set in Home Assistant's page: Settings, Devices & services, MQTT:
#   broker {broker}, port {port}{login}
"""


def render_home_assistant(place: Address) -> str:
    """configuration.yaml without discovery: the sensors that discovery would make. JSON texts are YAML, too."""
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


_UNI_METER_STORES = (
    "# uni-meter has no settings for certificates; Java takes them from two stores. Make them of the three files:",
    "#   keytool -importcert -noprompt -alias airbridge -file ca.pem -keystore ca.p12 -storepass changeit",
    "#   openssl pkcs12 -export -in cert.pem -inkey key.pem -out login.p12 -passout pass:changeit",
    "# and start it with",
    "#   JAVA_TOOL_OPTIONS='-Djavax.net.ssl.trustStore=ca.p12 -Djavax.net.ssl.trustStorePassword=changeit",
    "#     -Djavax.net.ssl.keyStore=login.p12 -Djavax.net.ssl.keyStorePassword=changeit'   (all in one line)",
)
_UNI_METER_CHANNELS = (
    *((f"power-l{phase}", f"power_l{phase}") for phase in (1, 2, 3)),
    *((f"energy-consumption-l{phase}", f"energy_import_l{phase}") for phase in (1, 2, 3)),
    *((f"energy-production-l{phase}", f"energy_export_l{phase}") for phase in (1, 2, 3)),
)


def render_uni_meter(place: Address) -> str:
    """An input of type mqtt for uni-meter.conf: every channel out of one JSON, so that all are of one measuring cycle.

    Source: uni-meter's doc/input/Mqtt.md and doc/output/Common.md.
    """
    lines = [
        "# /etc/uni-meter.conf. All channels come from one message, so they belong to one measuring cycle.",
        *place.login_notes(),
        *(_UNI_METER_STORES if place.tls else ()),
        "uni-meter {",
        '  output = "uni-meter.output-devices.shelly-pro3em"',
        "  # Without it values would be given on for a minute after the last one came.",
        f"  output-devices {{ shelly-pro3em {{ forget-interval = {LIVE_TIMEOUT}s }} }}",
        '  input = "uni-meter.input-devices.mqtt"',
        "  input-devices {",
        "    mqtt {",
        f"      url = {json.dumps(place.url('tcp', 'ssl'))}",
    ]
    if place.username:
        lines += [f"      username = {json.dumps(place.username)}", f'      password = "{PASSWORD}"']
    lines += ['      power-phase-mode = "tri-phase"', '      energy-phase-mode = "tri-phase"', "      channels = ["]
    for channel, key in _UNI_METER_CHANNELS:
        where = f'type = "json", topic = {json.dumps(place.values)}, json-path = "$.{key}"'
        lines.append(f'        {{ {where}, channel = "{channel}" }}')
    return "\n".join([*lines, "      ]", "    }", "  }", "}"]) + "\n"


def render_telegraf(place: Address) -> str:
    """An MQTT consumer for telegraf.conf: one point for each measuring cycle, at the time the meter was read.

    Source: Telegraf's docs, inputs/mqtt_consumer and parsers/json.
    """
    lines = [
        "# telegraf.conf. One point for each measuring cycle; topics that stop leave a gap, never a repeated value.",
        *place.login_notes(),
        "[[inputs.mqtt_consumer]]",
        f"  servers = [{toml_word(place.url('tcp', 'ssl'))}]",
        f"  topics = [{toml_word(place.values)}]",
        "  qos = 0",
    ]
    if place.username:
        lines += [f"  username = {toml_word(place.username)}", f'  password = "{PASSWORD}"']
    if place.tls:
        files = (("tls_ca", "ca.pem"), ("tls_cert", "cert.pem"), ("tls_key", "key.pem"))
        lines += [f'  {key} = "/etc/telegraf/{name}"' for key, name in files]
    lines += [
        '  topic_tag = ""',
        '  name_override = "ksem"',
        '  data_format = "json"',
        '  json_time_key = "time"',
        '  json_time_format = "2006-01-02T15:04:05.000Z07:00"',
        "  [inputs.mqtt_consumer.tags]",
        f"    meter = {toml_word(place.meter)}",
    ]
    return "\n".join(lines) + "\n"


def render_node_red(place: Address) -> str:
    """A Node-RED flow to import, as JSON: all values as an object, and a warning when they stop.

    Node-RED imports no logins: a comment in the flow has what to type in.
    """
    notes = [f"In the node of the broker, Security: user {place.username}."] if place.username else []
    if place.tls:
        notes.append("The TLS node reads its files under /data: correct the paths to where you put them.")
    notes += place.login_notes("")
    flow = "airbridge-flow"
    broker: dict[str, Any] = {
        "id": "airbridge-broker",
        "type": "mqtt-broker",
        "name": "KSEM AirBridge",
        "broker": place.broker,
        "port": str(place.port),
        "usetls": place.tls,
        "protocolVersion": "4",
        "cleansession": True,
        "keepalive": "60",
    }
    secure = {
        "id": "airbridge-tls",
        "type": "tls-config",
        "name": "KSEM AirBridge",
        "ca": "/data/ca.pem",
        "cert": "/data/cert.pem",
        "key": "/data/key.pem",
        "verifyservercert": True,
    }
    if place.tls:
        broker["tls"] = secure["id"]
    comment = {
        "id": "airbridge-login",
        "type": "comment",
        "z": flow,
        "name": "How to log in",
        "info": "\n\n".join(notes),
        "x": 140,
        "y": 20,
        "wires": [],
    }
    stopped = {
        "id": "airbridge-stopped",
        "type": "trigger",
        "z": flow,
        "name": f"nothing for {LIVE_TIMEOUT} s",
        "op1": "",
        "op1type": "nul",
        "op2": "stopped",
        "op2type": "str",
        "duration": str(LIVE_TIMEOUT),
        "units": "s",
        "extend": True,
        "x": 380,
        "y": 140,
        "wires": [["airbridge-show"]],
    }
    show = {"id": "airbridge-show", "type": "debug", "z": flow, "name": "meter", "x": 580, "y": 100, "wires": []}
    nodes: list[dict[str, Any]] = [
        {"id": flow, "type": "tab", "label": f"KSEM {place.meter}"},
        broker,
        *([secure] if place.tls else []),
        comment,
        _node_red_listener(flow, "airbridge-values", "all values", place.values, "json", 80, ["airbridge-stopped"]),
        _node_red_listener(flow, "airbridge-status", "live data", place.status, "utf8", 200, []),
        stopped,
        show,
    ]
    return json.dumps(nodes, indent=2) + "\n"


def _node_red_listener(
    flow: str, ident: str, name: str, topic: str, datatype: str, height: int, more: list[str]
) -> dict[str, Any]:
    return {
        "id": ident,
        "type": "mqtt in",
        "z": flow,
        "name": name,
        "topic": topic,
        "qos": "0",
        "datatype": datatype,
        "broker": "airbridge-broker",
        "x": 140,
        "y": height,
        "wires": [["airbridge-show", *more]],
    }
