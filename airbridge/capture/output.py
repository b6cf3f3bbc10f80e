"""Writes a capture's file, shows its progress, and defines the options that all captures share [shell].

Progress is one line that renews itself on a terminal, and a line every few seconds elsewhere.
"""

from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Annotated, Final, NoReturn, Self, TextIO

import typer
from rich.console import Console
from rich.status import Status

from airbridge.capture.report import report
from airbridge.capture.summary import CaptureSummary
from ksem_contract.capture_file import CaptureHeader, CaptureRecord, read_capture
from service_runtime.clock import boottime
from service_runtime.version import VERSION

FLUSH_EVERY: Final = 1.0
"""Seconds after which what was written is on its way to the disk, so that a power cut costs little."""


class OutputExists(Exception):
    """The file is there already; nothing was written."""


class CaptureOutput:
    """An open capture file. Its clock begins when it is opened."""

    def __init__(self, path: Path, kind: str, source: str, *, force: bool, serial_number: bool) -> None:
        """Raises OutputExists, or OSError where the file can't be made."""
        self.path = path
        self.zero = boottime()
        self.records = 0
        try:
            self._file: TextIO = path.open("w" if force else "x", encoding="ascii")
        except FileExistsError:
            raise OutputExists(
                f"{path} is there already: choose another --output, or --force to overwrite it"
            ) from None
        header = CaptureHeader(
            kind=kind,
            tool=VERSION,
            started=datetime.now().astimezone().isoformat(timespec="milliseconds"),
            zero=self.zero,
            serial_number=serial_number,
            source=source,
        )
        self._file.write(header.encode() + "\n")
        self._flushed = self.zero

    def write(self, record: CaptureRecord) -> None:
        """Append one record. OSError where the disk is full."""
        self._file.write(record.encode() + "\n")
        self.records += 1
        now = boottime()
        if now - self._flushed >= FLUSH_EVERY:
            self._file.flush()
            self._flushed = now

    @property
    def now(self) -> float:
        """Seconds since the file's clock began."""
        return boottime() - self.zero

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._file.close()


def default_path(kind: str) -> Path:
    """A file in the current folder, named after its kind and its time."""
    return Path(f"ksem-{kind}-{datetime.now():%Y%m%d-%H%M%S}.jsonl")  # noqa: DTZ005  local time, for its owner


def load_capture(path: Path) -> tuple[CaptureHeader, list[CaptureRecord]]:
    """A whole file. OSError, or InvalidMessage that names the line."""
    with path.open(encoding="utf-8") as file:
        header, records = read_capture(file)
        return header, list(records)


RENEW: Final = 0.5
PLAIN_EVERY: Final = 5.0


class Progress:
    """Show a line of text now and then; on a terminal in place, else line by line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = Status("", console=console, spinner="dots") if console.is_terminal else None
        self._next = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time for a new line."""
        return boottime() >= self._next

    def show(self, text: str) -> None:
        """Show the line."""
        self._next = boottime() + (RENEW if self._status else PLAIN_EVERY)
        if self._status:
            self._status.update(text)
        else:
            self._console.print(text, highlight=False, markup=False)

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()


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


def print_end(console: Console, kind: str, summary: CaptureSummary, file: CaptureOutput) -> None:
    """Print the summary and where the file is."""
    console.print(report(kind, summary))
    console.print(f"{file.records} records in {file.path}", highlight=False, markup=False)


def fail(text: str) -> NoReturn:
    """End the command with one line that names the fault."""
    typer.echo(text, err=True)
    raise typer.Exit(2)
