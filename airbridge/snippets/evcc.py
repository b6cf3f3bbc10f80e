"""Makes a meter of type custom for evcc.yaml. Source of the rules: evcc's docs, plugins and meters; plugin/mqtt.go."""

import json

from airbridge.snippets.place import PASSWORD, Address

_EVCC_HEAD = """\
# evcc.yaml. Every source has a timeout: without one evcc takes values of any age.
# Power is in W and positive when it comes from the grid, currents are signed like it, energy is in kWh.
# Is evcc set up in its web page? Then put the table mqtt into Configuration, MQTT, and what stands below "type: custom"
# into a user-defined grid meter there.
"""


def render_evcc(place: Address) -> str:
    """The settings."""
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
