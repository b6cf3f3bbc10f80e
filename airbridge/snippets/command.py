"""The command line of `airbridge snippets`."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from airbridge.snippets import evcc, homeassistant, node_red, openwb, telegraf, uni_meter
from airbridge.snippets.place import Place
from ksem_contract.topics import Topics


class Program(StrEnum):
    """Who reads the values."""

    EVCC = "evcc"
    OPENWB = "openwb"
    HOME_ASSISTANT = "homeassistant"
    UNI_METER = "uni-meter"
    TELEGRAF = "telegraf"
    NODE_RED = "node-red"


_RENDER: dict[Program, Callable[[Place], str]] = {
    Program.EVCC: evcc.render,
    Program.HOME_ASSISTANT: homeassistant.render,
    Program.UNI_METER: uni_meter.render,
    Program.TELEGRAF: telegraf.render,
    Program.NODE_RED: node_red.render,
}


def snippets(
    program: Annotated[Program, typer.Argument(help="The program to write settings for.")],
    prefix: Annotated[str, typer.Option(help="The topics' first part, as in the services' [mqtt].")] = "ksem",
    meter: Annotated[str, typer.Option(help="The meter's id.")] = "main",
    broker: Annotated[str, typer.Option(help="The broker's address, as that program reaches it.")] = "localhost",
    port: Annotated[int, typer.Option(help="The broker's port; 0: 1883, or 8883 with TLS.", min=0, max=65535)] = 0,
    tls: Annotated[bool, typer.Option("--tls", help="The broker wants TLS.")] = False,
    username: Annotated[str, typer.Option(help="The login that program uses; the password is yours to fill in.")] = "",
    counter: Annotated[int, typer.Option(help="openWB's id of the counter.", min=0)] = 0,
) -> None:
    """Print ready settings for a program that reads the meter's values: with the own topics, and with time-outs."""
    try:
        place = Place(broker, port or (8883 if tls else 1883), tls, username, Topics(prefix), meter)
        text = openwb.render(place, counter) if program is Program.OPENWB else _RENDER[program](place)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from None
    typer.echo(text, nl=False)
