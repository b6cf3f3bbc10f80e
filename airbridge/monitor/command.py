"""Defines the command line of `airbridge monitor`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from airbridge.broker_options import CaFile, PasswordFile, broker_settings
from airbridge.doctor.gather_host import settings_of_this_host
from airbridge.monitor.run import Monitor, View


def monitor(
    broker: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="The broker (default: this host's).")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Name to log in with; one that may read PREFIX/#.")] = None,
    password_file: PasswordFile = None,
    ca_file: CaFile = None,
    prefix: Annotated[str | None, typer.Option(help="The first part of every topic.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Take broker and login from this service's settings."),
    ] = None,
    meter: Annotated[list[str] | None, typer.Option(help="Show this meter only; may be repeated.")] = None,
    node: Annotated[list[str] | None, typer.Option(help="Show this RTU server only; may be repeated.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines of text, for a place without a terminal.")] = False,
    seconds: Annotated[float | None, typer.Option(min=1.0, help="End by itself after so long.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Once, as text; takes 5 s at most.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Once, as JSON.")] = False,
) -> None:
    """Watch the bridge from any host that reaches the broker: power, links with rate and age, what the inverter gets.

    It only reads MQTT and changes nothing. Without options it takes broker and login from the settings of a service on
    this host, best with sudo. The exit code is 0 if, at the end, fresh data of every meter flowed and
    every known inverter got it; else 1.
    """
    console = Console()
    view: View = "json" if as_json else "once" if once else "plain" if plain or not console.is_terminal else "screen"
    try:
        settings = None
        if not any((broker, user, password_file, ca_file, prefix)):
            settings = settings_of_this_host(config)
        settings = settings or broker_settings(broker or "localhost", user, password_file, ca_file, prefix or "ksem")
    except (ValueError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    sys.exit(Monitor(settings, tuple(meter or ()), tuple(node or ()), view, seconds).run(console))
