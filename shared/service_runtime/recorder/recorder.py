"""A service's recorder: its tape, who is told what is on it, and what is kept of it for after a fault."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from ksem_contract.capture_feed import WireEvent
from service_runtime.clock import boottime
from service_runtime.recorder.tape import Tape

if TYPE_CHECKING:
    from service_runtime.recorder.feed import CaptureFeed, Publish

TICK: Final = 0.25
"""Seconds between two looks at the tape."""


class Recorder:
    """At rest it costs one look at a switch for each event, and one a tick.

    `held`: what the service holds as a recording begins, so that a recording is whole from its first moment on.
    """

    def __init__(
        self,
        topic: str,
        publish: "Publish",
        about: Mapping[str, str],
        log: logging.Logger,
        *,
        held: Callable[[], Iterable[WireEvent]] = tuple,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self.tape = Tape()
        self._topic = topic
        self._publish = publish
        self._about = about
        self._log = log
        self._held = held
        self._clock = clock
        self._feed: CaptureFeed | None = None
        self._is_told = False
        self._due = 0.0

    def on_ask(self, payload: bytes) -> None:
        """Somebody asks over MQTT; in the link's thread."""
        if self._feed is None:
            from service_runtime.recorder.feed import CaptureFeed  # noqa: PLC0415  (few services are ever asked)

            self._feed = CaptureFeed(self._topic, self._publish, self._about, self._clock)
        if self._feed.on_ask(payload):
            self.tape.on = True

    def tick(self, now: float) -> None:
        """Look after the tape: call it some times a second."""
        if not self.tape.on or now < self._due:
            return
        self._due = now + TICK
        events = self.tape.take()
        dropped, self.tape.dropped = self.tape.dropped, 0
        feed = self._feed
        if feed is not None:
            asked = feed.is_asked(now)
            if asked and not self._is_told:
                self._log.info("somebody records what goes over the wires: airbridge capture bridge")
                events = [*self._held(), *events]
            elif self._is_told and not asked:
                self._log.info("nobody records any more")
            self._is_told = asked
            feed.tick(events, dropped, now)
        self.tape.on = self._is_told
