"""Turns registers into values: their keys, units and registers, and the decoding of a block in one go [core].

A value is left out, never guessed, if one of its registers was never measured, or if the meter marks it as missing (all
ones, or the sign bit alone, as SunSpec and KOSTAL write it). A counter of 0 is a value.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ksem_contract.blocks import DEVICE, ENERGY, LIVE
from ksem_contract.register_map import BY_KEY
from ksem_contract.registers import Register, RegisterRange

Recipe = Literal["plain", "net", "larger", "signed"]
"""How registers become a value.

plain: the register itself. net: plus minus minus. larger: the larger of the two, since only the one of the present
direction is not zero. signed: the first, with the sign of the net power of the other two.
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

_FORMATS: Final = {("uint16", 1): "H", ("uint32", 2): "I", ("int32", 2): "i", ("uint64", 4): "Q"}
"""How struct reads a value's registers, by type and count."""


def _plain(count: int) -> int:
    return count


def _net(plus: int, minus: int) -> int:
    return plus - minus


def _signed(size: int, plus: int, minus: int) -> int:
    return -size if plus < minus else size


_MAKE: Final[dict[Recipe, Callable[..., int]]] = {"plain": _plain, "net": _net, "larger": max, "signed": _signed}
"""How the counts of registers become the count of a value."""


class BlockValues:
    """Knows where the registers of some values are in a block, and how the values are made of them."""

    def __init__(self, block: RegisterRange, keys: Sequence[ValueKey]) -> None:
        self._block = block
        registers = sorted({register for key in keys for register in key.registers}, key=lambda one: one.address)
        place = {register: position for position, register in enumerate(registers)}
        self._parts = [slice(one.address - block.start, one.address - block.start + one.count) for one in registers]
        self._unknown = [_unknown(register) for register in registers]
        self._odd = frozenset(count for counts in self._unknown for count in counts)
        """Counts that mean "no value" in some register: rare, so each register is checked only where one occurs."""
        self._packing = struct.Struct(f">{block.count}H")
        self._counts = struct.Struct(_layout(block, registers))
        self._keys = [(key.key, _MAKE[key.recipe], key.divisor, [place[one] for one in key.registers]) for key in keys]

    def decode(self, registers: Sequence[int | None], start: int) -> dict[str, float]:
        """The values, by key, of the registers from address `start` on. Unknown values are left out."""
        words = registers if (start, len(registers)) == self._whole else self._placed(registers, start)
        known: Sequence[int | None]
        try:
            known = self._counts.unpack(self._packing.pack(*words))
        except struct.error:  # some registers are None
            filled = self._packing.pack(*(word or 0 for word in words))
            counts = zip(self._parts, self._counts.unpack(filled), strict=True)
            known = [None if None in words[part] else count for part, count in counts]
        if not self._odd.isdisjoint(known):
            known = [None if count in unknown else count for count, unknown in zip(known, self._unknown, strict=True)]
        found: dict[str, float] = {}
        for key, make, divisor, places in self._keys:
            made_of = [known[place] for place in places]
            if None not in made_of:
                found[key] = make(*made_of) / divisor
        return found

    @property
    def _whole(self) -> tuple[int, int]:
        return self._block.start, self._block.count

    def _placed(self, registers: Sequence[int | None], start: int) -> list[int | None]:
        """The same registers at their place in the whole block, None for the others."""
        words: list[int | None] = [None] * self._block.count
        for address, word in enumerate(registers, start - self._block.start):
            if 0 <= address < len(words):
                words[address] = word
        return words


def _layout(block: RegisterRange, registers: Sequence[Register]) -> str:
    layout, at = ">", block.start
    for register in registers:
        layout += f"{2 * (register.address - at)}x{_FORMATS[register.type, register.count]}"
        at = register.range.stop
    return f"{layout}{2 * (block.stop - at)}x"


def _unknown(register: Register) -> frozenset[int]:
    """The counts by which the meter marks "no value": all ones, or the sign bit alone in more than 16 bits."""
    bits = 16 * register.count
    if register.type == "int32":
        return frozenset((-(1 << (bits - 1)),))
    return frozenset(((1 << bits) - 1, *((1 << (bits - 1),) if bits > 16 else ())))


Registers = Sequence[int | None]

_LIVE: Final = BlockValues(LIVE, LIVE_KEYS)
_ENERGY: Final = BlockValues(ENERGY, ENERGY_KEYS)
_DEVICE: Final = BlockValues(DEVICE, DEVICE_KEYS)
_TEXTS: Final = ("vendor_name", "product_name", "serial_number")


def decode_live(registers: Registers, start: int = LIVE.start) -> dict[str, float]:
    """Values of the registers from address `start` on, by key: W, var, VA, A, V, Hz. Power: + is import."""
    return _LIVE.decode(registers, start)


def decode_energy(registers: Registers, start: int = ENERGY.start) -> dict[str, float]:
    """Counters in kWh, by key."""
    return _ENERGY.decode(registers, start)


def decode_device(registers: Registers, start: int = DEVICE.start) -> dict[str, float]:
    """Numbers about the device, by key."""
    return _DEVICE.decode(registers, start)


def decode_texts(registers: Registers, start: int = DEVICE.start) -> dict[str, str]:
    """`vendor_name`, `product_name` and `serial_number`, as far as the device has them."""
    found = {}
    for key in _TEXTS:
        words = _registers(BY_KEY[key], registers, start)
        if words is None:
            continue
        raw = b"".join(word.to_bytes(2, "big") for word in words).partition(b"\0")[0]
        text = "".join(char for char in raw.decode("utf-8", "ignore") if char.isprintable()).strip()
        if text:
            found[key] = text
    return found


def format_value(value: float, decimals: int) -> str:
    """A plain number with a dot: no exponent, no `-0`. ValueError for what is no number."""
    if value - value != 0:
        raise ValueError(f"{value} is no number that can be published")
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if not text.strip("-0.") else text


def _registers(register: Register, registers: Registers, start: int) -> list[int] | None:
    """The value's registers; None if one of them was never measured or is not there."""
    first = register.address - start
    if first < 0:
        return None
    words = [word for word in registers[first : first + register.count] if word is not None]
    return words if len(words) == register.count else None
