"""Ranges that no block holds: asked by the inverter, read from the meter, served, or refused for good."""

import json
import time
from collections.abc import Iterator

import pytest

from ksem_contract.block_message import BlockMessage
from ksem_contract.health import RequestEntry, RequestsMessage
from ksem_publisher.poller import DEMAND_LINES
from tests.chain import Chain

from .fake_publisher import FakePublisher

FLOW, WALLBOX = "40972-41012", "49206-49215"
FLOW_TOPIC = "ksem/main/block/r40972-41"
REQUESTS = "ksem/rtu/attic/requests"


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with Chain(
        tmp_path_factory.mktemp("demand"),
        meter_options=("--energy-flow",),
        inverter_options=("--timeout", "0.15", "--ranges", f"0-27,40-145,{FLOW},{WALLBOX}", "--period", "0.32"),
    ) as chain:
        chain.start()
        chain.await_good()
        yield chain


@pytest.fixture(scope="module")
def probe(chain: Chain) -> Iterator[FakePublisher]:
    probe = FakePublisher(chain.broker.port, session="ear", answers=False).start()
    yield probe
    probe.stop()


def last_of(probe: FakePublisher, start: int) -> str:
    entries = json.loads(probe.received[REQUESTS][-1])["requests"]
    (found,) = [entry for entry in entries if entry["start"] == start]
    assert found["demanded"] is True
    return str(found["last"])


def await_outcome(chain: Chain, probe: FakePublisher, start: int, outcome: str, within: float = 15.0) -> None:
    deadline = time.monotonic() + within
    while True:
        try:
            if last_of(probe, start) == outcome:
                return
        except (IndexError, ValueError):
            pass
        assert time.monotonic() < deadline, f"{probe.received[REQUESTS][-1:]}\n{chain.logs()}"
        probe.await_count(REQUESTS, len(probe.received[REQUESTS]) + 1, within)


def test_a_range_the_meter_has_becomes_a_block_and_reaches_the_inverter(chain: Chain, probe: FakePublisher) -> None:
    probe.await_count(FLOW_TOPIC, 1, within=15)
    block = BlockMessage.decode(probe.received[FLOW_TOPIC][-1])
    assert (block.start, len(block.registers), block.cycle_ms, block.source) == (40972, 41, 5000, "poll")
    await_outcome(chain, probe, 40972, "data")
    chain.inverter.command("reset")
    chain.await_good(40)
    ages = chain.inverter.status()["ranges"][FLOW]["age_ms"]
    assert ages["count"] > 0
    chain.assert_never()


@pytest.mark.slow
def test_a_range_the_meter_refuses_stays_exception_2_and_is_asked_once(chain: Chain, probe: FakePublisher) -> None:
    await_outcome(chain, probe, 49206, "exception-2")
    chain.publisher.await_log("the meter refuses the block r49206-10")
    probe.await_count(FLOW_TOPIC, len(probe.received[FLOW_TOPIC]) + 2, within=12)  # two further periods
    assert chain.publisher.log_text().count("r49206-10") == 1
    assert "ksem/main/block/r49206-10" not in probe.received


def test_refused_ranges_of_a_node_that_wants_any_number_fill_no_log(chain: Chain, probe: FakePublisher) -> None:
    lines = chain.publisher.log_text().count("the meter refuses the block")
    wants = tuple(
        RequestEntry("rs485", 1, "main", 3, start, 1, 9.0, "exception-2", 1, demanded=True)
        for start in range(20_000, 20_120, 2)
    )
    refused = chain.meter.status()["server"]["refused"]
    probe.link.publish("ksem/rtu/greedy/requests", RequestsMessage(wants).encode())
    probe.link.publish("ksem/rtu/greedy/status", b"online")
    deadline = time.monotonic() + 20
    while chain.meter.status()["server"]["refused"] < refused + 20:
        assert time.monotonic() < deadline, chain.logs()
        time.sleep(0.05)
    probe.link.publish("ksem/rtu/greedy/status", b"offline")
    assert chain.publisher.log_text().count("the meter refuses the block") <= lines + DEMAND_LINES


def test_garbage_on_a_requests_topic_is_ignored_and_told_once(chain: Chain, probe: FakePublisher) -> None:
    for garbage in (b"", b"{", b'{"v":9}', b"\xff" * 100, b'{"v":1,"requests":3}', b"[" * 5000, b"null"):
        probe.link.publish("ksem/rtu/foreign/requests", garbage)
        probe.link.publish("ksem/rtu/foreign/status", garbage)
    probe.await_count(FLOW_TOPIC, len(probe.received[FLOW_TOPIC]) + 1, within=8)
    assert chain.publisher.log_text().count("breaks the contract") == 1


@pytest.mark.slow
def test_a_range_that_is_asked_no_more_is_read_no_more(chain: Chain, probe: FakePublisher) -> None:
    chain.server.stop()  # its status is offline then: nobody asks
    probe.await_payload("ksem/rtu/attic/status", b"offline")
    time.sleep(6)  # longer than the range's period: silence can't be awaited
    count = len(probe.received[FLOW_TOPIC])
    time.sleep(6)
    assert len(probe.received[FLOW_TOPIC]) == count
    health = json.loads(probe.received["ksem/main/health"][-1])
    assert "r40972-41" not in health["blocks"]
