"""Writes the kept wire events into a capture file, after a fault or on request [shell]."""

import contextlib
import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from ksem_contract.capture_file import CaptureHeader, CaptureRecord
from service_runtime.clock import boottime
from service_runtime.recorder.wire_events import WireEvent, unpacked
from service_runtime.version import VERSION

MOST_FILES: Final = 4
"""Files of one service; a new one replaces the oldest."""
_WHEN: Final = "????????-??????"
"""Date and time in a file's name: another meter's name may begin with this one's."""
_HELD_BACK: Final = 1.0
_AT_ONCE: Final = 8
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_BREATH: Final = 0.003
"""Seconds of rest after so many events: an inverter's request waits half a millisecond at most for this thread."""


class Decoder(Protocol):
    """MeterDecoder or NodeDecoder."""

    def records(self, events: Iterable[WireEvent]) -> list[CaptureRecord]: ...

    def finish(self) -> list[CaptureRecord]: ...


def start_writing(
    directory: Path, name: str, chunks: list[bytes], decoder: Decoder, why: str, log: logging.Logger
) -> threading.Thread:
    """Write the file in a thread of its own."""
    thread = threading.Thread(
        target=_write_or_log, args=(directory, name, chunks, decoder, why, log), name="flight file", daemon=True
    )
    thread.start()
    return thread


def _write_or_log(
    directory: Path, name: str, chunks: list[bytes], decoder: Decoder, why: str, log: logging.Logger
) -> None:
    try:
        path = write_file(directory, name, chunks, decoder, why)
    except OSError as error:
        log.warning("the flight file can't be written to %s: %s", directory, error.strerror or error)
    else:
        log.info("flight file written (%s): airbridge capture show %s", why, path)


def write_file(
    directory: Path,
    name: str,
    chunks: list[bytes],
    decoder: Decoder,
    why: str,
    rest: Callable[[float], None] = time.sleep,
) -> Path:
    """Decode, write, make room. Serial numbers are left out, whatever the decoder's options. OSError where it fails."""
    path = directory / f"{name}-{datetime.now():%Y%m%d-%H%M%S}.jsonl"  # noqa: DTZ005  local time, for its owner
    new = path.with_name(path.name + ".new")
    zero: float | None = None
    try:
        with new.open("w", encoding="ascii") as file:
            for record in _records(chunks, decoder, rest):
                if zero is None:
                    zero = record.t
                    file.write(_header(zero, f"{name}: {why}").encode() + "\n")
                dated = record.without_serial_number().after(zero)
                if dated is not None:
                    file.write(dated.encode() + "\n")
            if zero is None:
                file.write(_header(boottime(), f"{name}: {why}").encode() + "\n")
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    for old in sorted(directory.glob(f"{name}-{_WHEN}.jsonl"))[:-MOST_FILES]:
        old.unlink()
    return path


def _records(chunks: list[bytes], decoder: Decoder, rest: Callable[[float], None]) -> Iterator[CaptureRecord]:
    """In the order of time: an answer that began earlier may end after a later event."""
    events, number = unpacked(chunks), itertools.count()
    held: list[tuple[float, int, CaptureRecord]] = []
    while some := list(islice(events, _AT_ONCE)):
        for record in decoder.records(some):
            heapq.heappush(held, (record.t, next(number), record))
        while held and held[0][0] < some[-1].at - _HELD_BACK:
            yield heapq.heappop(held)[2]
        rest(_BREATH)
    for record in decoder.finish():
        heapq.heappush(held, (record.t, next(number), record))
    while held:
        yield heapq.heappop(held)[2]


def _header(zero: float, source: str) -> CaptureHeader:
    began = datetime.now().astimezone().timestamp() - (boottime() - zero)
    started = datetime.fromtimestamp(began).astimezone().isoformat(timespec="milliseconds")
    return CaptureHeader(kind="bridge", tool=VERSION, started=started, zero=zero, source=source, clock=_clock())


def _clock() -> str:
    """Name the clock: CLOCK_BOOTTIME is one for all processes from one boot of the kernel to the next."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
