"""Noise that is the same in every run with the same seed [core]."""

import math

_MASK = 0xFFFF_FFFF


def whole(seed: int, index: int) -> float:
    """A number in -1..1 that looks random for each index."""
    value = (index * 0x9E37_79B1 + seed * 0x85EB_CA77 + 0x1656_67B1) & _MASK
    value = ((value ^ (value >> 15)) * 0x2C1B_3C6D) & _MASK
    value = ((value ^ (value >> 12)) * 0x297A_2D39) & _MASK
    return (value ^ (value >> 15)) / (_MASK / 2) - 1.0


def smooth(seed: int, seconds: float, scale: float) -> float:
    """A curve in -1..1 that takes about `scale` seconds from one turn to the next."""
    position = seconds / scale
    index = math.floor(position)
    share = position - index
    eased = share * share * (3.0 - 2.0 * share)
    left = whole(seed, index)
    return left + (whole(seed, index + 1) - left) * eased
