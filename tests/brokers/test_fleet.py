"""The fleet's own files: a house reaches the centre, and its login is confined to its own prefix."""

import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.bridge.broker import Broker

from .fleet import FLEET, Cluster, run_house
from .programs import Nats


class Login:
    """A client with a certificate of deploy/fleet/house."""

    def __init__(self, port: int, home: Path) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.connected: bool | None = None
        self.granted: list[bool] | None = None
        self._news = threading.Condition()
        name = home.name
        self.paho = PahoClient(
            CallbackAPIVersion.VERSION2, client_id=f"test-{name}", protocol=MQTTProtocolVersion.MQTTv311
        )
        context = ssl.create_default_context(cafile=str(home / "ca.pem"))
        context.load_cert_chain(home / f"{name}.pem", home / f"{name}.key")
        self.paho.tls_set_context(context)
        self.paho.on_connect = lambda _c, _u, _f, reason, _p: self._note(connected=not reason.is_failure)
        self.paho.on_subscribe = lambda _c, _u, _m, reasons, _p: self._note(granted=[not r.is_failure for r in reasons])
        self.paho.on_message = lambda _c, _u, m: self._take(m.topic, bytes(m.payload))
        self.paho.connect("127.0.0.1", port)
        self.paho.loop_start()
        assert self.until(lambda: self.connected is not None)

    def subscribe(self, topic: str) -> list[bool] | None:
        self.granted = None
        self.paho.subscribe(topic)
        self.until(lambda: self.granted is not None)
        return self.granted

    def until(self, holds: Callable[[], bool], patience: float = 10.0) -> bool:
        with self._news:
            return self._news.wait_for(holds, patience)

    def _note(self, **state: Any) -> None:
        with self._news:
            for name, value in state.items():
                setattr(self, name, value)
            self._news.notify_all()

    def _take(self, topic: str, payload: bytes) -> None:
        with self._news:
            self.messages.append((topic, payload))
            self._news.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


class MosquittoCentre(Broker):
    """deploy/fleet/mosquitto, moved to a folder and a port."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.files = folder / "fleet"
        run_house(self.files, "init", "centre-1")
        run_house(self.files, "add", "house-1", "house-2")
        run_house(self.files, "add", "--reader", "telegraf")

    def _write_files(self) -> None:
        text = (
            (FLEET / "mosquitto" / "centre.conf")
            .read_text()
            .replace("listener 8883", f"listener {self.port} {self.host}")
        )
        text = text.replace("/etc/mosquitto/fleet/node.", f"{self.files}/nodes/centre-1.")
        text = text.replace("/etc/mosquitto/fleet/acl", str(FLEET / "mosquitto" / "acl"))
        self._config_path.write_text(text.replace("/etc/mosquitto/fleet/", f"{self.files}/") + "user root\n")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if Nats.program() is None:
        pytest.skip("NATS is not installed (tests/brokers/install)")
    with Cluster(tmp_path_factory.mktemp("centre"), houses=3) as running:
        yield running


@pytest.fixture(scope="module", params=["NATS", "mosquitto"])
def centre(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The port to connect to, and the folder of house's files."""
    if request.param == "NATS":
        running = request.getfixturevalue("cluster")
        yield running.nodes[0].port, running.files
    else:
        with MosquittoCentre(tmp_path_factory.mktemp("mosquitto")) as broker:
            yield broker.port, broker.files


def test_a_house_s_login_reads_and_writes_its_own_prefix_and_no_other(centre: tuple[int, Path]) -> None:
    port, files = centre
    with (
        Login(port, files / "houses" / "house-1") as own,
        Login(port, files / "houses" / "house-2") as other,
        Login(port, files / "readers" / "telegraf") as reader,
    ):
        assert reader.subscribe("site/#") == [True]
        own.subscribe("site/house-1/#")
        other.subscribe("site/house-1/#")
        other.subscribe("site/+/ksem/+/status")
        other.subscribe("#")
        other.paho.publish("site/house-1/ksem/main/status", b"forged", retain=True)
        other.paho.publish("site/house-2/ksem/main/status", b"own", retain=True)
        reader.paho.publish("site/house-1/ksem/main/status", b"by reader", retain=True)
        own.paho.publish("site/house-1/ksem/main/status", b"online", retain=True)
        assert reader.until(lambda: len(reader.messages) >= 2)
        assert own.until(lambda: len(own.messages) >= 1)
        reader.until(lambda: len(reader.messages) > 2, 0.5)
        assert sorted(reader.messages) == [
            ("site/house-1/ksem/main/status", b"online"),
            ("site/house-2/ksem/main/status", b"own"),
        ]
        assert own.messages == [("site/house-1/ksem/main/status", b"online")]
        assert [topic for topic, _ in other.messages if "house-1" in topic] == []


def test_nobody_gets_in_without_a_certificate(centre: tuple[int, Path]) -> None:
    port, files = centre
    paho = PahoClient(CallbackAPIVersion.VERSION2, client_id="nobody", protocol=MQTTProtocolVersion.MQTTv311)
    paho.tls_set(str(files / "ca.pem"))
    connected = threading.Event()
    paho.on_connect = lambda _c, _u, _f, reason, _p: None if reason.is_failure else connected.set()
    try:
        paho.connect("127.0.0.1", port)
        paho.loop_start()
        assert not connected.wait(1.0)
    except OSError:
        pass
    finally:
        paho.loop_stop()


def test_a_house_s_bridge_carries_its_status_and_values_and_no_blocks(cluster: Cluster, tmp_path: Path) -> None:
    house = Broker(tmp_path / "house", config=cluster.bridge("house-3").splitlines())
    with house, Login(cluster.nodes[1].port, cluster.files / "readers" / "telegraf") as reader:
        assert reader.subscribe("site/house-3/#") == [True]
        paho = PahoClient(CallbackAPIVersion.VERSION2, client_id="publisher")
        paho.connect(house.host, house.port)
        paho.loop_start()
        assert reader.until(lambda: ("site/house-3/bridge", b"1") in reader.messages)
        paho.publish("site/house-3/ksem/main/block/live", b"block", retain=True)
        paho.publish("site/house-3/ksem/main/values", b"values")
        assert reader.until(lambda: ("site/house-3/ksem/main/values", b"values") in reader.messages)
        paho.loop_stop()
        assert not any(payload == b"block" for _, payload in reader.messages)
        house.kill()
        assert reader.until(lambda: ("site/house-3/bridge", b"0") in reader.messages)
