"""ksem-publisher as a process, with a real broker and a simulated meter."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from ksem_contract.block_message import BlockMessage
from ksem_contract.echo import Ping, Pong
from ksem_simulators.handles import KsemHandle
from ksem_simulators.truth import TruthReader
from service_runtime.clock import boot_ms

from .broker import Broker, free_port
from .meter_audience import MeterAudience
from .service import Service


class Start(Protocol):
    """Starts meter, publisher and audience; see `bench`."""

    def __call__(
        self, *, push: bool = True, options: tuple[str, ...] = (), settings: str = "", meter: str = ""
    ) -> "Bench": ...


class Bench:
    """The parts of a test."""

    def __init__(self, broker: Broker, ksem: KsemHandle, publisher: Service, audience: MeterAudience) -> None:
        self.broker, self.ksem, self.publisher, self.audience = broker, ksem, publisher, audience


def publisher_settings(broker: Broker, ksem_port: int, push_port: int, meter: str = "", more: str = "") -> str:
    return f"""
[mqtt]
host = "127.0.0.1"
port = {broker.port}
[push]
listen = "127.0.0.1"
port = {push_port}
[[meter]]
host = "127.0.0.1"
port = {ksem_port}
timeout = 0.5
{meter}
{more}
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def starter(*, push: bool = True, options: tuple[str, ...] = (), settings: str = "", meter: str = "") -> Bench:
            broker = stack.enter_context(Broker(tmp_path / "broker"))
            push_port = free_port()
            ksem = stack.enter_context(
                KsemHandle(tmp_path, push=("127.0.0.1", push_port) if push else None, options=options)
            )
            audience = stack.enter_context(MeterAudience(broker.port, ksem.truth))
            text = publisher_settings(broker, ksem.port, push_port, meter, settings)
            publisher = stack.enter_context(Service("ksem_publisher", text, tmp_path))
            return Bench(broker, ksem, publisher, audience)

        yield starter


def registers(block: BlockMessage) -> list[int]:
    return [word for word in block.registers if word is not None]


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--gap", "60"),
        ("--gap", "20", "--jitter", "30", "--offset", "70"),
        ("--split", "0-99,100-147"),
        ("--groups", "total,phases,energy_total,energy_phases"),
        ("--order", "down", "--gap", "5"),
        ("--pipeline",),
        ("--reconnect",),
        ("--cycle", "500"),
    ],
    ids=" ".join,
)
def test_every_pushed_cycle_is_published_whole_and_at_once(start: Start, options: tuple[str, ...]) -> None:
    bench = start(options=options)
    bench.audience.await_live("push", 1, within=15)
    blocks = bench.audience.await_live("push", 12, within=15)
    assert bench.audience.wrong == []
    assert [block.seq for block in blocks] == list(range(blocks[0].seq, blocks[0].seq + len(blocks)))
    assert None not in blocks[-1].registers
    bench.audience.await_status(b"online")


def test_without_pushes_live_is_polled_and_never_torn(start: Start) -> None:
    bench = start(push=False)
    bench.audience.await_live("poll", 20)
    assert bench.audience.wrong == []
    health = bench.audience.await_health(lambda health: health.state == "degraded", "degraded")
    assert "has not pushed yet" in health.why


def test_energy_device_and_sunspec_are_exactly_the_meters(start: Start) -> None:
    bench = start()
    truth = TruthReader(bench.ksem.truth)
    for name in ("energy", "device", "sunspec"):
        topic = bench.audience.topics.meter_block("main", name)
        bench.audience.await_true(lambda topic=topic: bool(bench.audience.heard[topic]), name)  # type: ignore[misc]
        block = BlockMessage.decode(bench.audience.heard[topic][-1])
        for first in range(0, len(block.registers), 100):
            part = registers(block)[first : first + 100]
            verdict = truth.judge(block.start + first, part, boot_ms() / 1000)
            assert verdict.kind != "wrong", f"{name}: {verdict.why}"


def test_a_push_that_stops_is_replaced_by_polling_and_taken_up_again(start: Start) -> None:
    bench = start()
    bench.audience.await_live("push", 3)
    bench.ksem.command("push", enabled=False)
    bench.audience.await_live("poll", 5, within=2.5)
    bench.ksem.command("push", enabled=True)
    bench.audience.await_live("push", 5, within=3)
    assert bench.audience.wrong == []
    assert b"offline" not in bench.audience.heard["ksem/main/status"][1:]


