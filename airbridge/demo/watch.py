"""Brings messages, statuses and log lines into the demo's state [shell]."""

from datetime import datetime
from pathlib import Path
from typing import Final

from airbridge.demo.chain import Chain
from airbridge.demo.events import Event, FileFollower, InverterWatch, Level, parse_log_line
from airbridge.demo.feed import Feed
from airbridge.demo.picture import BridgeState
from airbridge.demo.verdict import Counts
from service_runtime.clock import boottime
from service_runtime.mqtt_session import Incoming

STATUS_EVERY: Final = 0.5
"""Seconds between looks at the simulators' counters."""


class Watch:
    """Messages, counters and logs of a running chain. Call `turn` some times a second."""

    def __init__(self, chain: Chain, feed: Feed, folder: Path) -> None:
        self._chain = chain
        self._feed = feed
        self.state = BridgeState(feed.topics, boottime())
        self._logs = {service.name: FileFollower(service.log) for service in chain.services}
        self._records = FileFollower(chain.inverter.log if chain.inverter else folder / "none")
        self._inverter = InverterWatch()
        self._due = 0.0

    def turn(self) -> None:
        """Look at everything once. ChainBroken if a process has ended by itself."""
        self._chain.check()
        self._read_logs()
        for one in self._feed.news():
            if isinstance(one, Incoming):
                self.state.on_message(one.topic, one.payload, one.received)
            else:
                self.state.on_link(*one)
        now = boottime()
        if now >= self._due:
            self._due = now + STATUS_EVERY
            self.look(now)

    def look(self, now: float) -> None:
        """Fetch the simulators' counters."""
        chain = self._chain
        self.state.on_statuses(chain.status(chain.ksem), chain.status(chain.line), chain.status(chain.inverter), now)
        if self.state.ready_at is None and self.state.is_served:
            self.state.start_counts = Counts.of_inverter(chain.count_anew())
            self.state.ready_at = now
            self.look(now)
            self.add_event("demo", "everything flows; counting from here on")

    def add_event(self, who: str, text: str, level: Level = "info") -> None:
        """Add something that the demo itself did or saw."""
        self.state.on_event(Event(_time(), who, text, level))

    def _read_logs(self) -> None:
        for name, follower in self._logs.items():
            for line in follower.lines():
                if event := parse_log_line(name, line, _time()):
                    self.state.on_event(event)
        for record in self._records.lines():
            if event := self._inverter.take(record, _time()):
                self.state.on_event(event)
        self.state.lately = self._inverter.lately


def _time() -> str:
    return f"{datetime.now():%H:%M:%S}"  # noqa: DTZ005  local time, as in the services' logs
