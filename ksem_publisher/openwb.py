"""What openWB 2 is told about a counter: its device of type MQTT.

Keys, units and limits: openWB's packages/modules/devices/generic/mqtt and helpermodules/setdata.py. It drops a value of
a wrong type or outside its limits with a line in its log, so such a value is not sent. It knows no age: a value that
is missing is left out here, and while the meter's data is old nothing is sent at all.
"""

import json
from collections.abc import Mapping
from typing import Final

PREFIX: Final = "openWB/set/mqtt/counter"

# openWB's key -> ours, and the limits that openWB checks.
_PHASED: Final = {
    "powers": ("power", None),
    "currents": ("current", None),
    "voltages": ("voltage", (0.0, 500.0)),
    "power_factors": ("power_factor", (-1.0, 1.0)),
}
_WH: Final = {"imported": "energy_import", "exported": "energy_export"}


def counter_messages(counter: int, values: Mapping[str, float]) -> list[tuple[str, bytes]]:
    """Topics and payloads for openWB's counter of this id. `values`: by our keys, energy in kWh."""
    found: dict[str, object] = {}
    for key in ("power", "frequency"):
        if key in values:
            found[key] = values[key]
    for key, (ours, limits) in _PHASED.items():
        phases = [values[name] for name in (f"{ours}_l{phase}" for phase in (1, 2, 3)) if name in values]
        if len(phases) == 3 and (limits is None or all(limits[0] <= value <= limits[1] for value in phases)):
            found[key] = phases
    for key, ours in _WH.items():
        if ours in values:
            found[key] = round(values[ours] * 1000, 1)  # openWB counts Wh
    return [(f"{PREFIX}/{counter}/get/{key}", json.dumps(value).encode()) for key, value in found.items()]
