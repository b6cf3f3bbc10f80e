"""evcc.yaml: a meter of type custom. Source of the rules: evcc's docs, plugins and meters; plugin/mqtt.go."""

import json

from airbridge.snippets.place import ENERGY_TIMEOUT, LIVE_TIMEOUT, PASSWORD, Place

_HEAD = """\
# evcc.yaml. Every source has a timeout: without one evcc takes values of any age.
# Power is in W and positive when it comes from the grid, currents are signed like it, energy is in kWh.
"""


def render(place: Place) -> str:
    """The settings."""
    lines = [_HEAD + "mqtt:", f"  broker: {json.dumps(place.url('tcp', 'tls') if place.tls else place.address)}"]
    lines.append("  topic: evcc")
    if place.username:
        lines += [f"  user: {json.dumps(place.username)}", f"  password: {PASSWORD}"]
    lines += ["meters:", "  - name: grid", "    type: custom"]
    lines.append(f"    power: {_source(place, 'power', LIVE_TIMEOUT)}")
    lines.append(f"    energy: {_source(place, 'energy_import', ENERGY_TIMEOUT)}")
    lines.append(f"    returnenergy: {_source(place, 'energy_export', ENERGY_TIMEOUT)}")
    for name, key in (("currents", "current"), ("powers", "power"), ("voltages", "voltage")):
        lines.append(f"    {name}:")
        lines += [f"      - {_source(place, f'{key}_l{phase}', LIVE_TIMEOUT)}" for phase in (1, 2, 3)]
    lines += ["site:", "  meters:", "    grid: grid"]
    return "\n".join(lines) + "\n"


def _source(place: Place, key: str, timeout: int) -> str:
    return f"{{ source: mqtt, topic: {json.dumps(place.value(key))}, timeout: {timeout}s }}"
