"""The time without data as rtu-server counts it, beside the inverter's own log."""

import random
import time
from pathlib import Path

import pytest

from rtu_server.outage_file import NAME
from tests.chain import Chain
from tests.soak.outages import run

from .ear import Ear
from .inverter_log import no_data, pauses

OFF = 0.1
"""Seconds that the sum of all outages may be off by."""


@pytest.mark.slow
def test_the_time_without_data_equals_what_the_inverters_own_log_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    with Chain(tmp_path) as chain, Ear(chain.start("broker").broker.port) as ear:
        chain.start("meter", "publisher", "line", "server", "inverter").await_well()
        at_start = no_data(ear).start.seconds

        chain.publisher.kill()
        time.sleep(4)  # the outage itself, here and below
        chain.publisher.start()
        chain.await_good(30)

        chain.line.command("unplug")
        time.sleep(3)
        chain.line.command("plug")
        chain.await_good(30)

        chain.server.freeze()
        time.sleep(2.5)
        chain.server.thaw()
        chain.await_good(30)

        chain.publisher.freeze()
        time.sleep(3)
        chain.publisher.thaw()
        chain.await_good(30)

        chain.line.command("fault", kind="flip", to="server", at=3, times=20)
        time.sleep(3)
        chain.await_good(30)
        before = no_data(ear)
        missed = pauses(chain.inverter.log)
        assert len(missed) >= 5
        assert before.start.seconds - at_start == pytest.approx(sum(missed), abs=OFF)
        assert before.start == before.today
        assert before.start.reasons["inverter-unreadable"] > 2

        for seconds in (2.0, 0.7):
            chain.server.stop()
            time.sleep(seconds)
            chain.server.start()
            chain.await_good(30)
        after = no_data(ear)
        missed = pauses(chain.inverter.log)
        assert after.today.seconds - at_start == pytest.approx(sum(missed), abs=OFF)
        assert after.today.reasons["node-stopped"] >= 2
        assert (state / NAME).is_file()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_after_a_minute_of_faults_at_random_the_two_still_agree(tmp_path: Path) -> None:
    compared = run(tmp_path, 60, random.Random(2), sleeps=0.0)
    assert compared.faults >= 3
    assert compared.apart <= OFF, f"{compared}\n{compared.reasons}"
