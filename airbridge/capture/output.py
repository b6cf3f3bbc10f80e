"""The file that a capture is written to [shell]."""

from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TextIO

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
    """A name that tells what it is and when it was made, in the current folder."""
    return Path(f"ksem-{kind}-{datetime.now():%Y%m%d-%H%M%S}.jsonl")  # noqa: DTZ005  local time, for its owner


def load_capture(path: Path) -> tuple[CaptureHeader, list[CaptureRecord]]:
    """A whole file. OSError, or InvalidMessage that names the line."""
    with path.open(encoding="utf-8") as file:
        header, records = read_capture(file)
        return header, list(records)
