"""The values that everyone else gets: their keys, units, and the registers they are made of."""

from dataclasses import dataclass
from typing import Final, Literal

from ksem_contract.register import Register
from ksem_contract.register_map import BY_KEY

Recipe = Literal["plain", "net", "larger", "signed"]
"""How registers become a value.

plain: the register itself. net: plus minus minus. larger: the larger of the two, since only the one of the present
direction is not zero. signed: the first, with the sign of the net power that the other two tell.
"""


@dataclass(frozen=True, slots=True)
class ValueKey:
    """One value: `<prefix>/<meter>/value/<key>`, and the same key in `<prefix>/<meter>/values` (not for `device`)."""

    key: str
    name: str
    unit: str
    decimals: int
    block: Literal["live", "energy", "device"]
    recipe: Recipe
    registers: tuple[Register, ...]
    divisor: int
    """Counts of the register that make one of `unit`."""
    retained: bool


def _live(key: str, name: str, unit: str, divisor: int, recipe: Recipe, *registers: str) -> ValueKey:
    made_of = tuple(BY_KEY[register] for register in registers)
    return ValueKey(key, name, unit, len(str(divisor)) - 1, "live", recipe, made_of, divisor, retained=False)


def _live_values(key_end: str, name_end: str) -> tuple[ValueKey, ...]:
    powers = (f"active_power_plus{key_end}", f"active_power_minus{key_end}")
    reactive = (f"reactive_power_plus{key_end}", f"reactive_power_minus{key_end}")
    apparent = (f"apparent_power_plus{key_end}", f"apparent_power_minus{key_end}")
    return (
        _live(f"power{key_end}", f"Power{name_end}", "W", 10, "net", *powers),
        _live(f"reactive_power{key_end}", f"Reactive power{name_end}", "var", 10, "net", *reactive),
        _live(f"apparent_power{key_end}", f"Apparent power{name_end}", "VA", 10, "larger", *apparent),
        _live(f"power_factor{key_end}", f"Power factor{name_end}", "", 1000, "plain", f"power_factor{key_end}"),
    )


def _phase_values(key_end: str, name_end: str) -> tuple[ValueKey, ...]:
    powers = (f"active_power_plus{key_end}", f"active_power_minus{key_end}")
    return (
        *_live_values(key_end, name_end),
        _live(f"current{key_end}", f"Current{name_end}", "A", 1000, "signed", f"current{key_end}", *powers),
        _live(f"voltage{key_end}", f"Voltage{name_end}", "V", 1000, "plain", f"voltage{key_end}"),
    )


def _counters(key_end: str, name_end: str) -> tuple[ValueKey, ...]:
    # 0.1 Wh a count; kWh is what Home Assistant and evcc expect.
    return tuple(
        ValueKey(
            key=f"energy_{way}{key_end}",
            name=f"Energy {way}{name_end}",
            unit="kWh",
            decimals=4,
            block="energy",
            recipe="plain",
            registers=(BY_KEY[f"active_energy_{sign}{key_end}"],),
            divisor=10_000,
            retained=True,
        )
        for way, sign in (("import", "plus"), ("export", "minus"))
    )


def _device(key: str, name: str) -> ValueKey:
    register = BY_KEY[key]
    return ValueKey(key, name, register.unit, 0, "device", "plain", (register,), 1, retained=True)


LIVE_KEYS: Final = (
    *_live_values("", ""),
    _live("frequency", "Frequency", "Hz", 1000, "plain", "frequency"),
    *(value for phase in (1, 2, 3) for value in _phase_values(f"_l{phase}", f" L{phase}")),
)

ENERGY_KEYS: Final = (
    *_counters("", ""),
    *(value for phase in (1, 2, 3) for value in _counters(f"_l{phase}", f" L{phase}")),
)

DEVICE_KEYS: Final = (
    _device("measuring_interval", "Measuring interval"),
    _device("firmware_version", "Firmware version"),
    _device("product_version", "Product version"),
    _device("device_id", "Device id"),
    _device("manufacturer_id", "Manufacturer id"),
)

VALUE_KEYS: Final[tuple[ValueKey, ...]] = (*LIVE_KEYS, *ENERGY_KEYS, *DEVICE_KEYS)
"""All values, in the order in which they are documented."""
