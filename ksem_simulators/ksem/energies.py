"""The meter's energy counters [core]: they integrate what was measured, exactly."""

from typing import Final

from ksem_simulators.ksem.measurement import Channel, Measurement

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
