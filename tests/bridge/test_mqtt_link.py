"""The link to the broker against a real mosquitto: it heals, drops rather than delays, and says why."""

import contextlib
import gc
import hashlib
import logging
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import attrs
import pytest

from ksem_contract.reasons import Reason, sentence
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink, client_id_of
from service_runtime.mqtt_session import Incoming
from tests.bridge.broker import Broker, free_port
from tests.bridge.certificates import make_certificates

LOG = logging.getLogger("link under test")


class Peer:
    """A link together with what it told."""

    def __init__(
        self,
        port: int,
        client_id: str = "peer",
        *,
        subscriptions: tuple[str, ...] = ("t/#",),
        will: tuple[str, bytes] | None = None,
        react: Callable[["Peer", Incoming], None] | None = None,
        greet: Callable[["Peer"], None] | None = None,
        keeps: bool = True,
        **settings: Any,
    ) -> None:
        self.messages: list[Incoming] = []
        self.links: list[tuple[bool, str]] = []
        self.news = threading.Condition()
        self._react = react
        self._greet = greet
        self._keeps = keeps
        self.link = MqttLink(
            MqttSettings(host="127.0.0.1", port=port, **settings),
            client_id=client_id,
            will=will,
            subscriptions=subscriptions,
            on_message=self._on_message,
            on_link=self._on_link,
            log=LOG,
        )

    def _on_message(self, message: Incoming) -> None:
        if self._react is not None:
            self._react(self, message)
        with self.news:
            if self._keeps:
                self.messages.append(message)
            self.news.notify_all()

    def _on_link(self, up: bool, reasons: tuple[Reason, ...]) -> None:
        if up and self._greet is not None:
            self._greet(self)
        with self.news:
            self.links.append((up, sentence(reasons)))
            self.news.notify_all()

    def until(self, holds: Callable[[], bool], patience: float = 5.0) -> float:
        """Wait until it holds; returns how long that took."""
        begun = time.monotonic()
        with self.news:
            held = self.news.wait_for(holds, patience)
        assert held, f"not within {patience} s; link said {self.links}, messages {self.payloads()[-5:]}"
        return time.monotonic() - begun

    def until_up(self, times: int = 1, patience: float = 5.0) -> float:
        return self.until(lambda: sum(up for up, _why in self.links) >= times, patience)

    def until_down(self, word: str = "", patience: float = 5.0) -> float:
        return self.until(lambda: any(not up and word in why for up, why in self.links), patience)

    def payloads(self) -> list[bytes]:
        return [message.payload[:40] for message in self.messages]

    def __enter__(self) -> Self:
        self.link.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.link.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as running:
        yield running


