"""Defines the command line of `airbridge`.

It imports libraries of the extra `tools`; `__main__` stands apart from it, to name what is missing.
"""

from typing import Annotated

import typer

from airbridge.capture.command import app as capture
from airbridge.demo.command import demo
from airbridge.doctor.command import doctor
from airbridge.drill.command import drill
from airbridge.monitor.run import monitor
from airbridge.pairing.command import app as pair
from airbridge.setup.command import setup
from airbridge.snippets.command import snippets
from service_runtime.version import VERSION

app = typer.Typer(
    name="airbridge",
    help="See the bridge between a KOSTAL energy meter and its inverter run, find what is wrong, record both ends.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
app.command()(monitor)
app.command()(doctor)
app.command()(drill)
app.command()(setup)
app.command()(snippets)
app.add_typer(capture, name="capture")
app.add_typer(pair, name="pair")


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"airbridge {VERSION}")
        raise typer.Exit


@app.callback()
def _main(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Common options."""
