"""Converts powers to what a meter measures [core]: integers in its registers' units, and exact energy counters.

The low digits carry the number of the measuring cycle in a shuffled form, so that each cycle differs from those near it
in every value that moves at all: an answer can be traced to its cycle, and a mix of two cycles is seen. Where the load
is constant only voltages, currents and the frequency move.
"""

import math
from dataclasses import dataclass
from typing import Final

from ksem_simulators.ksem.household import Powers, smooth, whole


@dataclass(frozen=True, slots=True)
class Channel:
    """One phase, or the total. Signed, plus is import: 0.1 W, 0.1 var; mA and mV are 0 in the total."""

    active: int
    reactive: int
    current: int = 0
    voltage: int = 0

    @property
    def apparent(self) -> int:
        """Apparent power in 0.1 VA, never negative."""
        return math.isqrt(self.active * self.active + self.reactive * self.reactive)

    @property
    def power_factor(self) -> int:
        """Active by apparent power in 0.001, signed like the active power."""
        apparent = self.apparent
        return round(1000 * self.active / apparent) if apparent else 0


@dataclass(frozen=True, slots=True)
class Measurement:
    """All that one measuring cycle measured. The phases' signed sums are exactly the total's."""

    total: Channel
    phases: tuple[Channel, Channel, Channel]
    frequency: int
    """mHz"""


BOOTING: Final = Measurement(Channel(0, 0), (Channel(0, 0),) * 3, 0)
"""What a meter sends while it starts: nothing measured, 0 Hz."""

# Modulus of the coded digits, and the step from cycle to cycle (coprime, so that each code comes once in a round).
_TOTAL_ACTIVE: Final = (100, 37)
_TOTAL_REACTIVE: Final = (101, 43)
_PHASE_ACTIVE: Final = ((97, 41), (89, 34))
_PHASE_REACTIVE: Final = ((83, 29), (79, 31))
_VOLTAGE: Final = ((1000, 379), (1000, 701), (1000, 557))


def measure(powers: Powers, cycle: int, seconds: float, seed: int) -> Measurement:
    """What the meter measures in `cycle`, at `seconds` of simulated time."""
    active, reactive = _powers(powers, cycle)
    phases = []
    for index in range(3):
        volts = 230.0 + 1.6 * smooth(seed + 51 + index, seconds, 25.0) - powers.grid[index] / 4000.0
        voltage = _coded(round(1000 * volts), cycle, *_VOLTAGE[index])
        apparent = math.isqrt(active[index + 1] ** 2 + reactive[index + 1] ** 2)
        current = round(apparent * 100_000 / voltage)
        phases.append(Channel(active[index + 1], reactive[index + 1], current, voltage))
    frequency = 50_000 + round(18 * smooth(seed + 61, seconds, 20.0) + 4 * whole(seed + 62, cycle))
    return Measurement(Channel(active[0], reactive[0]), (phases[0], phases[1], phases[2]), frequency)


def _powers(powers: Powers, cycle: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Active and reactive power, the total first, in 0.1 W and 0.1 var."""
    active, reactive = ([round(10 * power) for power in one] for one in (powers.grid, powers.reactive))
    if powers.is_constant:
        return (sum(active), *active), (sum(reactive), *reactive)
    return (
        _split(active, cycle, _TOTAL_ACTIVE, _PHASE_ACTIVE),
        _split(reactive, cycle, _TOTAL_REACTIVE, _PHASE_REACTIVE),
    )


def _split(
    phases: list[int], cycle: int, total_code: tuple[int, int], phase_codes: tuple[tuple[int, int], tuple[int, int]]
) -> tuple[int, int, int, int]:
    """Total and phases with the cycle in their low digits, and an exact sum."""
    total = _coded(sum(phases), cycle, *total_code)
    first = _coded(phases[0], cycle, *phase_codes[0])
    second = _coded(phases[1], cycle, *phase_codes[1])
    return total, first, second, total - first - second


def _coded(value: int, cycle: int, modulus: int, step: int) -> int:
    return value // modulus * modulus + cycle * step % modulus


_PER_COUNT: Final = 3_600_000
"""0.1 W for one millisecond, this many times, is one count (0.1 Wh)."""
Counters = tuple[int, int, int, int, int, int]
"""Active plus and minus, reactive plus and minus, apparent plus and minus, in 0.1 Wh, varh, VAh."""


class Energies:
    """Counters of the total and the three phases. They begin with what some years have left in them."""

    def __init__(self) -> None:
        begin = (81_234_567, 64_110_023, 9_120_455, 31_870_911, 83_001_778, 66_904_310)
        shares = (1, 3, 3, 3)
        self._sums = [[count * _PER_COUNT // share for count in begin] for share in shares]

    def add(self, measurement: Measurement, milliseconds: int) -> None:
        """Counts one measuring cycle of this length of simulated time."""
        for sums, channel in zip(self._sums, (measurement.total, *measurement.phases), strict=True):
            _add(sums, channel, milliseconds)

    def rewind(self, counts: int) -> None:
        """A fault: every counter steps back, but not below 1."""
        self._sums = [[max(_PER_COUNT, value - counts * _PER_COUNT) for value in sums] for sums in self._sums]

    def counters(self) -> tuple[Counters, Counters, Counters, Counters]:
        """Total, L1, L2, L3."""
        total, first, second, third = (_whole(sums) for sums in self._sums)
        return total, first, second, third


def _add(sums: list[int], channel: Channel, milliseconds: int) -> None:
    sums[0 if channel.active >= 0 else 1] += abs(channel.active) * milliseconds
    sums[2 if channel.reactive >= 0 else 3] += abs(channel.reactive) * milliseconds
    sums[4 if channel.active >= 0 else 5] += channel.apparent * milliseconds


def _whole(sums: list[int]) -> Counters:
    one, two, three, four, five, six = (value // _PER_COUNT for value in sums)
    return one, two, three, four, five, six