@pytest.fixture(params=[5, 3], ids=["mqtt 5", "mqtt 3.1.1"])
def version(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


def test_a_message_arrives_with_topic_payload_retain_flag_and_time(broker: Broker, version: int) -> None:
    with Peer(broker.port, version=version) as peer:
        peer.until_up()
        before = boottime()
        assert peer.link.publish("t/a", b"live")
        assert peer.link.publish("t/b", b"kept", qos=1, retain=True, expiry=60)
        peer.until(lambda: len(peer.messages) == 2)
        after = boottime()
        assert [(m.topic, m.payload, m.retained) for m in peer.messages] == [
            ("t/a", b"live", False),
            ("t/b", b"kept", False),
        ]
        assert all(before <= m.received <= after for m in peer.messages)
        with Peer(broker.port, "late", version=version) as late:
            late.until(lambda: len(late.messages) == 1)
            assert late.messages[0].retained
            assert late.messages[0].payload == b"kept"


def test_messages_in_one_piece_arrive_in_their_order_and_none_while_the_link_is_down(
    broker: Broker, version: int
) -> None:
    some = [("t/a", b"first", True, 60), ("t/b", b"", False, None), ("t/c", b"x" * 3000, False, None)]
    with Peer(broker.port, version=version) as peer:
        peer.until_up()
        assert peer.link.publish_together([])
        assert peer.link.publish_together(some)
        peer.until(lambda: len(peer.messages) == 3)
        assert [(m.topic, m.payload) for m in peer.messages] == [(topic, payload) for topic, payload, _, _ in some]
        with Peer(broker.port, "late", version=version) as late:
            late.until(lambda: len(late.messages) == 1)
            assert (late.messages[0].topic, late.messages[0].retained) == ("t/a", True)
    assert not peer.link.publish_together(some)


@pytest.mark.parametrize("qos", [0, 1])
def test_messages_of_every_length_arrive_whole(broker: Broker, version: int, qos: int) -> None:
    around = (0, 1, 100, 120, 127, 128, 16_360, 16_384, 100_000)  # a packet's length takes one to three bytes
    with Peer(broker.port, version=version) as peer:
        peer.until_up()
        sent = []
        for length in around:
            sent.append(os.urandom(length))
            assert peer.link.publish("t/ünder", sent[-1], qos=qos)
            peer.until(lambda: len(peer.messages) == len(sent))
        assert [message.payload for message in peer.messages] == sent
        assert {message.topic for message in peer.messages} == {"t/ünder"}


def test_a_retained_message_is_kept_by_the_broker_for_its_expiry(broker: Broker) -> None:
    with Peer(broker.port) as peer:
        peer.until_up()
        assert peer.link.publish("t/brief", b"1", retain=True, expiry=1)
        assert peer.link.publish("t/long", b"2", retain=True, expiry=60)
        peer.until(lambda: len(peer.messages) == 2)
        time.sleep(2.1)  # the broker's clock has whole seconds
        with Peer(broker.port, "late") as late:
            late.until(lambda: bool(late.messages))
            assert [(one.topic, one.retained) for one in late.messages] == [("t/long", True)]


@pytest.mark.promise(9)
def test_a_broker_that_comes_late_is_waited_for_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, version: int
) -> None:
    broker = Broker(tmp_path / "broker")
    caplog.set_level(logging.INFO)
    with Peer(broker.port, version=version) as peer:
        peer.until_down("connection refused by 127.0.0.1")
        assert not peer.link.connected
        assert not peer.link.publish("t/a", b"dropped", qos=1)
        threading.Event().wait(1.5)  # some attempts more
        with broker:
            assert peer.until_up() < 2.0
            peer.until(lambda: peer.link.connected)
            assert [up for up, _why in peer.links] == [False, True]
            assert len([record for record in caplog.records if record.name == LOG.name]) == 2


@pytest.mark.promise(5)
def test_the_link_is_back_within_two_seconds_after_the_broker_restarted(broker: Broker, version: int) -> None:
    with Peer(broker.port, version=version) as peer:
        peer.until_up()
        broker.kill()
        peer.until_down()
        broker.start()
        assert peer.until_up(times=2) < 2.0
        assert peer.link.publish("t/a", b"again")
        peer.until(lambda: b"again" in peer.payloads())


@pytest.mark.promise(1)
def test_nothing_from_before_an_outage_is_sent_after_it(broker: Broker, version: int) -> None:
    with Peer(broker.port, version=version) as peer:
        peer.until_up()
        broker.freeze()  # both go into the socket and are never acknowledged
        peer.link.publish("t/old", b"old qos 0")
        peer.link.publish("t/old", b"old qos 1", qos=1)
        broker.kill()
        peer.until_down()
        assert not peer.link.publish("t/old", b"while down qos 0")
        assert not peer.link.publish("t/old", b"while down qos 1", qos=1)
        broker.start()
        with Peer(broker.port, "witness", version=version) as oracle:
            oracle.until_up()
            peer.until_up(times=2)
            peer.link.publish("t/new", b"new", qos=1)
            oracle.until(lambda: b"new" in oracle.payloads())
            assert [m for m in oracle.messages if m.topic == "t/old"] == []


