"""Which device answers, told by its registers [core]."""

import math
import struct
from typing import Literal

from ksem_contract.blocks import DEVICE, FREQUENCY, MEASURING_INTERVAL
from ksem_contract.values import decode_texts

Device = Literal["ksem", "nameless", "booting", "inverter", "other"]
"""`nameless`: it measures as a KSEM does, and refuses the registers that tell who it is."""

INVERTER_PORT = 1502
"""A Plenticore's own Modbus TCP port (with unit 71)."""
INTERVALS_MS = range(50, 10001)
"""A KSEM measures every 200 or 500 ms; anything in this range is taken for an interval."""


def identify(device: tuple[int, ...], head: tuple[int, ...], port: int) -> Device:
    """Judge by 8192-8249, or 8192-8244, and 0-27 (each may be empty, where the device refuses it)."""
    interval = interval_ms(device)
    hertz = frequency(head)
    measures = hertz is not None and 40 <= hertz <= 70
    if interval in INTERVALS_MS and measures:
        return "ksem"
    if interval in INTERVALS_MS and "KOSTAL" in describe(device).upper():
        return "booting"
    if not device and measures and port != INVERTER_PORT:
        return "nameless"
    if port == INVERTER_PORT or holds_floats(device) or (not device and holds_floats(head)):
        return "inverter"
    return "other"


def frequency(head: tuple[int, ...]) -> float | None:
    """Hz, from 0-27."""
    if len(head) < FREQUENCY + 2:
        return None
    return (head[FREQUENCY] << 16 | head[FREQUENCY + 1]) / 1000


def interval_ms(device: tuple[int, ...]) -> int:
    """The measuring interval that 8192-8249 tell, or as much of them as the firmware has; 0 for none."""
    place = MEASURING_INTERVAL - DEVICE.start
    return device[place] if len(device) > place else 0


def describe(device: tuple[int, ...]) -> str:
    """The device's name, as it tells it; without its serial number."""
    texts = decode_texts(device)
    return texts.get("product_name") or texts.get("vendor_name") or ""


def holds_floats(words: tuple[int, ...]) -> bool:
    """Whether the words are numbers as a Plenticore has them: float32, low word first."""
    pairs = list(zip(words[::2], words[1::2], strict=False))
    numbers = [struct.unpack(">f", struct.pack(">HH", high, low))[0] for low, high in pairs]
    sound = [number for number in numbers if math.isfinite(number) and (number == 0 or 1e-3 < abs(number) < 1e7)]
    return len(numbers) >= 4 and len(sound) > 0.8 * len(numbers) and any(sound)
