"""Defines the command line of `airbridge capture`, and its command `show`.

It joins the commands of three modules, which know nothing of one another.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from airbridge.capture.bus import bus
from airbridge.capture.flight import flight, join_files
from airbridge.capture.output import fail, load_capture
from airbridge.capture.push import push
from airbridge.capture.report import bridge_report, report
from airbridge.capture.summary import BridgeSummary, CaptureSummary
from ksem_contract.message_fields import InvalidMessage

app = typer.Typer(
    help="Record what the KSEM writes (push) or what the inverter requests (bus), or have a running bridge write down "
    "its last minutes (flight, join), into a file you can share.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.command()(push)
app.command()(bus)
app.command()(flight)
app.command("join")(join_files)


@app.command()
def show(
    file: Annotated[
        Path, typer.Argument(help="A file that one of these commands, or a service after a fault, has written.")
    ],
) -> None:
    """Print the summary of a captured file."""
    try:
        header, records = load_capture(file)
    except (OSError, InvalidMessage, UnicodeDecodeError) as error:
        fail(f"{file}: {error}")
    summary: BridgeSummary | CaptureSummary = BridgeSummary() if header.kind == "bridge" else CaptureSummary()
    for record in records:
        summary.add(record)
    summary.finish(records[-1].t if records else 0.0)
    console = Console()
    console.print(
        f"{header.kind}, {header.source}, {header.started}, airbridge {header.tool}", highlight=False, markup=False
    )
    console.print(bridge_report(summary) if isinstance(summary, BridgeSummary) else report(header.kind, summary))
