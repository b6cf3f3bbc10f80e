"""The broker we ship, for real: each role can do what it must and nothing else, and nobody gets in without a login."""

import contextlib
import dataclasses
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, Self

import pytest
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from docs.generate_acl_table import ACL, FAMILIES, PAGE, read_acl, table, with_table
from ksem_contract.block_message import BlockMessage
from ksem_contract.blocks import ENERGY
from ksem_contract.health import (
    AGE_BOUNDS_MS,
    TURNAROUND_BOUNDS_MS,
    Histogram,
    LinkHealth,
    NodeHealth,
    Percentiles,
    RequestEntry,
    RequestsMessage,
    Transit,
    UnitHealth,
)
from ksem_contract.reasons import Reason, sentence
from rtu_server.counters import MAX_REQUESTED
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink
from service_runtime.mqtt_reasons import LARGEST_MESSAGE
from service_runtime.mqtt_session import Incoming
from tests.bridge.certificates import make_certificates
from tests.bridge.shipped_broker import MOSQUITTO, ROLES, TESTER, ShippedBroker, run_script

PACKET_LIMIT = 131072

# What each service does on the bus, by its design; read off neither the ACL nor the page.
WRITES = {
    "publisher": {
        "ksem/<meter>/status",
        "ksem/<meter>/block/<name>",
        "ksem/<meter>/health",
        "ksem/<meter>/values",
        "ksem/<meter>/value/<key>",
        "ksem/<meter>/pong/<node>",
        "homeassistant/device/ksem_publisher/<id>/config",
    },
    "rtu": {
        "ksem/<meter>/ping/<node>",
        "ksem/rtu/<node>/status",
        "ksem/rtu/<node>/health",
        "ksem/rtu/<node>/requests",
        "homeassistant/device/ksem_rtu/<id>/config",
    },
    "inverter": {
        "ksem/inverter/<id>/status",
        "ksem/inverter/<id>/health",
        "ksem/inverter/<id>/values",
        "homeassistant/device/ksem_inverter/<id>/config",
    },
    "dashboard": set(),
    "reader": set(),
    "homeassistant": {"homeassistant/status"},
}
_SHOWN = {
    "ksem/<meter>/status",
    "ksem/<meter>/health",
    "ksem/<meter>/values",
    "ksem/<meter>/value/<key>",
    "ksem/rtu/<node>/status",
    "ksem/rtu/<node>/health",
    "ksem/inverter/<id>/status",
    "ksem/inverter/<id>/health",
    "ksem/inverter/<id>/values",
}
# The doctor borrows the login of the half it runs beside, to tell about the other one.
_DOCTOR = {"ksem/<meter>/health", "ksem/rtu/<node>/health", "ksem/rtu/<node>/requests"}
READS = {
    "publisher": {
        "ksem/<meter>/status",
        "ksem/<meter>/block/<name>",
        "ksem/<meter>/ping/<node>",
        "ksem/rtu/<node>/status",
        "ksem/rtu/<node>/requests",
        "homeassistant/status",
        *_DOCTOR,
    },
    "rtu": {
        "ksem/<meter>/status",
        "ksem/<meter>/block/<name>",
        "ksem/<meter>/pong/<node>",
        "ksem/rtu/<node>/status",
        "ksem/inverter/<id>/values",
        "homeassistant/status",
        *_DOCTOR,
    },
    "inverter": {"ksem/<meter>/status", "ksem/<meter>/values", "ksem/inverter/<id>/status", "homeassistant/status"},
    "dashboard": {family for family in FAMILIES if family.startswith("ksem/")},
    "reader": _SHOWN,
    "homeassistant": _SHOWN | {family for family in FAMILIES if family.startswith("homeassistant/")},
}
TOPIC_OF = dict(FAMILIES)
FAMILY_OF = {topic: family for family, topic in FAMILIES.items()}
MARK = "ksem/end/status"
"""A topic that every role may read: what was sent before it has arrived before it."""


