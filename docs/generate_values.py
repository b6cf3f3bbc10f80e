"""Writes docs/values.md from the table of values in ksem_contract: `python docs/generate_values.py`."""

from pathlib import Path

from ksem_contract.registers import Register
from ksem_contract.values import VALUE_KEYS, ValueKey

TARGET = Path(__file__).with_name("values.md")

_HEAD = """\
# Values on MQTT

<!-- Written by docs/generate_values.py from shared/ksem_contract/values.py: change it there. -->

Every value is a plain number on `ksem/<meter>/value/<key>`, at most one a second by default. The live ones also stand
together in one flat JSON object on `ksem/<meter>/values`, once each measuring cycle, with `time` and `age_ms` (of the
live ones) and the newest counters (while they were read within 60 s) beside them. `ksem` and the meter's name
are settings.

- Power is positive when it comes from the grid; a current has the sign of its phase's power; apparent power has none.
- A value that is not known is not published: never 0 in its place, never NaN, never an empty message.
- Live values are not retained and simply stop when the meter's data is old: give your reader a time-out.
- Energy and device values are retained. A counter never steps backwards: a lower value is withheld, and shown in
  `health`, until it has reached the last one again. A new serial number starts new counters.

To see them: `mosquitto_sub -v -t 'ksem/+/value/#'`
"""
_SECTIONS = {
    "live": "Live, block `live`, not retained",
    "energy": "Energy, block `energy`, retained",
    "device": "Device, block `device`, retained",
}
_COLUMNS = "| key | name | unit | decimals | registers |\n| --- | --- | --- | --- | --- |\n"
_RECIPES = {
    "plain": "{0}",
    "net": "{0} minus {1}",
    "larger": "the larger of {0} and {1}",
    "signed": "{0}, negative while {1} is below {2}",
}


def render() -> str:
    """The whole page."""
    parts = [_HEAD]
    for block, title in _SECTIONS.items():
        rows = "".join(_row(key) for key in VALUE_KEYS if key.block == block)
        parts.append(f"\n## {title}\n\n{_COLUMNS}{rows}")
    return "".join(parts)


def _addresses(register: Register) -> str:
    return str(register.range) if register.count > 1 else str(register.address)


def _row(key: ValueKey) -> str:
    registers = _RECIPES[key.recipe].format(*map(_addresses, key.registers))
    scaled = f"{registers}, in counts of 1/{key.divisor}" if key.divisor > 1 else registers
    return f"| `{key.key}` | {key.name} | {key.unit} | {key.decimals} | {scaled} |\n"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
    print(f"{TARGET}: {len(VALUE_KEYS)} values")