@pytest.mark.promise(7)
def test_the_last_will_is_published_when_the_process_is_gone_and_not_after_a_clean_stop(broker: Broker) -> None:
    with Peer(broker.port, "witness") as oracle:
        oracle.until_up()
        dying = Peer(broker.port, "dying", will=("t/status", b"offline"))
        dying.link.start()
        dying.until_up()
        connection = dying.link._connection
        assert connection is not None
        connection._client.socket().shutdown(2)  # type: ignore[union-attr]
        oracle.until(lambda: b"offline" in oracle.payloads())
        dying.link.stop()
        polite = Peer(broker.port, "polite", will=("t/polite", b"offline"))
        polite.link.start()
        polite.until_up()
        polite.link.stop([("t/polite", b"farewell", 1, True)])
        oracle.until(lambda: b"farewell" in oracle.payloads())
        oracle.link.publish("t/end", b"end")
        oracle.until(lambda: b"end" in oracle.payloads())
        assert [m.payload for m in oracle.messages if m.topic == "t/polite"] == [b"farewell"]


def test_a_wrong_password_is_told_with_the_keys_to_look_at(tmp_path: Path, version: int) -> None:
    with (
        Broker(tmp_path / "broker", users={"rtu": "right"}) as broker,
        Peer(broker.port, username="rtu", password="wrong", version=version) as peer,
        Peer(broker.port, "nobody", version=version) as nobody,
        Peer(broker.port, "good", username="rtu", password="right", version=version) as good,
    ):
        good.until_up()
        peer.until_down("mqtt.password")
        nobody.until_down("mqtt.username")
        assert "bad user name or password" in peer.links[0][1]


def test_a_corrected_password_file_is_taken_at_the_next_connection(tmp_path: Path, version: int) -> None:
    file = tmp_path / "password"
    file.write_text("wrong\n")
    with (
        Broker(tmp_path / "broker", users={"rtu": "right"}) as broker,
        Peer(broker.port, version=version, username="rtu", password="wrong", password_file=file) as peer,
    ):
        peer.until_down("mqtt.password")
        file.write_text("right\n")
        peer.until_up()


def test_what_the_broker_refuses_to_take_is_told_by_topic(tmp_path: Path) -> None:
    reported: list[tuple[str, bool]] = []
    news = threading.Event()
    up = threading.Event()

    def note(topic: str, taken: bool) -> None:
        reported.append((topic, taken))
        if len(reported) == 2:
            news.set()

    with Broker(tmp_path, users={"u": "p"}, acl="user u\ntopic write mine/#\n") as broker:
        link = MqttLink(
            MqttSettings(host="127.0.0.1", port=broker.port, username="u", password="p"),
            client_id="writer",
            will=None,
            subscriptions=[],
            on_message=lambda _message: None,
            on_link=lambda is_up, _why: up.set() if is_up else None,
            log=LOG,
            on_acknowledged=note,
        )
        link.start()
        assert up.wait(5)
        link.publish("mine/a", b"1", qos=1)
        link.publish("yours/a", b"1", qos=1)
        assert news.wait(5), reported
        link.stop()
    assert reported == [("mine/a", True), ("yours/a", False)]


def test_three_restarts_of_the_broker_within_seconds_cost_no_more_than_one_each(broker: Broker, version: int) -> None:
    with Peer(broker.port, version=version) as peer:
        peer.until_up()
        for times in (2, 3, 4):
            broker.kill()
            peer.until(lambda: not peer.link.connected)
            broker.start()
            assert peer.until_up(times=times) < 2.0
        assert not any("instance" in why for _up, why in peer.links)


@pytest.mark.promise(9)
def test_who_takes_a_connection_over_again_and_again_keeps_nobody_away(broker: Broker, version: int) -> None:
    with Peer(broker.port, "same", version=version) as peer:
        peer.until_up()
        for times in range(2, 6):
            thief = Peer(broker.port, "same", version=version)
            with thief:
                thief.until_up()
            assert peer.until_up(times=times) < 2.0


