"""A service's recorder: its tape, who is told what is on it, and what is kept of it for after a fault."""

import contextlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from ksem_contract.capture_feed import WireEvent
from service_runtime.clock import boottime
from service_runtime.common_settings import RecorderSettings
from service_runtime.recorder.tape import Tape

if TYPE_CHECKING:
    from service_runtime.recorder.feed import CaptureFeed, Publish
    from service_runtime.recorder.flight_file import Decoder
    from service_runtime.recorder.kept import FlightRecorder

# What is needed only while somebody asks, or after a fault, is loaded then: memory is short on the smallest hosts.

TICK: Final = 0.25
"""Seconds between two looks at the tape."""


@attrs.frozen(kw_only=True)
class Wires:
    """Whose wires these are."""

    name: str
    """The meter's or the node's; files are called so."""
    topic: str
    """Where it is told what goes over them."""
    about: Mapping[str, str]
    """What a reader must know of them."""
    decoder: Callable[[], "Decoder"]
    """Makes records of what is on the tape."""
    held: Callable[[], Iterable[WireEvent]] = tuple
    """What the service holds as a recording begins, so that it is whole from its first moment on."""


class Recorder:
    """At rest it costs one look at a switch for each event, and one a tick."""

    def __init__(
        self,
        wires: Wires,
        publish: "Publish",
        settings: RecorderSettings,
        log: logging.Logger,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self.tape = Tape()
        self._wires = wires
        self._publish = publish
        self._log = log
        self._clock = clock
        self._feed: CaptureFeed | None = None
        self._is_told = False
        self._due = 0.0
        self._trouble: str | None = None
        self._directory = _directory(settings, log)
        self._flight: FlightRecorder | None = None
        if self._directory is not None:
            from service_runtime.recorder import kept  # noqa: PLC0415

            self._flight = kept.FlightRecorder()
            self.tape.on = True
            # What a service that was stopped while it wrote has left behind.
            for unfinished in self._directory.glob(f"{wires.name}-????????-??????.jsonl.new"):
                with contextlib.suppress(OSError):
                    unfinished.unlink()

    def on_ask(self, payload: bytes) -> None:
        """Somebody asks over MQTT; in the link's thread."""
        if self._feed is None:
            from service_runtime.recorder.feed import CaptureFeed  # noqa: PLC0415

            self._feed = CaptureFeed(self._wires.topic, self._publish, self._wires.about, self._clock)
        if self._feed.on_ask(payload):
            if self._feed.begins:
                self._trouble = None  # a recording begins with how the service is
            self.tape.on = True

    @property
    def rest(self) -> float:
        """Seconds until the next `tick` is needed; with nobody who listens, whenever the service looks up anyway."""
        return TICK if self._is_told else inf

    def tick(self, now: float, trouble: str = "") -> None:
        """Look after the tape, once a second or more often. `trouble`: what is wrong with the service, in words."""
        if not self.tape.on or now < self._due:
            return
        self._due = now + TICK
        try:
            self._look(now, trouble)
        except Exception:  # noqa: BLE001  (whatever it is, it must not take the bridge down)
            self._log.exception("recording what goes over the wires failed; it is switched off until the next question")
            self._flight = None
            self.tape.on = self._is_told = False

    def _look(self, now: float, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self.tape.note(now, "state", trouble or "ok")
        events = self.tape.take()
        self._tell(events, now)
        if self._flight is not None:
            self._flight.keep(events)
            self._write_after_fault(self._flight, trouble, now)
        self.tape.on = self._is_told or self._flight is not None

    def _tell(self, events: list[WireEvent], now: float) -> None:
        dropped, self.tape.dropped = self.tape.dropped, 0
        feed = self._feed
        if feed is None:
            return
        asked = feed.is_asked(now)
        if feed.begins:
            feed.begins = False
            events = [*self._wires.held(), *events]
        if asked and not self._is_told:
            self._log.info("somebody records what goes over the wires: airbridge capture bridge")
        elif self._is_told and not asked:
            self._log.info("nobody records any more")
        self._is_told = asked
        feed.tick(events, dropped, now)

    def _write_after_fault(self, flight: "FlightRecorder", trouble: str, now: float) -> None:
        why = flight.look(trouble, now)
        if why is None or self._directory is None:
            return
        from service_runtime.recorder.flight_file import start_writing  # noqa: PLC0415

        wires = self._wires
        start_writing(self._directory, wires.name, flight.copy(), wires.decoder(), why, self._log)


def _directory(settings: RecorderSettings, log: logging.Logger) -> Path | None:
    """Where files go: as set, else the folder that systemd gave (StateDirectory=), else nowhere."""
    if not settings.enabled:
        return None
    given = settings.directory
    if given is None:
        state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        given = Path(state) if state else None
    if given is not None and not (given.is_dir() and os.access(given, os.W_OK)):
        log.warning("[recorder] directory = %s: no folder that this user may write to; nothing is kept", given)
        return None
    return given
