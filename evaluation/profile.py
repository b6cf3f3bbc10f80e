"""What a house uses and its roof gives, in watts, every 0.1 s, from a seed [core].

Made up, of devices that switch as real ones do: what a slow feed costs depends on how often and how far power jumps.
"""

from array import array
from collections.abc import Iterator
from math import exp, pi, sin
from random import Random
from typing import Final, Literal

from evaluation.feed import STEP, Series

DAY: Final = 86_400.0
Sky = Literal["clear", "broken clouds", "overcast"]
_A_SECOND: Final = round(1 / STEP)
_HOUR: Final = 3600.0


def load(sky_number: int, seed: str) -> Series:
    """Return the household's use on one day: about 11 kWh."""
    random = Random(f"{seed}/load/{sky_number}")
    power = array("d", [120.0]) * round(DAY / STEP)
    _fridge(power, random)
    _small_devices(power, random)
    for hour, chance in ((6.8, 1.0), (10.0, 0.5), (15.5, 0.6), (19.0, 0.7)):
        if random.random() < chance:
            _constant(power, (hour + random.uniform(-0.4, 0.4)) * _HOUR, random.uniform(120, 240), 2000)  # kettle
    for hour in (12.2, 18.3):
        _hob(power, (hour + random.uniform(-0.3, 0.3)) * _HOUR, random)
    _thermostat(power, (17.8 + random.uniform(-0.5, 0.5)) * _HOUR, 2700, 2400, (25, 70), (30, 90), random)  # oven
    _washing(power, (9.0 + random.uniform(-0.7, 0.7)) * _HOUR, random)
    _constant(power, (20.2 + random.uniform(-0.3, 0.3)) * _HOUR, 1200, 2000)  # dishwasher heats, twice
    _constant(power, (20.9 + random.uniform(-0.1, 0.1)) * _HOUR, 800, 2000)
    _noise(power, random)
    return power


def pv(sky: Sky, number: int, seed: str, peak: float = 8000.0) -> Series:
    """Return what the roof gives on one day, `peak` watts at noon without a cloud."""
    random = Random(f"{seed}/pv/{number}")
    power = array("d", [0.0]) * round(DAY / STEP)
    shade = _shade(sky, random)
    for second in range(int(DAY)):
        through = next(shade)
        height = sin(pi * (second / _HOUR - 6.0) / 12.0)
        if height > 0:
            watts = peak * height**1.2 * through
            for step in range(second * _A_SECOND, (second + 1) * _A_SECOND):
                power[step] = watts
    return _smooth(power)


def _fridge(power: Series, random: Random) -> None:
    at = random.uniform(0, 1800)
    while at < DAY:
        _constant(power, at, 2, 600)  # the compressor starts
        _constant(power, at, 900, 90)
        at += random.uniform(2200, 3200)


def _small_devices(power: Series, random: Random) -> None:
    """Lamps, screens, chargers, a pump: more of them in the evening."""
    for _ in range(90):
        hour = random.choice((random.uniform(6, 9), random.uniform(6, 23), random.uniform(17, 23)))
        _constant(power, hour * _HOUR, random.uniform(60, 4000), random.uniform(8, 130))


def _hob(power: Series, at: float, random: Random) -> None:
    """An induction hob: full for a few minutes, then pulses at a low setting, which are what hurts."""
    _constant(power, at, random.uniform(180, 360), 2100)
    end = at + random.uniform(1200, 1900)
    at += 360
    while at < end:
        on = random.uniform(1.5, 4.0)
        _constant(power, at, on, 1800)
        at += on + random.uniform(3.0, 8.0)


def _thermostat(
    power: Series,
    at: float,
    seconds: float,
    watts: float,
    on: tuple[float, float],
    off: tuple[float, float],
    random: Random,
) -> None:
    _constant(power, at, 420, watts)
    end = at + seconds
    at += 420
    while at < end:
        at += random.uniform(*off)
        heats = random.uniform(*on)
        _constant(power, at, heats, watts)
        at += heats


def _washing(power: Series, at: float, random: Random) -> None:
    _constant(power, at + 240, 1100, 2000)  # heats
    end = at + 5400
    while at < end:  # the drum turns and stops
        turns = random.uniform(8, 14)
        _constant(power, at, turns, 190)
        at += turns + random.uniform(3, 8)


def _noise(power: Series, random: Random) -> None:
    """Slow and small: a tenth of a second has a watt or two of its own."""
    wander = 0.0
    for second in range(int(DAY)):
        wander += -0.02 * wander + random.gauss(0.0, 2.0)
        for step in range(second * _A_SECOND, (second + 1) * _A_SECOND):
            power[step] += wander


def _constant(power: Series, at: float, seconds: float, watts: float) -> None:
    """Add a device that is on; what goes beyond midnight is left out."""
    for step in range(round(at / STEP), min(len(power), round((at + seconds) / STEP))):
        power[step] += watts


def _shade(sky: Sky, random: Random) -> Iterator[float]:
    """What passes through the clouds, second by second; a cloud's edge takes some seconds."""
    if sky == "clear":
        while True:
            yield 1.0
    thick, target, rest = 1.0, 1.0, 0.0
    edge = 6.0
    while True:
        rest -= 1
        if rest <= 0:
            clouded = target > 0.6
            if sky == "overcast":
                target, rest, edge = random.uniform(0.12, 0.3), random.uniform(300, 1200), 120.0
            else:
                target = random.uniform(0.2, 0.5) if clouded else random.uniform(0.9, 1.1)
                rest, edge = random.uniform(20, 240), random.uniform(3.0, 15.0)
        thick += (target - thick) * (1 - exp(-1 / edge))
        yield thick


def _smooth(power: Series) -> Series:
    """The sun does not jump at each second: go from one to the next in ten steps."""
    for first in range(0, len(power) - _A_SECOND, _A_SECOND):
        here, there = power[first], power[first + _A_SECOND]
        for step in range(1, _A_SECOND):
            power[first + step] = here + (there - here) * step / _A_SECOND
    return power
