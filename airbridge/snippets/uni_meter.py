"""uni-meter.conf: an input of type mqtt. Source: uni-meter's doc/input/Mqtt.md."""

import json

from airbridge.snippets.place import PASSWORD, Place

_CHANNELS = (
    *((f"power-l{phase}", f"power_l{phase}") for phase in (1, 2, 3)),
    *((f"energy-consumption-l{phase}", f"energy_import_l{phase}") for phase in (1, 2, 3)),
    *((f"energy-production-l{phase}", f"energy_export_l{phase}") for phase in (1, 2, 3)),
)


def render(place: Place) -> str:
    """The settings: every channel out of one JSON, so that all are of one measuring cycle."""
    lines = [
        "# /etc/uni-meter.conf. All channels come from one message, so they belong to one measuring cycle.",
        "uni-meter {",
        '  input = "uni-meter.input-devices.mqtt"',
        "  input-devices {",
        "    mqtt {",
        f"      url = {json.dumps(place.url('tcp', 'ssl'))}",
    ]
    if place.username:
        lines += [f"      username = {json.dumps(place.username)}", f'      password = "{PASSWORD}"']
    lines += ['      power-phase-mode = "tri-phase"', '      energy-phase-mode = "tri-phase"', "      channels = ["]
    for channel, key in _CHANNELS:
        where = f'type = "json", topic = {json.dumps(place.values)}, json-path = "$.{key}"'
        lines.append(f'        {{ {where}, channel = "{channel}" }}')
    return "\n".join([*lines, "      ]", "    }", "  }", "}"]) + "\n"
