"""What the commands of `airbridge capture` share [shell]."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from airbridge.capture.output import CaptureOutput, OutputExists
from airbridge.capture.report import report
from airbridge.capture.summary import CaptureSummary

Seconds = Annotated[float | None, typer.Option(min=0.1, help="End by itself after so many seconds; else by Ctrl-C.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="The file to write; by default ksem-KIND-DATE-TIME.jsonl in this folder."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there already.")]
WithSerial = Annotated[
    bool,
    typer.Option("--with-serial-number", help="Leave the meter's serial number in; by default it is taken out."),
]


def opened(path: Path, kind: str, source: str, force: bool, serial_number: bool) -> CaptureOutput:
    """The file, begun. Ends the command where that fails."""
    try:
        return CaptureOutput(path, kind, source, force=force, serial_number=serial_number)
    except OutputExists as error:
        fail(str(error))
    except OSError as error:
        fail(f"{path}: {error.strerror}")


def tell_end(console: Console, kind: str, summary: CaptureSummary, file: CaptureOutput) -> None:
    """Print the summary and where the file is."""
    console.print(report(kind, summary))
    console.print(f"{file.records} records in {file.path}", highlight=False, markup=False)


def fail(text: str) -> NoReturn:
    """End the command with one line that says what is wrong."""
    typer.echo(text, err=True)
    raise typer.Exit(2)
