"""The publisher attaches while pushes are under way."""

import time
from pathlib import Path

import pytest

from tests.chain import Chain


@pytest.mark.parametrize(
    ("offset", "gap"),
    [(71, 60), *(pytest.param(*pair, marks=pytest.mark.slow) for pair in ((0, 60), (33, 0), (120, 60), (187, 0)))],
)
@pytest.mark.promise(3)
def test_attached_at_any_offset_of_the_cycle_live_is_never_torn_nor_a_cycle_late(
    tmp_path: Path, offset: int, gap: int
) -> None:
    """The publisher starts while pushes are under way; every pushed block is then one cycle of the meter."""
    with Chain(tmp_path, meter_options=("--offset", str(offset), "--gap", str(gap))) as chain:
        chain.start("broker", "meter", "line", "server", "inverter")
        time.sleep(offset / 1000)  # the offset is what is tested
        chain.start("publisher")
        chain.publisher.await_log("pushed")
        chain.await_good(20)
        chain.inverter.command("reset")
        chain.await_good(25)
        status = chain.inverter.status()
        chain.assert_never(status)
        # One cycle out of phase makes every age a whole cycle greater: the median tells, whatever the machine does.
        assert status["age_ms"]["p50"] < 100 + gap + 100
