"""Publishes decoded values: one JSON message a cycle, a plain number per key at a chosen pace, openWB's topics [core].

openWB 2, device of type MQTT: keys, units and limits are those of its packages/modules/devices/generic/mqtt and
helpermodules/setdata.py. openWB drops a value of a wrong type or outside its limits and logs that, so such a value is
not sent. It knows no age: a missing value is left out, and while the meter's data is old nothing is sent at all.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ksem_contract.freshness import block_stamp
from ksem_contract.topics import Topics
from ksem_contract.values import VALUE_KEYS, decode_device, decode_energy, decode_live, format_value
from ksem_contract.values_message import CounterGuard, ValuesWriter, Withheld
from ksem_publisher.block_publisher import Message, PublishTogether
from ksem_publisher.snapshot import Registers
from service_runtime.clock import boottime, wall_time

_KEYS: Final = {key.key: key for key in VALUE_KEYS}
COUNTERS_FOR: Final = 60.0
"""Seconds for which counters stand beside the live values; what is older is left out."""


class ValuePublisher:
    """Values of one meter. Live ones are not retained: when they are old they simply stop."""

    def __init__(
        self,
        meter: str,
        topics: Topics,
        publish: PublishTogether,
        interval: float,
        clock: Callable[[], float] = boottime,
        openwb: Sequence[int] = (),
    ) -> None:
        """`openwb`: ids of openWB's counters that show this meter."""
        self._openwb = openwb
        self._topic = topics.meter_values(meter)
        self._topic_of = {key: topics.meter_value(meter, key) for key in _KEYS}
        self._publish = publish
        self._interval = interval
        self._clock = clock
        self._live_due = float("-inf")
        self._writer = ValuesWriter()
        self._guard = CounterGuard()
        self._kept: dict[str, float] = {}
        self._counters: tuple[Mapping[str, float], float] = ({}, float("-inf"))

    def live(self, registers: Registers, measured: float) -> list[Message]:
        """The messages to publish for a measuring cycle."""
        now = self._clock()
        values = decode_live(registers)
        counters, counted = self._counters
        everything = {**values, **counters} if now - counted <= COUNTERS_FOR else values
        age_ms = block_stamp(now, measured)[1]
        messages: list[Message] = [
            (self._topic, self._writer.write(time=wall_time(), age_ms=age_ms, values=everything), False, None)
        ]
        # Cycles are never quite on time: what is due within half of the shortest one goes with this one.
        if now >= self._live_due - 0.05:
            in_pace = now - self._live_due < self._interval
            self._live_due = (self._live_due if in_pace else now) + self._interval
            messages += self._each(values)
            for counter in self._openwb:
                messages += [(topic, payload, False, None) for topic, payload in counter_messages(counter, everything)]
        return messages

    def energy(self, registers: Registers, measured: float, now: float) -> tuple[Withheld, ...]:
        """Counters were read; those withheld are returned."""
        counters, withheld = self._guard.check(decode_energy(registers), now)
        self._counters = (counters, measured)
        self._kept.update(counters)
        # Unchanged ones, too: a reader sees by its time-out whether a counter stands still or is no longer read.
        self._publish(self._each(counters))
        return withheld

    def forget_counters(self) -> None:
        """Another meter has replaced the last one: its counters start over."""
        self._guard = CounterGuard()
        self._counters = ({}, float("-inf"))

    def device(self, registers: Registers) -> None:
        """The device was read."""
        values = decode_device(registers)
        changed = {key: value for key, value in values.items() if self._kept.get(key) != value}
        self._kept.update(changed)
        self._publish(self._each(changed))

    def republish(self) -> None:
        """Publish the retained values again: the connection is new."""
        self._publish(self._each(dict(self._kept)))  # another thread may be reading counters meanwhile

    def _each(self, values: Mapping[str, float]) -> list[Message]:
        return [
            (self._topic_of[name], format_value(value, _KEYS[name].decimals).encode(), _KEYS[name].retained, None)
            for name, value in values.items()
        ]


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
