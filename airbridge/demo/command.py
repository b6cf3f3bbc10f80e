"""Defines the command line of `airbridge demo`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from airbridge.demo.options import Address, Options
from airbridge.demo.run import Demo

MODBUS_PORT = 502
MQTT_PORT = 1883


def demo(
    plain: Annotated[bool, typer.Option("--plain", help="Lines of text, for a place without a terminal.")] = False,
    seconds: Annotated[
        float | None,
        typer.Option(min=1.0, help="End by itself so long after the first good answers, with a summary."),
    ] = None,
    meter: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="A real KSEM in the place of the simulated one.")
    ] = None,
    push_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Where the meter pushes to (with --meter: 5020).")
    ] = None,
    serial: Annotated[
        str | None,
        typer.Option(
            metavar="PORT", help="A real RS485 port with a real inverter, in the place of the simulated ones."
        ),
    ] = None,
    broker: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="A real broker; topics are ksem-demo/# there.")
    ] = None,
    username: Annotated[str | None, typer.Option(help="Name to log in with at --broker.")] = None,
    password_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="File with the password alone.")
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Let the simulated ends replay a file that `airbridge capture` wrote."
        ),
    ] = None,
    export_svg: Annotated[Path | None, typer.Option(help="Write the last screen as a picture.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep settings, logs and records in this folder.")] = None,
) -> None:
    """Run the whole chain on this computer, without hardware, and watch it.

    Meter and inverter are simulated; the two services, the broker and everything they send each other are real.
    Pull the push, the broker, the RS485 plug or the meter with a key, and see how the bridge reacts and recovers. Each
    end can be made real, one at a time: `--meter`, `--serial`, `--broker`.

    With `--replay` the meter's writes and replies and the inverter's requests come from a captured file, at its times;
    an end that the file knows nothing of is simulated as ever. It ends where the recording ends.

    With `--seconds` it ends by itself. The exit code is 0 if the inverter got enough good answers and not one that was
    wrong, torn, stale, foreign or late; else 1.
    """
    try:
        options = Options(
            plain=plain,
            seconds=seconds,
            meter=Address.parse(meter, MODBUS_PORT) if meter else None,
            push_port=push_port,
            serial=serial,
            broker=Address.parse(broker, MQTT_PORT) if broker else None,
            username=username,
            password_file=password_file,
            export_svg=export_svg,
            replay=replay,
            keep=keep,
        )
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    sys.exit(Demo(options, Console()).run())
