"""The whole chain and what it needs, on each broker."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.certificates import make_certificates
from tests.bridge.test_mqtt_link import Peer
from tests.chain import Chain

from .client import Client
from .programs import NamedBroker

FIRST_GOOD = 1.5
"""Seconds from rtu-server's start to its first good answer."""


def login_of(broker: NamedBroker) -> dict[str, Any]:
    return dict(zip(("username", "password"), broker.login, strict=True)) if broker.login else {}


@pytest.fixture(scope="module")
def broker(kind: type[NamedBroker], tmp_path_factory: pytest.TempPathFactory) -> Iterator[NamedBroker]:
    with kind(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="module")
def chain(kind: type[NamedBroker], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("chain")
    login = 'username = "{}"\npassword = "{}"'.format(*kind.login) if kind.login else ""
    patient = ("--timeout", "0.5")  # this is about brokers, not about a busy machine
    with Chain(folder, broker=kind(folder / "broker"), mqtt=login, inverter_options=patient) as chain:
        chain.start()
        chain.await_good(10, within=30)
        yield chain


def test_it_takes_the_newest_version_it_knows_and_refuses_mqtt_5_otherwise(
    broker: NamedBroker, facts: dict[str, Any]
) -> None:
    with Client(broker, "newest") as client:
        assert client.accepted
    facts["mqtt"] = "5" if broker.newest == 5 else "3.1.1"
    facts["mqtt_refusal"] = "-"
    if broker.newest < 5:
        with Client(broker, "five", version=5) as client:
            assert not client.accepted
            facts["mqtt_refusal"] = "in words" if client.accepted is False else "closes the connection"


def test_a_link_left_to_itself_comes_up_with_that_version(broker: NamedBroker) -> None:
    login = login_of(broker)
    with Peer(broker.port, version="auto", subscriptions=("t/a", "t/+"), **login) as peer:
        peer.until_up(patience=10)
        assert peer.link.version == broker.newest
        peer.link.publish("t/a", b"x", qos=1)
        peer.until(lambda: bool(peer.messages))
        time.sleep(0.3)  # a copy would come now
        assert peer.payloads() == [b"x"]


def test_retained_messages_reach_exact_topics(broker: NamedBroker, facts: dict[str, Any]) -> None:
    with Client(broker, "writer") as writer, Client(broker, "reader") as reader, Client(broker, "other") as other:
        writer.publish("r/block/live", b"kept")
        reader.subscribe(["r/block/live"])
        assert reader.until(lambda: ("r/block/live", b"kept", True) in reader.messages)
        facts["exact"] = "yes"
        other.subscribe(["r/block/+"])
        facts["pattern"] = "yes" if other.until(lambda: bool(other.messages), 1.0) else "**no**"


def test_a_message_that_two_subscriptions_cover_comes_once_or_twice(broker: NamedBroker, facts: dict[str, Any]) -> None:
    with Client(broker, "writer") as writer, Client(broker, "reader") as reader:
        reader.subscribe(["c/block/live", "c/block/+"])
        writer.publish("c/block/live", b"one", retain=False)
        assert reader.until(lambda: reader.count("c/block/live", b"one") > 0)
        reader.until(lambda: reader.count("c/block/live", b"one") > 1, 0.5)
        facts["copies"] = {1: "once", 2: "twice"}[reader.count("c/block/live", b"one")]


def test_a_last_will_is_published_and_retained(broker: NamedBroker, facts: dict[str, Any]) -> None:
    with Client(broker, "reader") as reader, Client(broker, "dying", will=("w/status", b"offline")) as dying:
        reader.subscribe(["w/status"])
        sock: Any = dying.paho.socket()
        sock.shutdown(2)
        assert reader.until(lambda: reader.count("w/status", b"offline") > 0, 10)
    with Client(broker, "late") as late:
        late.subscribe(["w/status"])
        assert late.until(lambda: ("w/status", b"offline", True) in late.messages)
    facts["will"] = "yes"


def test_a_second_client_with_the_same_id_takes_over(broker: NamedBroker, facts: dict[str, Any]) -> None:
    with Client(broker, "same") as first, Client(broker, "same") as second:
        assert second.accepted
        assert first.until(lambda: first.ended is not None)
    facts["takeover"] = "yes"


def test_a_message_as_large_as_our_largest_arrives(broker: NamedBroker, facts: dict[str, Any]) -> None:
    large = bytes(65536)
    with Client(broker, "writer") as writer, Client(broker, "reader") as reader:
        reader.subscribe(["l/large"])
        writer.publish("l/large", large, retain=False)
        assert reader.until(lambda: reader.count("l/large", large) == 1)
    facts["large"] = "yes"


def test_with_tls_and_a_client_certificate_a_link_comes_up(
    kind: type[NamedBroker], facts: dict[str, Any], tmp_path: Path
) -> None:
    files = make_certificates(tmp_path / "tls")
    with kind(tmp_path / "broker", tls=files) as broker:
        login = login_of(broker)
        assert broker.tls_port is not None
        encrypted: dict[str, Any] = {
            "tls": True,
            "ca_file": files.ca,
            "cert_file": files.client_cert,
            "key_file": files.client_key,
        }
        with Peer(broker.tls_port, version="auto", subscriptions=("t/a",), **encrypted, **login) as peer:
            peer.until_up(patience=10)
            peer.link.publish("t/a", b"x")
            peer.until(lambda: bool(peer.messages))
    facts["tls"] = "yes"


def test_the_inverter_gets_good_answers_and_nothing_wrong_or_old(chain: Chain, facts: dict[str, Any]) -> None:
    chain.inverter.command("reset")
    outcomes = chain.watch(5)
    chain.assert_never()
    assert outcomes.get("good", 0) > 20, outcomes
    facts["chain"] = "yes"


def test_rtu_server_answers_soon_after_its_start_with_what_the_broker_kept(
    chain: Chain, kind: type[NamedBroker], facts: dict[str, Any]
) -> None:
    assert isinstance(chain.broker, NamedBroker)
    took = []
    for _ in range(3):
        chain.server.stop()
        time.sleep(0.3)  # an answer may be on the line still
        begun = time.monotonic()
        chain.server.start()
        chain.inverter.wait_for("good", 1, 10)
        took.append(time.monotonic() - begun)
    with Client(chain.broker, "reader") as reader:
        reader.subscribe(["ksem/main/block/device"])
        assert reader.until(lambda: any(kept for _, _, kept in reader.messages))
    chain.assert_never()
    facts["server_restart"] = f"{statistics.median(took):.1f} s"
    assert min(took) <= FIRST_GOOD, took


def test_rtu_server_s_end_is_published_by_the_broker(chain: Chain) -> None:
    assert isinstance(chain.broker, NamedBroker)
    with Client(chain.broker, "reader") as reader:
        reader.subscribe(["ksem/rtu/attic/status"])
        chain.server.kill()
        assert reader.until(lambda: reader.count("ksem/rtu/attic/status", b"offline") > 0, 10)
        chain.server.start()
        assert reader.until(lambda: reader.count("ksem/rtu/attic/status", b"online") > 0, 10)


def test_the_chain_comes_back_after_the_brokers_restart(
    chain: Chain, kind: type[NamedBroker], facts: dict[str, Any]
) -> None:
    assert isinstance(chain.broker, NamedBroker)
    chain.await_good(5)
    with Client(chain.broker, "writer") as writer:
        writer.publish("k/kept", b"kept")
    chain.broker.stop()
    chain.watch(2)  # so long that live data has run out
    begun = time.monotonic()
    chain.broker.start()
    started = time.monotonic()
    chain.await_good(10, within=30)  # so many in a row that live data is among them
    facts["broker_restart"] = f"{time.monotonic() - begun:.1f} s"
    assert time.monotonic() - started < 10
    with Client(chain.broker, "reader") as reader:
        reader.subscribe(["k/kept"])
        facts["kept"] = "kept" if reader.until(lambda: bool(reader.messages), 1.0) else "gone"
    chain.assert_never()
