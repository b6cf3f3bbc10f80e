"""Turns registers into values.

A value is left out, never guessed, if one of its words was never measured, or if the meter says that it has none (all
ones, or the sign bit alone, as SunSpec and KOSTAL write it). A counter of 0 is a value.
"""

from collections.abc import Sequence
from typing import Final

from ksem_contract.block_values import BlockValues
from ksem_contract.blocks import DEVICE, ENERGY, LIVE
from ksem_contract.register import Register
from ksem_contract.register_map import BY_KEY
from ksem_contract.value_keys import DEVICE_KEYS, ENERGY_KEYS, LIVE_KEYS, VALUE_KEYS, ValueKey

__all__ = ["VALUE_KEYS", "ValueKey", "decode_device", "decode_energy", "decode_live", "decode_texts", "format_value"]

Words = Sequence[int | None]

_LIVE: Final = BlockValues(LIVE, LIVE_KEYS)
_ENERGY: Final = BlockValues(ENERGY, ENERGY_KEYS)
_DEVICE: Final = BlockValues(DEVICE, DEVICE_KEYS)
_TEXTS: Final = ("vendor_name", "product_name", "serial_number")


def decode_live(registers: Words, start: int = LIVE.start) -> dict[str, float]:
    """Values of the registers from address `start` on, by key: W, var, VA, A, V, Hz. Power: + is import."""
    return _LIVE.decode(registers, start)


def decode_energy(registers: Words, start: int = ENERGY.start) -> dict[str, float]:
    """Counters in kWh, by key."""
    return _ENERGY.decode(registers, start)


def decode_device(registers: Words, start: int = DEVICE.start) -> dict[str, float]:
    """Numbers about the device, by key."""
    return _DEVICE.decode(registers, start)


def decode_texts(registers: Words, start: int = DEVICE.start) -> dict[str, str]:
    """`vendor_name`, `product_name` and `serial_number`, as far as the device tells them."""
    found = {}
    for key in _TEXTS:
        words = _words(BY_KEY[key], registers, start)
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


def _words(register: Register, registers: Words, start: int) -> list[int] | None:
    """The register's words; None if one of them is a hole or not there."""
    first = register.address - start
    if first < 0:
        return None
    words = [word for word in registers[first : first + register.count] if word is not None]
    return words if len(words) == register.count else None
