"""ksem-publisher as a process, with a real broker and a simulated meter."""

import time
from dataclasses import replace

import pytest

from ksem_contract.block_message import BlockMessage, Ping, Pong
from ksem_simulators.truth import TruthReader
from service_runtime.clock import boottime

from .publisher_bench import Bench, Start, start

__all__ = ["start"]


def judge_newest(bench: Bench, name: str) -> None:
    """The block as it came last holds what the meter said at some moment."""
    truth = TruthReader(bench.ksem.truth)
    block = BlockMessage.decode(bench.audience.received[bench.audience.topics.meter_block("main", name)][-1])
    registers = [word for word in block.registers if word is not None]
    for first in range(0, len(registers), 100):
        verdict = truth.judge(block.start + first, registers[first : first + 100], boottime())
        assert verdict.kind != "wrong", f"{name}: {verdict.why}"


@pytest.mark.parametrize(
    "options", [(), pytest.param(("--gap", "60"), marks=pytest.mark.slow), ("--split", "0-99,100-147")], ids=" ".join
)
def test_every_pushed_cycle_is_published_whole_and_at_once(start: Start, options: tuple[str, ...]) -> None:
    bench = start(options=options)
    bench.audience.await_live("push", 1, within=15)
    blocks = bench.audience.await_live("push", 12, within=15)
    assert bench.audience.wrong == []
    # A cycle that this machine held back is left out and polled instead; most of them come whole.
    assert blocks[-1].seq - blocks[0].seq < 2 * len(blocks)
    assert None not in blocks[-1].registers
    bench.audience.await_status(b"online")


@pytest.mark.promise(3)
def test_without_pushes_live_is_polled_and_never_torn(start: Start) -> None:
    bench = start(push=False)
    bench.audience.await_live("poll", 20)
    assert bench.audience.wrong == []
    health = bench.audience.await_health(lambda health: health.state == "degraded", "degraded")
    assert "has not pushed yet" in health.why


def test_energy_device_and_sunspec_are_exactly_the_meters(start: Start) -> None:
    bench = start()
    for name in ("energy", "device", "sunspec"):
        topic = bench.audience.topics.meter_block("main", name)
        bench.audience.await_true(lambda topic=topic: bool(bench.audience.received[topic]), name)  # type: ignore[misc]
        judge_newest(bench, name)


@pytest.mark.promise(6)
def test_a_push_that_stops_is_replaced_by_polling_and_taken_up_again(start: Start) -> None:
    bench = start()
    bench.audience.await_live("push", 3)
    bench.ksem.command("push", enabled=False)
    bench.audience.await_live("poll", 5, within=2.5)
    bench.ksem.command("push", enabled=True)
    bench.audience.await_live("push", 5, within=3)
    assert bench.audience.wrong == []
    assert b"offline" not in bench.audience.received["ksem/main/status"][1:]


def test_a_foreign_device_at_the_address_is_refused_and_named(start: Start) -> None:
    bench = start(push=False)
    bench.audience.await_block("energy")
    bench.ksem.command("fault", name="foreign")
    bench.ksem.command("drop-connections")
    health = bench.audience.await_health(lambda health: "no KSEM" in health.why, "named", 15)
    assert health.state == "down"
    assert bench.audience.wrong == []
    for name in ("energy", "device", "sunspec"):
        if bench.audience.received[bench.audience.topics.meter_block("main", name)]:  # the sunspec block may not be yet
            judge_newest(bench, name)
    assert bench.publisher.log_text().count("no KSEM") <= 2


@pytest.mark.promise(7)
def test_a_late_will_is_corrected(start: Start) -> None:
    bench = start()
    bench.audience.await_status(b"online", within=10)
    assert bench.audience.link.publish("ksem/main/status", b"offline", qos=1, retain=True)
    bench.audience.await_status(b"offline")
    bench.audience.await_status(b"online", within=2)


def test_a_ping_is_answered_with_session_and_clock(start: Start) -> None:
    bench = start()
    session = bench.audience.await_live("push")[0].session
    before = boottime()
    bench.audience.link.publish("ksem/main/ping/attic", Ping(nonce="n1").encode())
    bench.audience.await_true(lambda: bool(bench.audience.received["ksem/main/pong/attic"]), "pong")
    pong = Pong.decode(bench.audience.received["ksem/main/pong/attic"][-1])
    assert (pong.nonce, pong.session) == ("n1", session)
    # Of two processes: what was slewed between their starts lies between their clocks.
    assert 1000 * before - 5 <= pong.boot_ms <= 1000 * boottime() + 5


def test_a_second_publisher_is_reported(start: Start) -> None:
    bench = start()
    block = bench.audience.await_live("push")[0]
    for seq in (1, 2):  # one block alone may be a replay
        bench.audience.link.publish("ksem/main/block/live", replace(block, session="cafe0123", seq=seq).encode())
    bench.audience.await_health(lambda health: health.publishers == ("cafe0123",), "reported")


def test_a_push_from_a_stranger_is_refused_with_the_line_that_lets_it_in(start: Start) -> None:
    bench = start(meter='push_from = ["127.0.0.2"]')
    bench.audience.await_live("poll", 3)
    health = bench.audience.await_health(lambda health: any("refused" in c.name for c in health.checks), "refused")
    (check,) = [check for check in health.checks if "refused" in check.name]
    assert 'push_from = ["127.0.0.2", "127.0.0.1"]' in check.reason.remedy
    assert bench.publisher.log_text().count("was refused") == 1


@pytest.mark.promise(7)
def test_it_ends_within_two_seconds_with_the_status_offline(start: Start) -> None:
    bench = start()
    bench.audience.await_status(b"online", within=10)
    began = time.monotonic()
    assert bench.publisher.stop(within=2.5) == 0
    assert time.monotonic() - began < 2.0
    bench.audience.await_status(b"offline", within=1)


def test_values_are_plain_numbers_at_the_chosen_pace(start: Start) -> None:
    bench = start()
    bench.audience.await_live("push", 12)
    received = bench.audience.received
    assert len(received["ksem/main/values"]) >= 10
    assert 2 <= len(received["ksem/main/value/power"]) <= 5
    for topic, payloads in received.items():
        if "/value/" in topic:
            assert all(float(payload) == float(payload) for payload in payloads)
    retained = [topic for topic in bench.audience.retained if "/value/" in topic]
    assert retained == []


def test_a_limit_for_frozen_values_that_a_good_meter_cannot_meet_is_raised(start: Start) -> None:
    bench = start(push=False, options=("--cycle", "500"), settings="[checks]\nfrozen_after = 0.3\n")
    bench.audience.await_live("poll", 20, within=15)
    assert bench.audience.wrong == []
    assert not any(b"frozen" in payload for payload in bench.audience.received["ksem/main/health"])
    assert bench.publisher.log_text().count("frozen_after = 0.3 is less than a good meter needs: 2 is used") == 1
