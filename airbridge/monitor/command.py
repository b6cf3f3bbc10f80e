"""The command line of `airbridge monitor`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from airbridge.demo.options import Place
from airbridge.monitor.run import Face, Monitor
from ksem_contract.topics import Topics
from service_runtime.common_settings import MqttSettings

MQTT_PORT = 1883
MQTT_TLS_PORT = 8883


def monitor(
    broker: Annotated[str, typer.Option(metavar="HOST[:PORT]", help="The broker.")] = "localhost",
    user: Annotated[str | None, typer.Option(help="Name to log in with; one that may read PREFIX/#.")] = None,
    password_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="File with the password alone.")
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Encrypt; the CA that signed the broker.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="The first part of every topic.")] = "ksem",
    meter: Annotated[list[str] | None, typer.Option(help="Show this meter only; may be repeated.")] = None,
    node: Annotated[list[str] | None, typer.Option(help="Show this RTU server only; may be repeated.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines of text, for a place without a terminal.")] = False,
    seconds: Annotated[float | None, typer.Option(min=1.0, help="End by itself after so long.")] = None,
    once: Annotated[bool, typer.Option("--once", help="One look, as text; takes 5 s at most.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One look, as JSON.")] = False,
) -> None:
    """Watch the bridge from any host that reaches the broker: power, links with rate and age, what the inverter gets.

    It only reads MQTT and changes nothing. The exit code is 0 if, at the end, fresh data of every meter flowed and
    every known inverter got it; else 1.
    """
    console = Console()
    face: Face = "json" if as_json else "once" if once else "plain" if plain or not console.is_terminal else "screen"
    try:
        settings = broker_settings(broker, user, password_file, ca_file, prefix)
    except (ValueError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    sys.exit(Monitor(settings, tuple(meter or ()), tuple(node or ()), face, seconds).run(console))


def broker_settings(
    broker: str, user: str | None, password_file: Path | None, ca_file: Path | None, prefix: str
) -> MqttSettings:
    """How a command reaches the broker, from its options. ValueError or OSError for what can't be."""
    place = Place.parse(broker, MQTT_TLS_PORT if ca_file else MQTT_PORT)
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
