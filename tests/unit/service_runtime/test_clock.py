"""The clock that goes by the oscillator, against a kernel whose clocks are slewed, suspended and read with stalls."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service_runtime.clock import until_tick, without_slewing

_SECOND = 1_000_000_000


class Kernel:
    """Three clocks as Linux keeps them, in nanoseconds."""

    def __init__(self, slewed: int = 0, slept: int = 0) -> None:
        self.raw = 5 * _SECOND
        self.monotonic = self.raw + slewed
        self.slept = slept
        self.stalls: list[int] = []
        """How long the reader stands still before each of its next reads."""

    def run(self, nanoseconds: int, ppm: int = 0) -> None:
        self.raw += nanoseconds
        self.monotonic += nanoseconds + nanoseconds * ppm // 1_000_000

    def read(self, clock: int) -> int:
        self.run(self.stalls.pop(0) if self.stalls else 50)
        return {
            time.CLOCK_MONOTONIC_RAW: self.raw,
            time.CLOCK_MONOTONIC: self.monotonic,
            time.CLOCK_BOOTTIME: self.monotonic + self.slept,
        }[clock]

    @property
    def boot(self) -> float:
        return (self.monotonic + self.slept) / _SECOND


@pytest.mark.parametrize("ppm", [-100_000, -83_333, -500, 500, 83_333, 100_000])
@pytest.mark.promise(1)
def test_it_begins_as_boottime_and_no_time_service_moves_it(ppm: int) -> None:
    kernel = Kernel(slewed=-3 * _SECOND, slept=7 * _SECOND)
    now = without_slewing(kernel.read)
    begun = now()
    assert begun == pytest.approx(kernel.boot, abs=1e-6)
    kernel.run(10 * _SECOND, ppm)
    assert now() - begun == pytest.approx(10, abs=1e-6)


@pytest.mark.promise(1)
def test_what_the_host_sleeps_counts_at_once() -> None:
    kernel = Kernel()
    now = without_slewing(kernel.read)
    begun = now()
    for hours in (1, 2):
        kernel.slept += 3600 * _SECOND
        assert now() - begun == pytest.approx(3600 * hours, abs=1e-5)


@given(
    at_first=st.lists(st.integers(0, 3 * _SECOND), max_size=4),
    later=st.lists(st.lists(st.integers(0, 3 * _SECOND), max_size=4), max_size=5),
)
@pytest.mark.promise(1)
def test_a_stall_in_the_middle_of_a_reading_moves_it_never_on_and_back_by_nothing_that_lasts(
    at_first: list[int], later: list[list[int]]
) -> None:
    kernel = Kernel()
    kernel.stalls = at_first
    now = without_slewing(kernel.read)
    for stalls in later:
        kernel.run(_SECOND)
        kernel.stalls = list(stalls)
        begun = kernel.boot
        assert begun <= now() + 1e-6
        assert now() <= kernel.boot + 1e-6
        kernel.stalls = []
    assert now() == pytest.approx(kernel.boot, abs=2e-6)


def test_the_real_one_goes_on_with_the_kernel_s() -> None:
    def raw() -> float:
        return time.clock_gettime(time.CLOCK_MONOTONIC_RAW)

    now = without_slewing()
    before, begun, after = raw(), now(), raw()
    while (earliest := raw()) - after < 0.05:
        now()
    passed = now() - begun
    # Whatever this process was kept from meanwhile lies between these looks.
    assert earliest - after - 0.01 < passed < raw() - before + 0.01


@given(st.floats(0, 1e9), st.sampled_from((0.25, 0.5, 1.0)))
def test_a_beat_is_a_whole_multiple_of_its_period_and_never_at_hand(now: float, period: float) -> None:
    wait = until_tick(period, now)
    assert period / 10 <= wait <= 1.1 * period
    assert round((now + wait) / period) * period == pytest.approx(now + wait, abs=1e-6)
