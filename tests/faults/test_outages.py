"""The time without data as rtu-server counts it, beside the inverter's own log."""

import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ksem_contract.health import NoData, NodeHealth
from ksem_simulators.line.direction import character_time
from rtu_server.outage_file import NAME
from tests.chain import Chain

from .ear import NODE_HEALTH, Ear

SHORTEST = 1.0
"""Seconds without data that count, where a request in them got none."""
LONGEST = 5.0
"""Seconds without a request that count."""
OFF = 0.05
"""Seconds that the measured length of an outage may be off by: on a loaded host the log has the moments late."""


def seen_by_the_inverter(log: Path) -> list[float]:
    """The pauses between the begins of good answers that count, in seconds, from the inverter's log."""
    requests = [json.loads(line) for line in log.read_text().splitlines()]
    good = [number for number, request in enumerate(requests) if request["outcome"] == "good"]
    pauses = []
    for before, after in pairwise(good):
        seconds = answer_begun(requests[after]) - answer_begun(requests[before])
        if seconds > (SHORTEST if after - before > 1 else LONGEST):
            pauses.append(seconds)
    return pauses


def answer_begun(request: dict[str, Any]) -> float:
    """When the answer began: the log holds when its last byte was there."""
    first, last = map(int, request["range"].split("-"))
    return float(request["at"]) - (5 + 2 * (last - first + 1)) * character_time(38400)


def published(ear: Ear) -> NoData:
    """What the next health message holds: one that is made from now on."""
    begin = len(ear.payloads(NODE_HEALTH))
    deadline = time.monotonic() + 15
    while len(ear.payloads(NODE_HEALTH)) <= begin:
        assert time.monotonic() < deadline, "no health message"
        time.sleep(0.05)
    found = NodeHealth.decode(ear.payloads(NODE_HEALTH)[-1]).no_data
    assert found is not None
    return found


@pytest.mark.slow
def test_the_time_without_data_equals_what_the_inverters_own_log_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    with Chain(tmp_path) as chain, Ear(chain.start("broker").broker.port) as ear:
        chain.start("meter", "publisher", "line", "server", "inverter").await_well()
        at_start = published(ear).start.seconds

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
        before = published(ear)
        pauses = seen_by_the_inverter(chain.inverter.log)
        assert len(pauses) >= 4
        assert before.start.seconds - at_start == pytest.approx(sum(pauses), abs=OFF * len(pauses))
        assert before.start == before.today

        chain.server.stop()
        time.sleep(2)
        chain.server.start()
        chain.await_good(30)
        after = published(ear)
        pauses = seen_by_the_inverter(chain.inverter.log)
        assert after.today.seconds - at_start == pytest.approx(sum(pauses), abs=OFF * len(pauses))
        assert after.today.reasons["node-stopped"] >= 2
        assert (state / NAME).is_file()
