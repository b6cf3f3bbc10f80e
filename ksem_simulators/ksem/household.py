"""Models a household day [core]: base load, fridge, oven, kettle, photovoltaics and a battery, in watts per phase.

Its noise is the same in every run with the same seed.
"""

import math
from dataclasses import dataclass, field
from typing import Final

DAY: Final = 86_400.0
_PV_PEAK: Final = 7200.0
_SUNRISE: Final = 6.0
_SUNSET: Final = 20.0
_BATTERY_WATTS: Final = 2000.0
_BATTERY_WH: Final = 6_000.0
_BATTERY_LAG: Final = 3.0
"""Seconds that the inverter takes to follow (HTW measured 2.6 s for a real one)."""


@dataclass(frozen=True, slots=True)
class Powers:
    """What flows, in W and var. `grid` and `reactive` are per phase, plus is import."""

    grid: tuple[float, float, float]
    reactive: tuple[float, float, float]
    load: float
    pv: float
    battery: float
    """Plus is charging."""
    state_of_charge: float
    """Share of the battery's capacity, 0..1."""
    is_constant: bool = False
    """No power moves, not even in its last digit."""


@dataclass(slots=True)
class Household:
    """Goes through the day in steps. The same seed and steps give the same powers."""

    seed: int
    seconds: float
    """Simulated time since midnight of the first day; grows beyond a day."""
    charge: float = 0.35
    battery: float = 0.0
    kettle_until: float = field(default=-1.0)
    constant_load: float | None = None
    """W that the house takes from the grid all the time, without PV, battery or kettle; None: a day as it is."""

    def boil(self, seconds: float) -> None:
        """Switches the kettle on for this many simulated seconds."""
        self.kettle_until = self.seconds + seconds

    def step(self, seconds: float) -> Powers:
        """Lets `seconds` of simulated time go by."""
        self.seconds += seconds
        if self.constant_load is not None:
            return _constant(self.constant_load)
        loads = self._loads()
        pv = self._pv()
        wish = pv - sum(loads)
        limit_up = _BATTERY_WATTS if self.charge < 1.0 else 0.0
        limit_down = _BATTERY_WATTS if self.charge > 0.05 else 0.0
        target = max(-limit_down, min(limit_up, wish))
        self.battery += (target - self.battery) * min(1.0, seconds / _BATTERY_LAG)
        self.charge = max(0.0, min(1.0, self.charge + self.battery * seconds / 3600.0 / _BATTERY_WH))
        made = (pv - self.battery) / 3.0
        tilt = 0.004 * pv
        grid = (loads[0] - made - tilt, loads[1] - made + tilt, loads[2] - made)
        reactive = tuple(
            40.0 + 0.12 * load + 25.0 * smooth(self.seed + 31 + phase, self.seconds, 7.0)
            for phase, load in enumerate(loads)
        )
        return Powers(grid, (reactive[0], reactive[1], reactive[2]), sum(loads), pv, self.battery, self.charge)

    def _loads(self) -> tuple[float, float, float]:
        now, seed = self.seconds, self.seed
        hour = now % DAY / 3600.0
        evening = 260.0 * math.exp(-(((hour - 20.5) / 2.2) ** 2)) + 120.0 * math.exp(-(((hour - 7.2) / 1.0) ** 2))
        first = 140.0 + 0.6 * evening + 35.0 * smooth(seed + 1, now, 9.0) + self._oven(hour)
        second = 95.0 + 0.4 * evening + 25.0 * smooth(seed + 2, now, 5.0) + self._kettle()
        fridge = 95.0 if (now + 700.0) % 2400.0 < 900.0 else 3.0
        third = 110.0 + fridge + 30.0 * smooth(seed + 3, now, 13.0)
        return first, second, third

    def _kettle(self) -> float:
        """On for 2.5 minutes in about every third stretch of 20 minutes while people are awake, or on command."""
        if self.seconds < self.kettle_until:
            return 2050.0
        stretch, inside = divmod(self.seconds, 1200.0)
        awake = 6.3 < self.seconds % DAY / 3600.0 < 22.5
        on = awake and whole(self.seed + 11, int(stretch)) > 0.35 and 400.0 < inside < 550.0
        return 2050.0 if on else 0.0

    def _oven(self, hour: float) -> float:
        heating = (12.0 < hour < 12.8 or 18.4 < hour < 19.1) and self.seconds % 90.0 < 55.0
        return 2400.0 if heating else 0.0

    def _pv(self) -> float:
        hour = self.seconds % DAY / 3600.0
        if not _SUNRISE < hour < _SUNSET:
            return 0.0
        height = math.sin(math.pi * (hour - _SUNRISE) / (_SUNSET - _SUNRISE))
        clouds = 0.5 * (smooth(self.seed + 21, self.seconds, 500.0) + 0.6 * smooth(self.seed + 22, self.seconds, 40.0))
        return float(_PV_PEAK * height**1.4 * max(0.12, min(1.0, 0.75 + 0.6 * clouds)))


def _constant(load: float) -> Powers:
    shares = (0.5, 0.3, 0.2)
    first, second, third = (load * share for share in shares)
    return Powers((first, second, third), (60.0, 50.0, 45.0), load, 0.0, 0.0, 0.0, is_constant=True)


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
