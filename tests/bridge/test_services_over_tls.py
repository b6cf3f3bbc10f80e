"""Both services log in to the shipped broker with nothing but their certificates, as make-certs makes them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .service import Service
from .shipped_broker import ShippedBroker
from .test_mosquitto_roles import Client


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShippedBroker]:
    with ShippedBroker(tmp_path_factory.mktemp("tls"), tls=True) as running:
        yield running


def mqtt_table(broker: ShippedBroker, role: str, *, certificate_of: str | None = None) -> str:
    folder = broker.logins / (certificate_of or role)
    return f"""
[mqtt]
host = "localhost"
port = {broker.tls_port}
tls = true
ca_file = "{broker.logins / role / "ca.pem"}"
cert_file = "{folder / "cert.pem"}"
key_file = "{folder / "key.pem"}"
"""


def publisher_settings(broker: ShippedBroker, meter: str = "main", role: str = "publisher") -> str:
    return f"""
[[meter]]
id = "{meter}"
host = "127.0.0.1"
port = 1
[push]
enabled = false
{mqtt_table(broker, "publisher", certificate_of=role)}
"""


def test_the_publisher_logs_in_with_its_certificate_and_may_publish(broker: ShippedBroker, tmp_path: Path) -> None:
    with Client(broker.port, "reader", broker.password("reader")) as reader:
        reader.subscribe()
        with Service("ksem_publisher", publisher_settings(broker), tmp_path) as publisher:
            publisher.await_log("connected to localhost")
            reader.until(lambda: {"ksem/main/status", "ksem/main/health"} <= set(reader.received))


def test_the_rtu_server_logs_in_with_its_certificate_and_may_publish(broker: ShippedBroker, tmp_path: Path) -> None:
    _master, port = os.openpty()
    settings = f"""
[node]
name = "attic"
[[line]]
port = "{os.ttyname(port)}"
{mqtt_table(broker, "rtu")}
"""
    with Client(broker.port, "reader", broker.password("reader")) as reader:
        reader.subscribe()
        with Service("rtu_server", settings, tmp_path) as server:
            server.await_log("connected to localhost")
            reader.until(lambda: {"ksem/rtu/attic/status", "ksem/rtu/attic/health"} <= set(reader.received))


def test_a_service_with_another_roles_certificate_has_that_roles_rights(broker: ShippedBroker, tmp_path: Path) -> None:
    """The publisher with the reader's certificate is connected, and nothing of it arrives."""
    with Client(broker.port, "reader", broker.password("reader")) as reader:
        reader.subscribe()
        with Service("ksem_publisher", publisher_settings(broker, "other", "reader"), tmp_path) as publisher:
            publisher.await_log("connected to localhost")
            assert publisher.stop() == 0
        with Client(broker.port, "publisher", broker.password("publisher")) as mark:
            mark.publish("ksem/end/status")
            reader.until(lambda: "ksem/end/status" in reader.received)
        assert not [topic for topic in reader.received if topic.startswith("ksem/other/")]