@pytest.mark.parametrize("groups", [("total",), ("phases",), ("energy_total", "energy_phases")])
def test_a_push_group_switched_off_is_named_and_polling_carries_live(start: Start, groups: tuple[str, ...]) -> None:
    bench = start(options=("--groups", ",".join(groups)))
    bench.audience.await_live("poll", 5)
    health = bench.audience.await_health(
        lambda health: "not pushed" in health.why or "only energy" in health.why, "why"
    )
    assert health.state == "degraded"
    assert bench.audience.wrong == []


def test_a_slow_transmit_interval_leaves_live_to_polling(start: Start) -> None:
    bench = start(options=("--interval", "2"))
    bench.audience.await_live("poll", 30)
    health = bench.audience.await_health(lambda health: "fixed interval" in health.push.link.why, "why", 25)
    assert health.push.period_ms == pytest.approx(2000, abs=50)
    assert bench.audience.wrong == []


def test_a_meter_that_answers_no_polls_is_still_published_from_its_push(start: Start) -> None:
    bench = start()
    bench.audience.await_block("energy")
    bench.ksem.command("poll", open=False)
    bench.ksem.command("drop-connections")
    bench.audience.await_live("push", 10)
    bench.audience.await_health(lambda health: health.poll.link.state == "down", "poll down", 25)
    bench.ksem.command("poll", open=True)
    bench.audience.await_health(lambda health: health.poll.link.state == "up", "poll up", 25)
    assert bench.audience.wrong == []


@pytest.mark.parametrize(
    "fault", ["silent", "exception", "short", "late", "close", "wrong-transaction", "wrong-unit", "foreign", "garbage"]
)
def test_whatever_goes_wrong_with_polling_nothing_wrong_is_published_and_it_recovers(start: Start, fault: str) -> None:
    bench = start(push=False)
    bench.audience.await_live("poll", 4)
    bench.ksem.command("fault", name=fault, seconds=1.0)
    bench.audience.await_status(b"offline")
    bench.ksem.command("clear")
    bench.audience.await_live("poll", 4, within=5)
    bench.audience.await_status(b"online")
    assert bench.audience.wrong == []


def test_a_foreign_device_at_the_address_is_refused_and_named(start: Start) -> None:
    bench = start(push=False)
    bench.audience.await_block("energy")
    bench.ksem.command("fault", name="foreign")
    bench.ksem.command("drop-connections")
    before = {name: len(heard) for name, heard in bench.audience.heard.items() if "/block/" in name}
    health = bench.audience.await_health(lambda health: "no KSEM" in health.why, "named", 15)
    assert health.state == "down"
    after = {name: len(heard) for name, heard in bench.audience.heard.items() if "/block/" in name}
    assert after.keys() == before.keys()
    assert bench.publisher.log_text().count("no KSEM") <= 2


def test_a_rebooting_meter_is_not_believed(start: Start) -> None:
    bench = start()
    bench.audience.await_live("push", 3)
    bench.ksem.command("reboot", gone=0.5, zero=3)
    bench.audience.await_health(lambda health: "0.0 Hz" in health.why, "named", 12)
    bench.audience.await_live("push", 3, within=10)
    assert all(block.registers[27] != 0 for block in bench.audience.live)


def test_a_frozen_meter_is_offline_until_its_values_move_again(start: Start) -> None:
    bench = start(settings="[checks]\nfrozen_after = 2.0")
    bench.audience.await_live("push", 3)
    bench.ksem.command("freeze", on=True)
    bench.audience.await_status(b"offline", within=6)
    health = bench.audience.await_health(lambda health: health.state == "down", "down")
    assert any(check.name == "frozen" for check in health.checks)
    bench.ksem.command("freeze", on=False)
    bench.audience.await_status(b"online", within=3)


def test_after_a_broker_restart_the_retained_set_is_there_again(start: Start) -> None:
    bench = start()
    bench.audience.await_live("push", 3)
    bench.audience.await_block("sunspec")
    bench.broker.restart()
    bench.audience.await_live("push", 3, within=5)
    with MeterAudience(bench.broker.port) as late:
        late.await_true(lambda: len([topic for topic in late.retained if "/block/" in topic]) == 4, "four blocks")
        late.await_true(lambda: late.retained.get("ksem/main/status") == b"online", "online")
        late.await_true(lambda: "ksem/main/value/energy_import" in late.retained, "retained values")


def test_a_late_will_is_corrected(start: Start) -> None:
    bench = start()
    bench.audience.await_status(b"online", within=10)
    assert bench.audience.link.publish("ksem/main/status", b"offline", qos=1, retain=True)
    bench.audience.await_status(b"offline")
    bench.audience.await_status(b"online", within=2)


