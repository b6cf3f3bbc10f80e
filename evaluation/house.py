"""A house whose battery is steered by what the inverter believes of the meter; where its energy went [core].

Powers are watts. Of the grid + is bought, of the battery + is discharged, so `load = pv + battery + grid` at each step.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Final, Literal

from evaluation.feed import NOTHING, STEP

Control = Literal["follows", "corrects"]
"""`follows`: it adds its own power of when the value was measured, and so knows the load of then. It never swings.
`corrects`: it moves by what the meter shows now, until that is 0. It swings if a value is old against its speed."""
Lost = Literal["idles", "holds"]
"""What the battery does while the inverter has no value: nothing, or what it did last."""

REACTS_AFTER: Final = 0.4
"""Seconds (HTW Berlin, Stromspeicher-Inspektion 2025, for KOSTAL), from a step of the load to the first reaction."""
SETTLES_WITHIN: Final = 2.2
"""Seconds more until it stays within its band (same source)."""
BAND: Final = 0.05
"""Share of a step that still counts as settled: assumed, the source's band is not at hand."""
FOLLOWS_IN: Final = SETTLES_WITHIN / -log(BAND)
"""Time constant of `follows`: a first-order lag that is in the band after `SETTLES_WITHIN`."""
CORRECTS_IN: Final = 1.2
"""Time constant of `corrects`: with `REACTS_AFTER` as the whole delay it is in the band after `SETTLES_WITHIN` more."""
_KWH: Final = STEP / 3_600_000


@dataclass(frozen=True, slots=True)
class Inverter:
    """How it is built. `dead` are the seconds from a value's arrival to the first reaction to it."""

    dead: float
    control: Control = "follows"
    lost: Lost = "idles"
    limit: float = 5000.0
    """W, both ways."""
    capacity: float = 10.0
    """kWh, usable."""
    efficiency: float = 0.95
    """Of each way, in and out."""


@dataclass(slots=True)
class Energy:
    """Sums of some days, in kWh."""

    load: float = 0.0
    pv: float = 0.0
    bought: float = 0.0
    sold: float = 0.0
    charged: float = 0.0
    discharged: float = 0.0
    stored: float = 0.0
    """What the battery holds at the end more than at the begin."""
    bought_needlessly: float = 0.0
    """Bought though the battery could have given it."""
    sold_needlessly: float = 0.0
    """Sold though the battery could have taken it."""

    @property
    def needless(self) -> float:
        return self.bought_needlessly + self.sold_needlessly


class Battery:
    """What it holds, and what it can give and take in one step."""

    def __init__(self, inverter: Inverter) -> None:
        self._inverter = inverter
        self.kwh = self.begun = inverter.capacity / 2

    def bounds(self) -> tuple[float, float]:
        """Return the powers that are possible now: the lowest (charging, <= 0) and the highest."""
        inverter = self._inverter
        takes = (inverter.capacity - self.kwh) / inverter.efficiency / _KWH
        gives = self.kwh * inverter.efficiency / _KWH
        return -min(inverter.limit, max(0.0, takes)), min(inverter.limit, max(0.0, gives))

    def move(self, watts: float) -> None:
        efficiency = self._inverter.efficiency
        self.kwh -= (watts / efficiency if watts > 0 else watts * efficiency) * _KWH


def live(load: Sequence[float], pv: Sequence[float], ages: Sequence[float], inverter: Inverter) -> Energy:
    """Let time pass, `STEP` by step, and return where the energy went."""
    energy, battery = Energy(), Battery(inverter)
    residual = array("d", [one - other for one, other in zip(load, pv, strict=True)])
    grid, power = array("d", bytes(8 * len(residual))), 0.0
    late, follows = inverter.dead / STEP, inverter.control == "follows"
    lag = 1 - exp(-STEP / (FOLLOWS_IN if follows else CORRECTS_IN))
    gain = STEP / CORRECTS_IN
    for step, wanted in enumerate(residual):
        low, high = battery.bounds()
        received = max(0.0, step - late)
        age = ages[int(received)]
        if age == NOTHING:
            if inverter.lost == "idles":
                power += (0.0 - power) * lag
        elif follows:
            power += (_at(residual, received - age / STEP) - power) * lag
        elif step:
            power += _at(grid, min(received - age / STEP, step - 1.0)) * gain
        power = low if power < low else min(power, high)
        grid[step] = wanted - power
        ideal = low if wanted < low else min(wanted, high)
        _account(energy, grid[step], wanted - ideal, power)
        battery.move(power)
    energy.load, energy.pv = sum(load) * _KWH, sum(pv) * _KWH
    energy.stored = battery.kwh - battery.begun
    return energy


def _at(values: Sequence[float], moment: float) -> float:
    """Return the value at a moment between two steps."""
    if moment <= 0:
        return values[0]
    before = int(moment)
    share = moment - before
    if not share:
        return values[before]
    return values[before] + (values[before + 1] - values[before]) * share


def _account(energy: Energy, grid: float, ideal: float, battery: float) -> None:
    """Add one step. `ideal`: the grid's power with a battery that does the best it can at this charge."""
    if grid > 0:
        energy.bought += grid * _KWH
        energy.bought_needlessly += (grid - max(0.0, ideal)) * _KWH
    else:
        energy.sold -= grid * _KWH
        energy.sold_needlessly += (-grid - max(0.0, -ideal)) * _KWH
    if battery > 0:
        energy.discharged += battery * _KWH
    else:
        energy.charged -= battery * _KWH