def test_a_client_id_is_made_of_the_prefix_and_names_and_ends_at_random() -> None:
    settings = MqttSettings(prefix="site/ksem")
    made = {client_id_of(settings, "pub", "main") for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"site-ksem-pub-main-[0-9a-f]{16}", one) for one in made)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_large_messages_published_from_several_threads_while_receiving_are_never_mixed(
    tmp_path: Path, tls: bool
) -> None:
    config, settings = _tls_files(tmp_path) if tls else ([], {})
    whole: Counter[tuple[str, bool]] = Counter()

    def judge(_peer: Peer, message: Incoming) -> None:
        if message.topic != "big/answer":
            is_whole = hashlib.sha256(message.payload[32:]).digest() == message.payload[:32]
            whole[message.topic, is_whole] += 1

    with (
        Broker(tmp_path / "broker", config=[*config, "max_queued_messages 0"]) as broker,
        Peer(broker.port, "sink", subscriptions=("big/#",), react=judge, keeps=False, **settings) as sink,
        Peer(broker.port, "busy", subscriptions=("big/#", "small/#"), react=_answer, keeps=False, **settings) as busy,
    ):
        sink.until_up()
        busy.until_up()
        sent = [0, 0]
        over = threading.Event()

        def shout(number: int) -> None:
            body = os.urandom(60_000)
            while not over.is_set():
                payload = hashlib.sha256(body).digest() + body
                if busy.link.publish(f"big/{number}", payload, qos=number % 2):
                    sent[number] += 1
                    body = body[1:] + body[:1]
                if number % 2:
                    over.wait(0.002)  # QoS 1 is bounded by what is unacknowledged
                busy.link.publish("small/x", b"x")

        threads = [threading.Thread(target=shout, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        over.wait(3.0)
        over.set()
        for thread in threads:
            thread.join()
        sink.until(lambda: whole["big/1", True] > 0 and whole.total() > 20)
        assert min(sent) > 20
        assert [up for up, _why in busy.links] == [True]
        assert [up for up, _why in sink.links] == [True]
        assert all(is_whole for _topic, is_whole in whole), whole


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_link_whose_broker_takes_no_bytes_sleeps_and_is_declared_down(tmp_path: Path, tls: bool) -> None:
    config, settings = _tls_files(tmp_path) if tls else ([], {})
    with (
        Broker(tmp_path / "broker", config=config) as broker,
        Peer(broker.port, "blocked", keepalive=3, **settings) as peer,
    ):
        peer.until_up()
        broker.freeze()
        for _ in range(100):
            peer.link.publish("t/large", bytes(60_000), qos=1)
        begun = time.process_time()
        assert not peer.link.publish("t/live", b"live"), "live data behind old bytes would come late"
        time.sleep(1.0)
        assert time.process_time() - begun < 0.3
        peer.until_down("no answer from", patience=9)


def _answer(peer: Peer, message: Incoming) -> None:
    if message.topic.startswith("small/"):
        peer.link.publish("big/answer", b"a" * 500)


def test_an_answer_given_inside_on_message_goes_out_at_once(broker: Broker) -> None:
    def pong(peer: Peer, message: Incoming) -> None:
        peer.link.publish("pong", message.payload)

    with (
        Peer(broker.port, "server", subscriptions=("ping",), react=pong) as server,
        Peer(broker.port, "client", subscriptions=("pong",)) as client,
    ):
        server.until_up()
        client.until_up()
        trips = []
        for number in range(50):
            trips.append(time.monotonic())
            client.link.publish("ping", b"%d" % number)
            client.until(lambda: len(client.messages) > number)  # noqa: B023
            trips[-1] = time.monotonic() - trips[-1]
        assert sorted(trips)[25] < 0.05  # a turn of the loop would be 0.25


@pytest.mark.promise(5)
def test_publish_never_waits_for_a_frozen_broker_and_the_link_is_declared_down_in_time(
    broker: Broker, version: int
) -> None:
    with Peer(broker.port, version=version, keepalive=2) as peer:
        peer.until_up()
        broker.freeze()
        frozen = time.monotonic()
        longest, dropped = 0.0, 0
        while peer.link.connected and time.monotonic() - frozen < 10:
            begun = time.monotonic()
            dropped += not peer.link.publish("t/x", b"x" * 60_000)
            dropped += not peer.link.publish("t/status", b"online", qos=1)
            longest = max(longest, time.monotonic() - begun)
            time.sleep(0.02)
        noticed = time.monotonic() - frozen
        assert dropped > 10
        assert longest < 0.1
        assert noticed <= 2 * 2 + 1
        broker.thaw()
        peer.until_up(times=2, patience=4)


@pytest.mark.promise(1)
def test_a_stalled_link_holds_seconds_of_live_data_not_minutes(broker: Broker) -> None:
    """What the kernel took will arrive late in a burst; 5 messages a second fill 3.8 MB in a quarter of an hour."""
    with Peer(broker.port) as peer:
        peer.until_up()
        broker.freeze()
        taken = 0
        while peer.link.publish("t/live", b"x" * 900) and taken < 1000:
            taken += 1
        assert taken < 150


@pytest.mark.promise(7)
def test_an_idle_link_to_a_frozen_broker_is_declared_down_in_time(broker: Broker) -> None:
    with Peer(broker.port, keepalive=1) as peer:
        peer.until_up()
        broker.freeze()
        assert peer.until_down("no answer from") <= 2 * 1 + 1
        peer.until_down("accepts connections but does not answer", patience=8)


def test_stop_takes_no_longer_than_a_second_and_a_half_whatever_the_broker_does(broker: Broker) -> None:
    polite = Peer(broker.port, "polite")
    stuck = Peer(broker.port, "stuck")
    for peer in (polite, stuck):
        peer.link.start()
        peer.until_up()
    begun = time.monotonic()
    polite.link.stop([("t/bye", b"bye", 1, True)])
    assert time.monotonic() - begun < 0.3
    assert not polite.link.publish("t/late", b"late")
    broker.freeze()
    connecting = Peer(broker.port, "connecting")
    connecting.link.start()
    resolving = Peer(free_port(), "never started")
    for peer in (stuck, connecting, resolving):
        begun = time.monotonic()
        peer.link.stop([("t/bye", b"bye", 1, True)])
        peer.link.stop()
        assert time.monotonic() - begun < 1.7
    assert not stuck.link.thread._thread.is_alive()


def test_stop_is_bounded_while_the_address_does_not_answer() -> None:
    peer = Peer(1883)
    peer.link._settings = attrs.evolve(peer.link._settings, host="192.0.2.1")  # TEST-NET-1: packets vanish
    peer.link.start()
    threading.Event().wait(0.1)
    begun = time.monotonic()
    peer.link.stop([("t/bye", b"bye", 1, True)])
    assert time.monotonic() - begun < 1.7


def test_a_mistake_in_a_callback_is_logged_once_and_ends_nothing(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(peer: Peer, message: Incoming) -> None:
        if message.payload == b"bad":
            raise RuntimeError("stumbled")

    with Peer(broker.port, react=stumble) as peer:
        peer.until_up()
        for _ in range(5):
            peer.link.publish("t/x", b"bad")
        peer.link.publish("t/x", b"good")
        peer.until(lambda: b"good" in peer.payloads())
        assert peer.link.connected
    assert caplog.text.count("stumbled\n") <= 2  # the line and its trace
    assert caplog.text.count("on_message failed") == 1


def test_subscriptions_are_made_again_on_each_connection_and_the_greeting_comes_before_messages(broker: Broker) -> None:
    order: list[str] = []
    with Peer(broker.port, "keeper") as keeper:
        keeper.until_up()
        keeper.link.publish("t/kept", b"kept", qos=1, retain=True)
        keeper.until(lambda: len(keeper.messages) == 1)
        with Peer(
            broker.port,
            "reader",
            greet=lambda peer: order.append("up"),
            react=lambda peer, message: order.append(message.topic),
        ) as reader:
            reader.until(lambda: len(reader.messages) == 1)
            broker.restart()
            reader.until_up(times=2)
            keeper.until_up(times=2)
            keeper.link.publish("t/more", b"more")
            reader.until(lambda: b"more" in reader.payloads())
    assert order == ["up", "t/kept", "up", "t/more"]


@pytest.mark.promise(10)
def test_forty_reconnects_leave_no_thread_and_no_descriptor_behind(broker: Broker) -> None:
    def count() -> tuple[int, int]:
        gc.collect()  # what earlier tests left in circles is not this one's
        return threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    for _ in range(40):
        with Peer(broker.port) as peer:
            peer.until_up()
    assert count() == before


def _tls_files(folder: Path) -> tuple[list[str], dict[str, Any]]:
    files = make_certificates(folder)
    config = [
        f"cafile {files.ca}",
        f"certfile {files.server_cert}",
        f"keyfile {files.server_key}",
        "require_certificate true",
    ]
    return config, {"tls": True, "ca_file": files.ca, "cert_file": files.client_cert, "key_file": files.client_key}


def test_tls_troubles_are_told_by_file_and_cause(tmp_path: Path) -> None:
    config, settings = _tls_files(tmp_path)
    other_ca = _tls_files(tmp_path / "other")[1]["ca_file"]
    plain_port = free_port()
    without_client = {key: value for key, value in settings.items() if key not in ("cert_file", "key_file")}
    with (
        Broker(tmp_path / "broker", config=[*config, f"listener {plain_port} 127.0.0.1"]) as broker,
        Peer(broker.port, "good", **settings) as good,
        Peer(broker.port, "a", **{**settings, "ca_file": other_ca}) as unknown_ca,
        Peer(broker.port, "b", **{**settings, "ca_file": None}) as system_ca,
        Peer(broker.port, "c", **without_client) as no_certificate,
        Peer(broker.port, "d", **{**settings, "key_file": settings["ca_file"]}) as bad_key,
        Peer(plain_port, "e", **settings) as no_tls,
        Peer(broker.port, "f") as not_asked,
    ):
        good.until_up()
        unknown_ca.until_down(f"not signed by the CA in mqtt.ca_file {other_ca}")
        system_ca.until_down("mqtt.ca_file")
        no_certificate.until_down("client certificate (mqtt.cert_file)")
        bad_key.until_down("not a certificate or key in PEM form")
        no_tls.until_down("does it speak TLS there (mqtt.port)")
        not_asked.until_down("mqtt.tls")


@pytest.mark.parametrize("client", ["other CA", "expired"])
def test_a_refused_client_certificate_is_named(tmp_path: Path, client: str) -> None:
    config, settings = _tls_files(tmp_path)
    refused = make_certificates(tmp_path / "other", days=-1 if client == "expired" else 30)
    wrong = {**settings, "cert_file": refused.client_cert, "key_file": refused.client_key}
    if client == "expired":  # of a CA that the broker trusts
        good = make_certificates(tmp_path / "good")
        config = [f"cafile {refused.ca}", f"certfile {good.server_cert}", f"keyfile {good.server_key}", config[3]]
        wrong["ca_file"] = good.ca
    with Broker(tmp_path / "broker", config=config) as broker, Peer(broker.port, "x", **wrong) as peer:
        peer.until_down(f"mqtt.cert_file {refused.client_cert}")


def test_a_ca_without_key_usage_in_the_systems_store_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python 3.13 and later verify."""
    config, settings = _tls_files(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(settings["ca_file"]))
    make_context = ssl.create_default_context

    def strict(**options: Any) -> ssl.SSLContext:
        context = make_context(**options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    with (
        Broker(tmp_path / "broker", config=config) as broker,
        Peer(broker.port, "x", **{**settings, "ca_file": None}) as peer,
    ):
        peer.until_down("may not sign certificates: CA cert does not include key usage extension")


def test_a_link_that_only_receives_a_steady_flow_stays_up(broker: Broker) -> None:
    """The broker drops a client that says nothing for 1.5 keepalives, however much it is told itself."""
    with Peer(broker.port, "sender") as sender, Peer(broker.port, "receiver", keepalive=1) as receiver:
        sender.until_up()
        receiver.until_up()
        ends = time.monotonic() + 4.0
        while time.monotonic() < ends:
            sender.link.publish("t/steady", b"x")
            time.sleep(0.05)
        assert [up for up, _why in receiver.links] == [True]


def publish_file(broker: Broker, topic: str, size: int, folder: Path) -> None:
    """Let somebody else publish a retained message of this size."""
    path = folder / "large"
    path.touch()
    os.truncate(path, size)
    command = ["mosquitto_pub", "-h", broker.host, "-p", str(broker.port), "-t", topic, "-r", "-q", "1"]
    subprocess.run([*command, "-f", str(path)], check=True, timeout=30)


@pytest.mark.parametrize("size", [132_000, 200_000, 20_000_000])
def test_a_message_that_is_too_large_is_held_back_by_the_broker(broker: Broker, tmp_path: Path, size: int) -> None:
    with Peer(broker.port) as peer:
        peer.until_up()
        publish_file(broker, "t/large", size, tmp_path)
        peer.link.publish("t/after", b"after")
        peer.until(lambda: b"after" in peer.payloads())
        assert [up for up, _why in peer.links] == [True]
        assert [message.topic for message in peer.messages] == ["t/after"]


@pytest.mark.parametrize("size", [132_000, 200_000, 20_000_000])
def test_a_message_that_is_too_large_closes_an_old_connection_with_a_reason(
    broker: Broker, tmp_path: Path, size: int
) -> None:
    with Peer(broker.port, version=3) as peer:
        peer.until_up()
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = peak_kb()
        publish_file(broker, "t/large", size, tmp_path)
        peer.until_down("more than 131072 bytes", patience=15)
        assert "mqtt.version = 5" in peer.links[1][1]
        assert not any(message.topic == "t/large" for message in peer.messages)
    assert peak_kb() - before < 12_288


def peak_kb() -> int:
    """The most memory that this process used."""
    return int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0])


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_many_small_messages_after_a_stall_are_no_large_one(tmp_path: Path, tls: bool) -> None:
    config, settings = _tls_files(tmp_path) if tls else ([], {})
    busy = threading.Event()

    def stall(_peer: Peer, message: Incoming) -> None:
        if message.payload == b"stall":
            busy.wait(1.0)

    with (
        Broker(tmp_path / "broker", config=[*config, "max_queued_messages 0"]) as broker,
        Peer(broker.port, "reader", react=stall, version=3, **settings) as reader,
        Peer(broker.port, "writer", subscriptions=(), version=3, **settings) as writer,
    ):
        reader.until_up()
        writer.until_up()
        writer.link.publish("t/x", b"stall")
        sent = sum(writer.link.publish("t/x", b"x" * 2000) or busy.wait(0.001) for _ in range(2000))
        assert sent > 200
        writer.link.publish("t/end", b"end", qos=1)
        reader.until(lambda: any(message.topic == "t/end" for message in reader.messages), patience=15)
        assert [up for up, _why in reader.links] == [True]


class ScriptedBroker:
    """Accepts MQTT 5 and a subscription, wishes for a keepalive, and answers the packet types in `answers`, or none."""

    def __init__(self, server_keepalive: int | None, answers: bytes = b"") -> None:
        self.received: list[tuple[float, int]] = []
        self._answers = answers
        properties = b"" if server_keepalive is None else b"\x13" + server_keepalive.to_bytes(2)
        self._connack = bytes((0x20, 3 + len(properties), 0, 0, len(properties))) + properties
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            while head := connection.recv(2):
                body = connection.recv(head[1]) if head[1] else b""
                kind = head[0] >> 4
                self.received.append((time.monotonic(), kind))
                if kind == 1:
                    connection.sendall(self._connack)
                elif kind == 8:
                    connection.sendall(b"\x90\x04" + body[:2] + b"\0\0")
                elif kind == 10 and 10 in self._answers:
                    connection.sendall(b"\xb0\x04" + body[:2] + b"\0\x11")
                elif kind == 12 and 12 in self._answers:
                    connection.sendall(b"\xd0\0")

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize("wish", [None, 0, 1, 60, 65535])
def test_a_silent_broker_is_noticed_in_time_whatever_keepalive_it_wishes_for(wish: int | None) -> None:
    broker = ScriptedBroker(wish)
    with Peer(broker.port, keepalive=2) as peer:
        peer.until_up()
        assert peer.until_down("no answer from", patience=9) <= 2 * 2 + 1
    broker.close()


@pytest.mark.slow
@pytest.mark.parametrize("wish", [None, 0, 1, 60])
def test_a_broker_that_answers_is_kept_and_hears_of_us_as_often_as_it_wishes(wish: int | None) -> None:
    broker = ScriptedBroker(wish, answers=bytes((10, 12)))
    with Peer(broker.port, keepalive=2) as peer:
        peer.until_up()
        time.sleep(7)
        assert [up for up, _why in peer.links] == [True]
    times = [at for at, _kind in broker.received]
    assert max(later - at for at, later in pairwise(times)) < 1.5 * min(2, wish or 2) + 0.5
    broker.close()


def test_a_handshake_takes_no_longer_than_any_other_step(tmp_path: Path) -> None:
    _, settings = _tls_files(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as mute, Peer(mute.getsockname()[1], keepalive=20, **settings) as peer:
        assert peer.until_down("no answer from", patience=10) < 4


class OldBroker:
    """Stands before a broker: refuses MQTT 5 as NATS does (`registers`) or by closing, as RabbitMQ 3.10 does."""

    def __init__(self, broker: Broker, *, words: bool) -> None:
        self.attempts: list[int] = []
        self._broker, self._words = broker, words
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            greeting = client.recv(4096)
            version = greeting[greeting.index(b"MQTT") + 4]
            self.attempts.append(version)
            if version == 5:
                client.sendall(b"\x20\x02\x00\x01" if self._words else b"")
                return
            with socket.create_connection((self._broker.host, self._broker.port)) as behind:
                behind.sendall(greeting)
                threading.Thread(target=pump, args=(behind, client), daemon=True).start()
                pump(client, behind)


def pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(4096):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(("words", "attempts"), [(True, [5, 4, 4]), (False, [5, 4, 5, 4])])
def test_mqtt_3_1_1_is_taken_at_once_where_5_is_refused_and_logged_once(
    broker: Broker, caplog: pytest.LogCaptureFixture, words: bool, attempts: list[int]
) -> None:
    caplog.set_level(logging.INFO)
    with OldBroker(broker, words=words) as old, Peer(old.port, version="auto") as peer:
        assert peer.until_up() < 0.4, "no pause lies between the two attempts"
        peer.link.publish("t/a", b"x")
        peer.until(lambda: len(peer.messages) == 1)
        assert peer.link.version == 3
        broker.restart()
        peer.until_up(2, patience=10.0)
        assert old.attempts == attempts
        assert all(why for up, why in peer.links if not up)
    assert [r.message for r in caplog.records if "MQTT 5" in r.message] == [
        f"broker: 127.0.0.1:{old.port} refuses MQTT 5, so MQTT 3.1.1 is used (mqtt.version)"
    ]


def test_a_wrong_password_is_no_reason_to_try_the_older_version(tmp_path: Path) -> None:
    with (
        Broker(tmp_path / "broker", users={"u": "right"}) as broker,
        Peer(broker.port, version="auto", username="u", password="wrong") as peer,
    ):
        peer.until_down("bad user name or password")
        assert peer.link.version == 5