def test_a_ping_is_answered_with_session_and_clock(start: Start) -> None:
    bench = start()
    session = bench.audience.await_live("push")[0].session
    before = boot_ms()
    bench.audience.link.publish("ksem/main/ping/attic", Ping(nonce="n1").encode())
    bench.audience.await_true(lambda: bool(bench.audience.heard["ksem/main/pong/attic"]), "pong")
    pong = Pong.decode(bench.audience.heard["ksem/main/pong/attic"][-1])
    assert (pong.nonce, pong.session) == ("n1", session)
    assert before <= pong.boot_ms <= boot_ms() + 1


def test_a_second_publisher_is_reported(start: Start) -> None:
    bench = start()
    block = bench.audience.await_live("push")[0]
    foreign = block.encode().replace(block.session.encode(), b"cafe0123")
    bench.audience.link.publish("ksem/main/block/live", foreign)
    bench.audience.await_health(lambda health: health.publishers == ("cafe0123",), "reported")


def test_a_push_from_a_stranger_is_refused_with_the_line_that_lets_it_in(start: Start) -> None:
    bench = start(meter='push_from = ["127.0.0.2"]')
    bench.audience.await_live("poll", 3)
    health = bench.audience.await_health(lambda health: any("refused" in c.name for c in health.checks), "refused")
    (check,) = [check for check in health.checks if "refused" in check.name]
    assert 'push_from = ["127.0.0.2", "127.0.0.1"]' in check.text
    assert bench.publisher.log_text().count("was refused") == 1


def test_a_starved_subscription_is_noticed(tmp_path: Path) -> None:
    acl = "user pub\ntopic write ksem/#\nuser all\ntopic readwrite #\n"
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(tmp_path / "broker", users={"pub": "x", "all": "x"}, acl=acl))
        ksem = stack.enter_context(KsemHandle(tmp_path))
        text = publisher_settings(broker, ksem.port, free_port())
        text = text.replace("[push]", 'username = "pub"\npassword = "x"\n[push]')
        publisher = stack.enter_context(Service("ksem_publisher", text, tmp_path))
        publisher.await_log("delivers nothing we subscribed to", within=15)


def test_it_ends_within_two_seconds_with_the_status_offline(start: Start) -> None:
    bench = start()
    bench.audience.await_status(b"online", within=10)
    began = time.monotonic()
    assert bench.publisher.stop(within=2.5) == 0
    assert time.monotonic() - began < 2.0
    bench.audience.await_status(b"offline", within=1)


def test_a_killed_publisher_is_offline_by_its_will_and_a_new_one_keeps_the_device_block(start: Start) -> None:
    bench = start()
    first = bench.audience.await_live("push", 3)[0].session
    bench.ksem.command("poll", open=False)
    bench.ksem.command("drop-connections")
    bench.publisher.kill()
    bench.audience.await_status(b"offline", within=5)
    bench.publisher.start()
    topic = bench.audience.topics.meter_block("main", "device")
    newest: Callable[[], BlockMessage] = lambda: BlockMessage.decode(bench.audience.heard[topic][-1])  # noqa: E731
    bench.audience.await_true(lambda: newest().source == "kept", "kept device block")
    bench.audience.await_live("push", 3)
    assert newest().registers[8244 - 8192] == 200
    assert newest().session != first
    bench.ksem.command("poll", open=True)
    bench.audience.await_true(lambda: newest().source == "poll", "device read again")


def test_an_stalled_publisher_serves_nothing_that_waited(start: Start) -> None:
    bench = start(options=("--pipeline",))
    bench.audience.await_live("push", 5)
    bench.publisher.freeze()
    time.sleep(3)  # the stall itself
    bench.publisher.thaw()
    bench.audience.await_live("push", 5, within=5)
    assert bench.audience.wrong == []


def test_a_changed_firmware_has_sunspec_walked_again(start: Start) -> None:
    bench = start(settings="[poll]\ndevice = 0.5\nsunspec = 0.5")
    assert bench.audience.await_block("sunspec").registers[3] == 66
    bench.ksem.command("firmware", version="2.5.0")
    topic = bench.audience.topics.meter_block("main", "sunspec")
    newest: Callable[[], BlockMessage] = lambda: BlockMessage.decode(bench.audience.heard[topic][-1])  # noqa: E731
    bench.audience.await_true(lambda: newest().registers[3] == 65, "walked again")


def test_values_are_plain_numbers_at_the_chosen_pace(start: Start) -> None:
    bench = start()
    bench.audience.await_live("push", 12)
    heard = bench.audience.heard
    assert len(heard["ksem/main/values"]) >= 10
    assert 2 <= len(heard["ksem/main/value/power"]) <= 5
    for topic, payloads in heard.items():
        if "/value/" in topic:
            assert all(float(payload) == float(payload) for payload in payloads)
    retained = [topic for topic in bench.audience.retained if "/value/" in topic]
    assert retained == []
