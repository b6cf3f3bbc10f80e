"""Makes an input of type mqtt for uni-meter.conf. Source: uni-meter's doc/input/Mqtt.md and doc/output/Common.md."""

import json

from airbridge.snippets.place import LIVE_TIMEOUT, PASSWORD, Address

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
    """The settings: every channel out of one JSON, so that all are of one measuring cycle."""
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