class Client:
    """One MQTT 5 client in a test's hand."""

    def __init__(
        self,
        port: int,
        user: str | None,
        password: str | None,
        keepalive: int = 60,
        transport: Literal["tcp", "websockets"] = "tcp",
    ) -> None:
        self.received: list[str] = []
        self.granted: dict[int, bool] = {}
        self.connack: Any = None
        self.gone: Any = None
        self.subscribed = False
        self._news = threading.Condition()
        self._paho = PahoClient(
            CallbackAPIVersion.VERSION2,
            protocol=MQTTProtocolVersion.MQTTv5,
            transport=transport,
            reconnect_on_failure=False,
        )
        if user is not None:
            self._paho.username_pw_set(user, password)
        self._paho.on_connect = lambda _c, _u, _flags, reason, properties: self._note(connack=(reason, properties))
        self._paho.on_disconnect = lambda _c, _u, _flags, reason, _p: self._note(gone=reason)
        self._paho.on_subscribe = lambda *_: self._note(subscribed=True)
        self._paho.on_message = lambda _c, _u, message: self._note(message=message.topic)
        self._paho.on_publish = lambda _c, _u, mid, reason, _p: self._note(puback=(mid, not reason.is_failure))
        self._paho.connect("127.0.0.1", port, keepalive)
        self._paho.loop_start()
        self.until(lambda: self.connack is not None)

    @property
    def accepted(self) -> bool:
        return not self.connack[0].is_failure

    def subscribe(self, pattern: str = "#") -> None:
        self._paho.subscribe(pattern)
        self.until(lambda: self.subscribed)

    def publish(self, topic: str, payload: bytes = b"x", qos: int = 1, retain: bool = False) -> int:
        return self._paho.publish(topic, payload, qos, retain).mid

    def publish_each(self, topics: list[str]) -> dict[str, bool]:
        """Publish to each topic; tell which the broker took."""
        mids = {self.publish(topic): topic for topic in topics}
        self.until(lambda: self.granted.keys() >= mids.keys())
        return {topic: self.granted[mid] for mid, topic in mids.items()}

    def until(self, holds: Callable[[], bool], patience: float = 5.0) -> None:
        with self._news:
            assert self._news.wait_for(holds, patience)

    def _note(self, *, message: str | None = None, puback: tuple[int, bool] | None = None, **state: Any) -> None:
        with self._news:
            if message is not None:
                self.received.append(message)
            if puback is not None:
                self.granted[puback[0]] = puback[1]
            for name, value in state.items():
                setattr(self, name, value)
            self._news.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._paho.disconnect()
        self._paho.loop_stop()


