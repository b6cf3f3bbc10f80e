"""Faults of the broker, and of who else talks on it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ksem_contract.block_message import BlockMessage
from tests.bridge.broker import Broker
from tests.bridge.fake_publisher import FakePublisher
from tests.bridge.service import Service
from tests.chain import LIMIT_MS, Chain, kinds

from .ear import LIVE, METER_STATUS, NODE_STATUS, TOLD_WITHIN, Ear
from .log_lines import quiet

FAMILY = "broker"
REFUSED = {"exception-4", "timeout"}
"""What an inverter may get while there is no fresh data; it hears nothing while the server starts."""
ROOT = Path(__file__).parents[2]
USERS = {"publisher": "p", "rtu": "r", "dashboard": "d"}
ACL = (ROOT / "mosquitto" / "acl").read_text()


@pytest.fixture
def probe(chain: Chain) -> Iterator[Ear]:
    with Ear(chain.broker.port) as probe:
        await_statuses(probe)
        yield probe


def log_in(chain: Chain, part: str, user: str) -> None:
    """A part that has not been started yet gets a login."""
    service: Service = getattr(chain, part)
    environ = {"AIRBRIDGE_MQTT__USERNAME": user, "AIRBRIDGE_MQTT__PASSWORD": USERS[user]}
    again = Service(service.module, service.settings_path.read_text(), service.folder, environ=environ)
    setattr(chain, part, again)


@pytest.fixture
def guarded(tmp_path: Path, kept_rows: list[object]) -> Iterator[Chain]:
    """A chain, not started, whose broker asks for logins and has the access list that is shipped."""
    broker = Broker(tmp_path / "broker", users=USERS, acl=ACL)
    # No request for 8244 first: a device block that was kept from the RTU server comes with its next poll, in 10 s.
    with Chain(tmp_path, broker=broker, inverter_options=("--timeout", "0.15", "--no-detect")) as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        log_in(chain, "publisher", "publisher")
        log_in(chain, "server", "rtu")
        yield chain


def await_statuses(probe: Ear) -> None:
    """Data flows: both statuses say so in time."""
    probe.await_last(METER_STATUS, b"online", TOLD_WITHIN)
    probe.await_last(NODE_STATUS, b"online", TOLD_WITHIN)


@pytest.mark.slow
@pytest.mark.promise(5, 9)
def test_services_wait_for_a_broker_that_comes_last(tmp_path: Path, kept_rows: list[object]) -> None:
    with Chain(tmp_path) as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.start("meter", "publisher", "line", "server", "inverter")
        for service in (chain.publisher, chain.server):
            service.await_log("connection refused")
        with chain.fault("the broker is absent at the start", FAMILY) as row:
            assert set(chain.watch(2)) <= REFUSED
            chain.start("broker")
        assert "good" in row.inverter_saw
        for service in (chain.publisher, chain.server):
            assert service.log_text().count("broker: connection refused") == 1  # of several attempts
        with Ear(chain.broker.port) as probe:
            await_statuses(probe)


@pytest.mark.parametrize(
    ("persistence", "how", "seconds"),
    [
        pytest.param(True, "stop", 2, marks=pytest.mark.slow),
        pytest.param(True, "kill", 2, marks=pytest.mark.slow),
        pytest.param(False, "kill", 2, marks=pytest.mark.quick),
        pytest.param(False, "stop", 0, marks=pytest.mark.slow),  # so quick that no status changes: all is said again
    ],
)
@pytest.mark.promise(5)
def test_a_broker_that_restarts_costs_seconds(
    tmp_path: Path, kept_rows: list[object], persistence: bool, how: str, seconds: float
) -> None:
    with Chain(tmp_path, broker=Broker(tmp_path / "broker", persistence=persistence)) as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.start()
        chain.await_well()
        with Ear(chain.broker.port) as probe:
            await_statuses(probe)
        memory = "with persistence" if persistence else "without persistence"
        name = f"the broker restarts {memory} ({'SIGTERM' if how == 'stop' else 'SIGKILL'}), {seconds:g} s"
        with quiet(chain.publisher, chain.server, at_most=6) as logged:
            with chain.fault(name, FAMILY):
                getattr(chain.broker, how)()
                time.sleep(seconds)
                chain.broker.start()
                chain.watch(0 if seconds else LIMIT_MS / 1000)  # what was there before is used up
            with Ear(chain.broker.port) as probe:
                await_statuses(probe)
        for lines in logged:
            assert len(lines.with_word("broker:")) <= 3  # lost, refused, connected


@pytest.mark.slow
@pytest.mark.promise(5)
def test_a_frozen_broker_is_left_and_met_again(chain: Chain) -> None:
    with quiet(chain.publisher, chain.server, at_most=8) as logged:
        with chain.fault("the broker is stopped (SIGSTOP) for 10 s", FAMILY):
            chain.broker.freeze()
            time.sleep(LIMIT_MS / 1000 + 0.1)
            assert set(chain.watch(8.4)) <= REFUSED
            chain.broker.thaw()
        with Ear(chain.broker.port) as probe:
            await_statuses(probe)
    for lines in logged:
        assert lines.with_word("no answer") or lines.with_word("does not answer")


@pytest.mark.slow
@pytest.mark.parametrize("user", ["publisher", "rtu"])
@pytest.mark.promise(5)
def test_a_password_changed_at_the_broker_is_named_and_mended_there(guarded: Chain, user: str) -> None:
    chain = guarded
    chain.start()
    chain.await_well()
    service, other = (chain.publisher, chain.server) if user == "publisher" else (chain.server, chain.publisher)
    known = chain.broker.users
    assert known is not None
    with (
        quiet(service, other, at_most=8) as (lines, _),
        Ear(chain.broker.port, username="dashboard", password="d") as probe,
    ):
        with chain.fault(f"the password of {user} is changed at the broker for 4 s", FAMILY):
            known[user] = "another"
            chain.broker.reload()
            service.await_log("bad user name or password")
            if user == "publisher":  # mosquitto 2.0 sends no will for whom it throws out so; the other side tells
                probe.await_last(NODE_STATUS, b"offline", LIMIT_MS / 1000 + TOLD_WITHIN)
            time.sleep(LIMIT_MS / 1000)
            assert "good" not in chain.watch(1)
            known[user] = USERS[user]
            chain.broker.reload()
        await_statuses(probe)
        assert len(lines.with_word("broker: not authorised")) == 1


STARVED = {
    "the RTU server may not read blocks": (
        "rtu",
        "topic read ksem/+/block/+",
        "the broker's ACL keeps ksem/main/block/+",
    ),
    "the RTU server may not read pongs": ("rtu", "topic read ksem/+/pong/+", "read ksem/main/pong/+"),
    "the publisher may not read pings": ("publisher", "topic read ksem/+/ping/+", "the publisher's read"),
}


def without(acl: str, user: str, right: str) -> str:
    """The access list without one right of one user."""
    head, name, rest = acl.partition(f"user {user}\n")
    assert right in rest
    return head + name + rest.replace(f"{right}\n", "", 1)


@pytest.mark.slow
@pytest.mark.parametrize("fault", STARVED)
def test_a_right_that_the_broker_denies_in_silence_is_named(guarded: Chain, fault: str) -> None:
    chain = guarded
    user, right, words = STARVED[fault]
    chain.broker.acl = without(ACL, user, right)
    chain.start()
    with Ear(chain.broker.port, username="dashboard", password="d") as probe:
        with chain.fault(f"{fault} (ACL of the broker)", FAMILY):
            chain.server.await_log(words, within=6)
            health = probe.await_node_health(lambda health: words in health.why)
            assert health.state == "down"
            assert probe.last(NODE_STATUS) == b"offline"
            assert set(chain.watch(1)) <= REFUSED
            chain.broker.acl = ACL
            chain.broker.reload()
        await_statuses(probe)
        assert chain.server.log_text().count(words) == 1
        probe.await_node_health(lambda health: health.state == "ok")


@pytest.mark.slow
def test_a_publisher_that_may_read_nothing_says_so(guarded: Chain) -> None:
    chain = guarded
    acl = ACL
    for right in ("topic read ksem/+/status", "topic read ksem/+/block/+", "topic read ksem/+/ping/+"):
        acl = without(acl, "publisher", right)
    chain.broker.acl = acl
    chain.start("broker", "meter", "publisher")
    with Ear(chain.broker.port, username="dashboard", password="d") as probe:
        chain.publisher.await_log("let this user read ksem/main/status")
        probe.await_meter_health(lambda health: "let this user read ksem/main/status" in health.why)
        chain.broker.acl = ACL
        chain.broker.reload()
        probe.await_meter_health(lambda health: health.state == "ok", within=8)


def recorded(chain: Chain, count: int) -> dict[str, bytes]:
    """Real blocks as they were published a while ago."""
    with Ear(chain.broker.port) as probe:
        for _ in range(count):
            probe.await_next(LIVE)
        return {one.topic: one.payload for one in probe.received if "/block/" in one.topic}


def changed(payload: bytes, **fields: object) -> bytes:
    return replace(BlockMessage.decode(payload), **fields).encode()  # type: ignore[arg-type]  # of any field


@pytest.mark.slow
@pytest.mark.parametrize(
    ("when", "boot_ms"), [("of this uptime", None), ("of the host's last, longer uptime", 4_000_000_000)]
)
@pytest.mark.promise(1)
def test_yesterdays_retained_blocks_are_never_served(
    tmp_path: Path, kept_rows: list[object], when: str, boot_ms: int | None
) -> None:
    broker = Broker(tmp_path / "broker", persistence=True)
    with Chain(tmp_path / "yesterday", broker=broker) as chain:
        chain.start("broker", "meter", "publisher")
        blocks = recorded(chain, 3)
        chain.publisher.stop()
        with Ear(broker.port) as probe:
            for topic, payload in blocks.items():  # without an expiry, as an older release left them
                old = payload if boot_ms is None else changed(payload, boot_ms=boot_ms)
                probe.publish(topic, changed(old, session="00000bad"))
            probe.publish(METER_STATUS, b"online")
            probe.await_last(METER_STATUS, b"online", 5)
        broker.stop()
    with Chain(tmp_path / "today", broker=broker) as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.start("broker", "meter", "line", "server", "inverter")
        with chain.fault(f"retained blocks of yesterday, {when}, and no publisher for 2.5 s", FAMILY):
            assert "00000bad" in broker_says(broker, LIVE)
            assert set(chain.watch(2.5)) <= REFUSED
            chain.server.await_log("no block of meter main arrives")
            chain.start("publisher")


def broker_says(broker: Broker, topic: str) -> str:
    """The retained message on a topic."""
    with Ear(broker.port) as probe:
        probe.await_last(topic, lambda _payload: True, 2)
        return (probe.last(topic) or b"").decode()


def bridge_to(broker: Broker, *, both_ways: bool = False) -> list[str]:
    """Lines that make a mosquitto hand its messages to another broker, the retained ones at its start."""
    return [
        "connection bridge",
        f"address {broker.host}:{broker.port}",
        f"topic ksem/# {'both' if both_ways else 'out'} 0",
        "restart_timeout 1",
        "notifications false",
        "cleansession true",
    ]


@pytest.mark.slow
@pytest.mark.promise(1)
def test_a_bridge_that_replays_its_retained_blocks_as_news_changes_nothing(
    chain: Chain, probe: Ear, tmp_path: Path
) -> None:
    old = recorded(chain, 2)
    old = {topic: payload if topic == LIVE else changed(payload, session="00000bad") for topic, payload in old.items()}
    with Broker(tmp_path / "other", persistence=True) as other:
        with Ear(other.port) as there:
            for topic, payload in old.items():
                there.publish(topic, payload)
        other.stop()
        other.config = bridge_to(chain.broker)
        time.sleep(LIMIT_MS / 1000)
        received = len(probe.received)
        name = "a mosquitto bridge comes up and replays old blocks without the retain flag"
        with chain.fault(name, FAMILY, recovery=None):
            other.start()
            replayed = [probe.await_said(topic, payload, received, within=45) for topic, payload in old.items()]
            assert kinds(chain.watch(2)) == {"good"}
    assert not any(message.retained for message in replayed)


@pytest.mark.slow
@pytest.mark.promise(1)
def test_two_brokers_joined_by_a_bridge_that_breaks_and_heals(tmp_path: Path, kept_rows: list[object]) -> None:
    with Broker(tmp_path / "far") as far, Chain(tmp_path) as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.broker.config = bridge_to(far, both_ways=True)
        text = chain.server.settings_path.read_text()
        chain.server.settings_path.write_text(text.replace(str(chain.broker.port), str(far.port)))
        chain.start()
        chain.await_well()
        # Mosquitto itself lets some seconds go by before it connects a bridge again.
        with chain.fault("a bridge between two brokers breaks for 2 s and comes back", FAMILY, recovery=10):
            far.kill()
            time.sleep(2)
            far.start()
        with Ear(far.port) as probe:
            await_statuses(probe)


GARBAGE = [
    b"",
    b"not json",
    b"\xff\xfe\x00",
    b"[]",
    b"null",
    b"{}",
    b'{"v":2,"meter":"main"}',
    b'{"v":1,"meter":"main","block":"live","start":0,"registers":[NaN]}',
    b"9" * 5000,
    b"[" * 5000,
    b'{"v":1,"nonce":"x"}',
    b"online?",
]
TOPICS = [
    "block/live", "block/energy", "block/device", "block/sunspec", "block/r100-3", "block/nonsense", "status",
    "pong/attic", "ping/attic", "ping/other", "values",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.promise(2, 9)
def test_garbage_on_our_topics_changes_nothing_and_is_said_once(chain: Chain, probe: Ear, retain: bool) -> None:
    with quiet(chain.publisher, chain.server, at_most=12) as (publisher, server):
        name = f"a foreign publisher with {'retained ' if retain else ''}garbage on all topics for 3 s"
        with chain.fault(name, FAMILY, recovery=None):
            for round_number in range(24):
                payload = GARBAGE[round_number % len(GARBAGE)]
                for topic in (*(f"ksem/main/{topic}" for topic in TOPICS), NODE_STATUS):
                    probe.publish(topic, payload, retain=retain)
                time.sleep(0.1)
            assert kinds(chain.watch(1)) == {"good"}
        await_statuses(probe)
        assert len(server.with_word("breaks the contract")) == 1
        probe.await_meter_health(lambda health: health.publishers == ("unreadable",))
        assert publisher.with_word("another publisher runs for this meter")


@pytest.mark.slow
@pytest.mark.promise(2)
def test_retained_garbage_at_the_start_is_no_hindrance(tmp_path: Path, kept_rows: list[object]) -> None:
    with Chain(tmp_path) as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.start("broker", "meter", "line")
        with Ear(chain.broker.port) as probe:
            for number, topic in enumerate(TOPICS):
                probe.publish(f"ksem/main/{topic}", GARBAGE[1 + number % (len(GARBAGE) - 1)])
            probe.publish(NODE_STATUS, b"garbage")
            chain.start("server", "inverter")
            with chain.fault("retained garbage on all topics at the start", FAMILY):
                assert set(chain.watch(1)) <= REFUSED
                chain.start("publisher")
            await_statuses(probe)
            assert chain.server.log_text().count("breaks the contract") == 1


@pytest.mark.slow
@pytest.mark.parametrize("answers", [False, True])
@pytest.mark.promise(2)
def test_a_foreign_session_beside_ours_is_not_served_and_is_told(chain: Chain, probe: Ear, answers: bool) -> None:
    foreign = FakePublisher(chain.broker.port, session="bbbb", answers=answers).start()
    try:
        kind = "that answers pings" if answers else "that answers no pings"
        with chain.fault(f"a foreign publisher with well-formed blocks, {kind}", FAMILY, recovery=None):
            for _ in range(20):
                foreign.send("live", fill=7)
                foreign.send("energy", fill=7)
                time.sleep(0.1)
            assert kinds(chain.watch(1)) == {"good"}
        probe.await_meter_health(lambda health: health.publishers == ("bbbb",))
        chain.publisher.await_log("another publisher runs for this meter (session bbbb)")
    finally:
        foreign.stop()


@pytest.mark.slow
def test_a_forged_sequence_number_of_our_session_starves_nobody(chain: Chain, probe: Ear) -> None:
    with chain.fault("blocks of our own session with a huge seq", FAMILY, recovery=None):
        for _ in range(5):
            live = probe.live()
            probe.publish(LIVE, changed(live.encode(), seq=live.seq + 10**12, boot_ms=live.boot_ms + 1))
        assert kinds(chain.watch(3)) == {"good"}


@pytest.mark.slow
def test_a_block_of_our_session_from_the_future_costs_no_more_than_an_echo(chain: Chain, probe: Ear) -> None:
    chain.watch(1.2)  # the pings of the start are over, the next one would be due in 10 s
    with chain.fault("blocks of our own session, stamped an hour ahead, with a huge seq", FAMILY):
        for _ in range(5):
            live = probe.live()
            probe.publish(LIVE, changed(live.encode(), seq=live.seq + 10**12, boot_ms=live.boot_ms + 3_600_000))
