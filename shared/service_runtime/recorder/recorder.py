"""A service's recorder [shell]: keeps some minutes of wire events, and writes them to a file after a fault."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from service_runtime.common_settings import RecorderSettings
from service_runtime.recorder.wire_events import EventQueue, FlightRecorder, WireEvent
from service_runtime.systemd import state_directory

if TYPE_CHECKING:
    from service_runtime.recorder.flight_file import Decoder

# What only writing needs is loaded then: memory is short on the smallest hosts.

TICK: Final = 0.25
"""Seconds between two readings of the event queue."""


@attrs.frozen(kw_only=True)
class RecordingSource:
    """One service's wires."""

    name: str
    """The meter's or the node's name; it is part of the files' names."""
    decoder: Callable[[], "Decoder"]
    """Makes records of wire events."""
    held: Callable[[], Iterable[WireEvent]] = tuple
    """What the service holds as a file is written: registers without an event in the last minutes, clocks."""


class Recorder:
    """Without a folder to write to it costs one check of a switch for each event."""

    def __init__(self, recording_source: RecordingSource, settings: RecorderSettings, log: logging.Logger) -> None:
        self.event_queue = EventQueue()
        self._source = recording_source
        self._log = log
        self._due = 0.0
        self._trouble: str | None = None
        self._requested = False
        self._directory = _directory(settings, log)
        self._flight: FlightRecorder | None = None
        if self._directory is not None:
            self._flight = FlightRecorder()
            self.event_queue.on = True
            # Remains of a service that was stopped while it wrote.
            for unfinished in self._directory.glob(f"{recording_source.name}-????????-??????.jsonl.new"):
                with contextlib.suppress(OSError):
                    unfinished.unlink()

    def request_file(self) -> None:
        """Have a file written at the next `tick`; from any thread."""
        if self._flight is None:
            self._log.warning("no flight file: [recorder] has no folder to write to, or is switched off")
        self._requested = True

    def tick(self, now: float, trouble: str = "") -> None:
        """Read the event queue, once a second or more often. `trouble`: what is wrong with the service."""
        if self._flight is None or (now < self._due and not self._requested):
            return
        self._due = now + TICK
        try:
            self._look(self._flight, now, trouble)
        except Exception:  # noqa: BLE001  (whatever it is, it must not take the bridge down)
            self._log.exception("recording what goes over the wires failed; it is switched off")
            self._flight = None
            self.event_queue.on = False

    def _look(self, flight: "FlightRecorder", now: float, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self.event_queue.note(now, "state", trouble or "ok")
        flight.keep(self.event_queue.take())
        dropped, self.event_queue.dropped = self.event_queue.dropped, 0
        if dropped:
            self.event_queue.note(now, "lost", f"no room for {dropped} events")
        requested, self._requested = self._requested, False
        why = flight.look(trouble, now) or ("on request" if requested else None)
        if why is not None and self._directory is not None:
            self._write(flight, why)

    def _write(self, flight: "FlightRecorder", why: str) -> None:
        from service_runtime.recorder.flight_file import start_writing  # noqa: PLC0415

        recording_source = self._source
        assert self._directory is not None, "without a folder there is no flight recorder"
        start_writing(
            self._directory,
            recording_source.name,
            flight.copy(recording_source.held()),
            recording_source.decoder(),
            why,
            self._log,
        )


def _directory(settings: RecorderSettings, log: logging.Logger) -> Path | None:
    """The folder for files: as set, else the one that systemd gave (StateDirectory=), else none."""
    if not settings.enabled:
        return None
    given = settings.directory or state_directory()
    if given is not None and not (given.is_dir() and os.access(given, os.W_OK)):
        log.warning("[recorder] directory = %s: no folder that this user may write to; nothing is kept", given)
        return None
    return given
