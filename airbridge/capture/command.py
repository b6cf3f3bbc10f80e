"""The command line of `airbridge capture`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from airbridge.capture.bus_command import bus
from airbridge.capture.common import fail
from airbridge.capture.output import load_capture
from airbridge.capture.push_command import push
from airbridge.capture.report import report
from airbridge.capture.summary import CaptureSummary
from ksem_contract.errors import InvalidMessage

app = typer.Typer(
    help="Record what the KSEM writes (push) or what the inverter asks (bus), into a file you can share.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.command()(push)
app.command()(bus)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="A file that `capture push` or `capture bus` has written.")],
) -> None:
    """Print the summary of a captured file."""
    try:
        header, records = load_capture(file)
    except (OSError, InvalidMessage, UnicodeDecodeError) as error:
        fail(f"{file}: {error}")
    summary = CaptureSummary()
    for record in records:
        summary.add(record)
    summary.finish(summary.last)
    console = Console()
    console.print(f"{header.kind}, {header.source}, {header.started}, airbridge {header.tool}", highlight=False)
    console.print(report(header.kind, summary))
