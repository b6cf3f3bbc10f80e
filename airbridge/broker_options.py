"""Defines the options by which a command connects to the broker."""

from pathlib import Path
from typing import Annotated

import typer

from airbridge.demo.options import Address
from ksem_contract.topics import Topics
from service_runtime.common_settings import MqttSettings

MQTT_PORT = 1883
MQTT_TLS_PORT = 8883

Broker = Annotated[str, typer.Option(metavar="HOST[:PORT]", help="The broker.")]
PasswordFile = Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="File with the password alone.")]
CaFile = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Encrypt; the CA that signed the broker.")
]
Prefix = Annotated[str, typer.Option(help="The first part of every topic.")]


def broker_settings(
    broker: str, user: str | None, password_file: Path | None, ca_file: Path | None, prefix: str
) -> MqttSettings:
    """How a command reaches the broker, from its options. ValueError or OSError for what can't be."""
    place = Address.parse(broker, MQTT_TLS_PORT if ca_file else MQTT_PORT)
    Topics(prefix)
    return MqttSettings(
        host=place.host,
        port=place.port,
        username=user,
        password=password_file.read_text(encoding="utf-8").rstrip("\r\n") if password_file else None,
        prefix=prefix,
        tls=ca_file is not None,
        ca_file=ca_file,
    )
