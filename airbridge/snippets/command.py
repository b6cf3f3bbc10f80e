"""Defines the command line of `airbridge snippets`."""

import socket
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from airbridge.doctor.gather_host import gather_settings
from airbridge.snippets import programs
from airbridge.snippets.place import LOGINS, Address
from ksem_contract.topics import Topics
from service_runtime.common_settings import MqttSettings


class Program(StrEnum):
    """Who reads the values."""

    EVCC = "evcc"
    OPENWB = "openwb"
    HOME_ASSISTANT = "homeassistant"
    UNI_METER = "uni-meter"
    TELEGRAF = "telegraf"
    NODE_RED = "node-red"


_RENDER: dict[Program, Callable[[Address], str]] = {
    Program.EVCC: programs.render_evcc,
    Program.HOME_ASSISTANT: programs.render_home_assistant,
    Program.UNI_METER: programs.render_uni_meter,
    Program.TELEGRAF: programs.render_telegraf,
    Program.NODE_RED: programs.render_node_red,
}


def snippets(
    program: Annotated[Program, typer.Argument(help="The program to write settings for.")],
    config: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Settings of ksem-publisher (default: those of this host, if it has some). What follows beats them.",
        ),
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="The topics' first part.")] = None,
    meter: Annotated[str | None, typer.Option(help="The meter's id (default: the first one).")] = None,
    broker: Annotated[str | None, typer.Option(help="The broker's address, as that program reaches it.")] = None,
    port: Annotated[int, typer.Option(help="The broker's port; 0: 1883, or 8883 with TLS.", min=0, max=65535)] = 0,
    tls: Annotated[bool | None, typer.Option(help="The broker wants TLS.")] = None,
    username: Annotated[
        str | None,
        typer.Option(help="The login that program uses, '' for none; the password is yours to fill in."),
    ] = None,
    counter: Annotated[int, typer.Option(help="openWB's id of the counter.", min=0)] = 0,
) -> None:
    """Print ready settings for a program that reads the meter's values, with topics, login and time-outs.

    On the publisher's host it takes them from its settings: run it there, best with sudo.
    """
    tables, mqtt = _publisher(config)
    if tables.get("values", {}).get("enabled") is False:
        _refuse("[values] enabled = false in the publisher's settings: there are no values to read")
    meters: Any = tables.get("meter") or [{}]
    role = "homeassistant" if program is Program.HOME_ASSISTANT else "reader"
    secure = (mqtt is not None and mqtt.tls) if tls is None else tls
    own_port = mqtt.port if mqtt is not None and mqtt.tls == secure and broker is None else 0
    if username is None:  # whoever gives services a login gives one to readers, too
        has_login = mqtt is not None and (mqtt.username is not None or mqtt.cert_file is not None)
        username = role if has_login or _has_login(role) else ""
    try:
        place = Address(
            broker or _reached_at(mqtt.host if mqtt is not None else "localhost", elsewhere=mqtt is not None),
            port or own_port or (8883 if secure else 1883),
            secure,
            username,
            Topics(prefix or (mqtt.prefix if mqtt is not None else "ksem")),
            meter or str(meters[0].get("id", "main")),
            role,
            float(tables.get("values", {}).get("interval", 1.0)),
            float(tables.get("poll", {}).get("energy", 10.0)),
        )
        text = programs.render_openwb(place, counter) if program is Program.OPENWB else _RENDER[program](place)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from None
    typer.echo(text, nl=False)


def _publisher(config: Path | None) -> tuple[Any, MqttSettings | None]:
    """The publisher's settings on this host, as far as they can be read."""
    gathered = gather_settings("ksem-publisher", config)
    if gathered is None:
        return {}, None
    facts, mqtt = gathered
    if facts.mistakes and config is not None:
        _refuse("\n".join(facts.mistakes))
    if facts.mistakes:
        typer.echo(
            f"{facts.mistakes[0]}\nThis host's settings are left out: run it with sudo, or correct them.", err=True
        )
    return facts.tables, mqtt


def _has_login(role: str) -> bool:
    try:
        return (Path(LOGINS) / role).exists()
    except PermissionError:
        return True


def _reached_at(host: str, *, elsewhere: bool) -> str:
    """The broker's address as others reach it: this host's own where the publisher's settings say localhost."""
    if not elsewhere or host not in ("localhost", "127.0.0.1", "::1"):
        return host
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # nothing is sent
            probe.connect(("192.0.2.1", 9))  # of a reserved range: this finds the address on the default route
            return str(probe.getsockname()[0])
    except OSError:
        return socket.gethostname()


def _refuse(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(2)