@dataclasses.dataclass
class Seen:
    """What the broker really let through, in families."""

    reads: dict[str, set[str]]
    writes: dict[str, set[str]]
    answers: dict[str, set[str]]
    """The families of which the broker said, in its PUBACK, that it took them."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShippedBroker]:
    with ShippedBroker(tmp_path_factory.mktemp("shipped"), tls=True, websockets=True) as running:
        yield running


@pytest.fixture(scope="module")
def seen(broker: ShippedBroker) -> Seen:
    found = Seen({}, {}, {})
    topics = list(TOPIC_OF.values())
    with Client(broker.port, TESTER, TESTER) as tester:
        tester.subscribe()
        for role in ROLES:
            with Client(broker.port, role, broker.password(role)) as client:
                client.subscribe()
                tester.publish_each(topics)
                tester.publish(MARK)
                client.until(lambda client=client: MARK in client.received)  # type: ignore[misc]
                found.reads[role] = {FAMILY_OF[topic] for topic in client.received if topic != MARK}
                tester.until(lambda: MARK in tester.received)
                tester.received.clear()
                answers = client.publish_each(topics)
                tester.publish(MARK)
                tester.until(lambda: MARK in tester.received)
                found.answers[role] = {FAMILY_OF[topic] for topic, taken in answers.items() if taken}
                found.writes[role] = {FAMILY_OF[topic] for topic in tester.received if topic != MARK}
                tester.received.clear()
    return found


@pytest.mark.parametrize("role", ROLES)
def test_a_role_reads_what_it_must_and_nothing_else(seen: Seen, role: str) -> None:
    assert seen.reads[role] == READS[role]


@pytest.mark.parametrize("role", ROLES)
def test_a_role_writes_what_it_must_and_nothing_else(seen: Seen, role: str) -> None:
    assert seen.writes[role] == WRITES[role]
    assert seen.answers[role] == WRITES[role], "what was refused is also said to be refused"


@pytest.mark.parametrize("role", ROLES)
def test_the_page_on_security_tells_what_the_broker_does(seen: Seen, role: str) -> None:
    header, _line, *rows = re.findall(r"^\| (.+) \|$", table(read_acl(ACL.read_text())), re.MULTILINE)
    column = header.split(" | ").index(role)
    reported = {row.split(" | ")[0].strip("`"): row.split(" | ")[column] for row in rows}
    assert reported.keys() == FAMILIES.keys()
    assert {family for family, rights in reported.items() if "read" in rights} == seen.reads[role]
    assert {family for family, rights in reported.items() if "write" in rights} == seen.writes[role]


def test_the_page_on_security_is_up_to_date_with_the_acl() -> None:
    page = PAGE.read_text()
    assert with_table(page, read_acl(ACL.read_text())) == page, "run: python docs/generate_acl_table.py"


@pytest.mark.parametrize(
    ("user", "password"), [(None, None), ("rtu", None), ("rtu", "wrong"), ("nobody", "x"), ("reader", "rtu's")]
)
def test_nobody_gets_in_without_the_right_login(broker: ShippedBroker, user: str | None, password: str | None) -> None:
    if password == "rtu's":
        password = broker.password("rtu")
    with Client(broker.port, user, password) as client:
        assert not client.accepted


@pytest.mark.parametrize(("role", "accepted"), [("dashboard", True), (None, False)])
def test_over_websockets_the_same_logins_hold(broker: ShippedBroker, role: str | None, accepted: bool) -> None:
    assert broker.websockets_port is not None
    password = broker.password(role) if role is not None else None
    with Client(broker.websockets_port, role, password, transport="websockets") as client:
        assert client.accepted is accepted


def test_the_broker_says_its_limits_and_keeps_them(broker: ShippedBroker) -> None:
    with Client(broker.port, TESTER, TESTER, keepalive=600) as client:
        _reason, properties = client.connack
        assert properties.MaximumPacketSize == PACKET_LIMIT
        assert properties.ServerKeepAlive == 60
        assert client.publish_each(["t/large"]) == {"t/large": True}
        client.publish("t/large", bytes(PACKET_LIMIT - 100))
        client.until(lambda: len(client.granted) == 2)
        client.publish("t/large", bytes(PACKET_LIMIT))
        client.until(lambda: client.gone is not None)
        assert "Packet too large" in str(client.gone)


def test_a_flood_of_filters_is_ended_and_the_services_go_on(tmp_path: Path) -> None:
    """Filters of many levels, 1000 a packet: without a limit 1.5 GB within seconds."""
    with (
        ShippedBroker(tmp_path / "b") as broker,
        Client(broker.local_port, "publisher", broker.password("publisher")) as publisher,
        Client(broker.port, "reader", broker.password("reader")) as flooder,
    ):
        for packet in range(50):
            filters = [(f"{packet}-{number}" + "/" * 30, 0) for number in range(1000)]
            flooder._paho.subscribe(filters)
        flooder.until(lambda: flooder.gone is not None, 60.0)
        memory = int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{broker.pid}/status").read_text())[0])
        assert memory < 128 * 1024
        assert publisher.publish_each(["ksem/main/status"]) == {"ksem/main/status": True}
        assert publisher.gone is None


def test_silent_connections_to_the_open_listener_leave_the_services_their_own(tmp_path: Path) -> None:
    with ShippedBroker(tmp_path / "b") as broker, contextlib.ExitStack() as silent:
        for _ in range(110):
            silent.enter_context(socket.create_connection(("127.0.0.1", broker.port), 5.0))
        with Client(broker.local_port, "publisher", broker.password("publisher")) as publisher:
            assert publisher.accepted


def test_wrong_passwords_in_a_loop_do_not_fill_the_log(tmp_path: Path) -> None:
    with ShippedBroker(tmp_path / "b") as broker:
        before = len(broker.log_text())
        for _ in range(50):
            with Client(broker.port, "reader", "wrong") as client:
                assert not client.accepted
        assert broker.log_text()[before:].count("\n") < 10


def test_nothing_is_kept_over_a_restart_although_debians_file_switches_persistence_on(tmp_path: Path) -> None:
    with ShippedBroker(tmp_path / "b") as broker:
        with Client(broker.port, "publisher", broker.password("publisher")) as publisher:
            publisher.publish("ksem/main/status", b"online", retain=True)
            publisher.until(lambda: len(publisher.granted) == 1)
        broker.restart()
        assert not (broker.folder / "mosquitto.db").exists()
        with Client(broker.port, "reader", broker.password("reader")) as reader:
            reader.subscribe()
            with Client(broker.port, TESTER, TESTER) as tester:
                tester.publish(MARK)
            reader.until(lambda: bool(reader.received))
            assert reader.received == [MARK]


def histogram(bounds: tuple[float, ...]) -> Histogram:
    """As large as it gets: years of answers."""
    return Histogram(bounds, (2**31,) * (len(bounds) + 1), 123_456_789_012.345)


def test_our_largest_messages_are_well_under_the_packet_limit() -> None:
    name = "n" * 32
    block = BlockMessage(
        meter=name,
        block="energy",
        start=ENERGY.start,
        registers=(65535,) * ENERGY.count,
        session="f" * 8,
        seq=2**31,
        boot_ms=2**40,
        age_ms=2**31,
        cycle_ms=500,
        source="push",
        time="2026-11-22T10:00:00.123Z",
    )
    why = Reason("broker-silent", "w" * 200, "r" * 100)
    link = LinkHealth(state="waiting", since=block.time, why=str(why), changes=2**31, reasons=(why,))
    times = Percentiles(1234.56, 1234.56, 1234.56)
    units = tuple(
        UnitHealth(
            line=name,
            unit=247,
            meter=name,
            port=link,
            state="degraded",
            requests=2**31,
            data=2**31,
            refused={f"exception-{code}": 2**31 for code in range(12)},
            foreign=2**31,
            noise=2**31,
            turnaround_ms=times,
            age_ms=times,
            last_request_ago_ms=2**31,
            turnaround_histogram_ms=histogram(TURNAROUND_BOUNDS_MS),
            age_histogram_ms=histogram(AGE_BOUNDS_MS),
            reasons=(why,),
        )
        for _ in range(32)
    )
    transit = {f"{name[:-2]}{number:02}": Transit(rtt_ms=1234.56, session="f" * 8) for number in range(32)}
    health = NodeHealth(
        version="1.2.3",
        since=block.time,
        state="degraded",
        why="w" * 300,
        broker=link,
        units=units,
        transit=transit,
        reasons=(why,) * 8,
    )
    requested = RequestEntry(
        line=name,
        unit=247,
        meter=name,
        function=16,
        start=65535,
        count=65535,
        per_s=123.45,
        last="exception-11",
        last_ago_ms=3_600_000,
        demanded=False,
    )
    requests = RequestsMessage(requests=(requested,) * (MAX_REQUESTED * 4))
    sizes = {type(message).__name__: len(message.encode()) for message in (block, health, requests)}
    assert max(sizes.values()) + 200 < LARGEST_MESSAGE, sizes


def test_the_limits_in_the_configuration_are_the_ones_tested() -> None:
    assert f"max_packet_size {PACKET_LIMIT}\n" in (MOSQUITTO / "conf.d" / "ksem-airbridge.conf").read_text()


class TlsPeer:
    """A link of ours over TLS."""

    def __init__(self, broker: ShippedBroker, role: str, **files: Path) -> None:
        folder = broker.logins / role
        own: dict[str, Any] = {
            "ca_file": folder / "ca.pem",
            "cert_file": folder / "cert.pem",
            "key_file": folder / "key.pem",
        }
        assert broker.tls_port is not None
        self.received: list[str] = []
        self.why = ""
        self.up = threading.Event()
        self.reported = threading.Event()
        self.marked = threading.Event()
        self.link = MqttLink(
            MqttSettings(host="127.0.0.1", port=broker.tls_port, tls=True, **(own | files)),
            client_id=f"tls-{role}",
            will=None,
            subscriptions=("#",),
            on_message=self._on_message,
            on_link=self._on_link,
            log=logging.getLogger("tls peer"),
        )

    def _on_message(self, message: Incoming) -> None:
        self.received.append(message.topic)
        if message.topic == MARK:
            self.marked.set()

    def _on_link(self, up: bool, reasons: tuple[Reason, ...]) -> None:
        self.why = sentence(reasons)
        if up:
            self.up.set()
        self.reported.set()

    def __enter__(self) -> Self:
        self.link.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.link.stop()


@pytest.mark.parametrize("role", ["publisher", "rtu"])
def test_over_tls_the_client_certificate_is_the_login_and_its_name_the_role(broker: ShippedBroker, role: str) -> None:
    with Client(broker.port, TESTER, TESTER) as tester, TlsPeer(broker, role) as peer:
        assert peer.up.wait(5.0), peer.why
        tester.subscribe()
        for topic in TOPIC_OF.values():
            assert peer.link.publish(topic, b"x", qos=1)
            tester.publish(topic)
        tester.publish(MARK)
        assert peer.marked.wait(5.0)
        assert {FAMILY_OF[topic] for topic in peer.received if topic != MARK} == READS[role]


def test_over_tls_a_certificate_of_another_authority_is_refused(broker: ShippedBroker, tmp_path: Path) -> None:
    other = make_certificates(tmp_path)
    with TlsPeer(broker, "rtu", cert_file=other.client_cert, key_file=other.client_key) as peer:
        assert peer.reported.wait(5.0)
        assert not peer.up.is_set()


def test_over_tls_a_broker_of_another_authority_is_refused(broker: ShippedBroker, tmp_path: Path) -> None:
    with TlsPeer(broker, "rtu", ca_file=make_certificates(tmp_path).ca) as peer:
        assert peer.reported.wait(5.0)
        assert not peer.up.is_set()
        assert "certificate" in peer.why


def test_a_certificate_that_was_taken_back_lets_nobody_in_and_the_others_stay(tmp_path: Path) -> None:
    with ShippedBroker(tmp_path / "b", tls=True) as broker:
        kept = {name: tmp_path / name for name in ("cert.pem", "key.pem")}
        for name, copy in kept.items():
            copy.write_bytes((broker.logins / "rtu" / name).read_bytes())
        places = ("--broker", broker.files, "--logins", broker.logins, "--ca", broker.folder / "ca")
        run_script("make-certs", "--revoke", "rtu", *places)
        broker.restart()
        with TlsPeer(broker, "rtu", cert_file=kept["cert.pem"], key_file=kept["key.pem"]) as peer:
            assert peer.reported.wait(5.0)
            assert not peer.up.is_set()
        run_script("make-certs", "localhost", "--role", "rtu", *places)
        for role in ("publisher", "rtu"):
            with TlsPeer(broker, role) as peer:
                assert peer.up.wait(5.0), peer.why


def test_a_flood_of_retained_messages_leaves_a_broker_that_goes_on_or_has_ended(tmp_path: Path) -> None:
    """mosquitto 2.0.11 ends itself at its limit and is empty when it starts again. It never grows without end."""
    with ShippedBroker(tmp_path / "b") as broker:
        with Client(broker.port, "rtu", broker.password("rtu")) as flooder:
            for number in range(1000):
                flooder.publish(f"ksem/x{number}/ping/y", bytes(120_000), qos=0, retain=True)
            flooder.until(lambda: flooder.gone is not None, 60.0)
        with contextlib.suppress(OSError):  # it has ended
            status = Path(f"/proc/{broker.pid}/status").read_text()
            assert all(int(size) < 128 * 1024 for size in re.findall(r"VmHWM:\s+(\d+)", status))
        broker.restart()
        with Client(broker.local_port, "publisher", broker.password("publisher")) as publisher:
            assert publisher.publish_each(["ksem/main/status"]) == {"ksem/main/status": True}
