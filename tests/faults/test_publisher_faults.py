"""What breaks around ksem-publisher, seen at the broker: nothing wrong, torn or too young is ever published."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from ksem_contract.block_message import BlockMessage
from ksem_simulators.simulator import KsemHandle
from tests.bridge.broker import Broker, free_port
from tests.bridge.meter_audience import MeterAudience
from tests.bridge.publisher_bench import Start, publisher_settings, start
from tests.bridge.service import Service

__all__ = ["start"]
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--gap", "20", "--jitter", "30", "--offset", "70"),
        ("--groups", "total,phases,energy_total,energy_phases"),
    ],
    ids=" ".join,
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


@pytest.mark.parametrize("groups", [("phases",), ("energy_total", "energy_phases")])
def test_a_push_group_switched_off_is_named_and_polling_carries_live(start: Start, groups: tuple[str, ...]) -> None:
    bench = start(options=("--groups", ",".join(groups)))
    bench.audience.await_live("poll", 5)
    health = bench.audience.await_health(
        lambda health: "not pushed" in health.why or "only energy" in health.why, "why"
    )
    assert health.state == "degraded"
    assert bench.audience.wrong == []


@pytest.mark.promise(6)
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


def test_a_rebooting_meter_is_not_believed(start: Start) -> None:
    bench = start()
    bench.audience.await_live("push", 3)
    bench.ksem.command("reboot", gone=0.5, zero=3)
    bench.audience.await_health(lambda health: "0.0 Hz" in health.why, "named", 12)
    bench.audience.await_live("push", 3, within=10)
    assert all(block.registers[27] != 0 for block in bench.audience.live)


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


def test_a_starved_subscription_is_noticed(tmp_path: Path) -> None:
    acl = "user pub\ntopic write ksem/#\nuser all\ntopic readwrite #\n"
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(tmp_path / "broker", users={"pub": "x", "all": "x"}, acl=acl))
        ksem = stack.enter_context(KsemHandle(tmp_path))
        text = publisher_settings(broker, ksem.port, free_port())
        text = text.replace("[push]", 'username = "pub"\npassword = "x"\n[push]')
        publisher = stack.enter_context(Service("ksem_publisher", text, tmp_path))
        publisher.await_log("delivers nothing we subscribed to", within=15)


def test_a_killed_publisher_is_offline_by_its_will_and_a_new_one_keeps_the_device_block(start: Start) -> None:
    bench = start()
    first = bench.audience.await_live("push", 3)[0].session
    bench.ksem.command("poll", open=False)
    bench.ksem.command("drop-connections")
    bench.publisher.kill()
    bench.audience.await_status(b"offline", within=5)
    bench.publisher.start()
    topic = bench.audience.topics.meter_block("main", "device")
    newest: Callable[[], BlockMessage] = lambda: BlockMessage.decode(bench.audience.received[topic][-1])  # noqa: E731
    bench.audience.await_true(lambda: newest().source == "kept", "kept device block")
    bench.audience.await_live("push", 3)
    assert newest().registers[8244 - 8192] == 200
    assert newest().session != first
    bench.ksem.command("poll", open=True)
    bench.audience.await_true(lambda: newest().source == "poll", "device read again")


@pytest.mark.promise(1)
def test_an_stalled_publisher_serves_nothing_that_waited(start: Start) -> None:
    bench = start(options=("--pipeline",))
    bench.audience.await_live("push", 5)
    bench.publisher.freeze()
    time.sleep(3)  # the stall itself
    bench.publisher.thaw()
    bench.audience.await_live("push", 5, within=5)
    assert bench.audience.wrong == []
