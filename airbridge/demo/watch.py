"""Brings messages, statuses and log lines into the demo's state [shell]."""

import logging
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from airbridge.demo.chain import Chain
from airbridge.demo.events import Counts, Event, FileFollower, InverterWatch, Level, parse_log_line
from airbridge.demo.picture import BridgeState
from ksem_contract.reasons import Reason
from ksem_contract.topics import Topics
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink
from service_runtime.mqtt_session import FinalMessage, Incoming

_log: Final = logging.getLogger("airbridge.demo")


class Feed:
    """Listens to everything of the contract."""

    def __init__(self, mqtt: MqttSettings) -> None:
        self.topics = Topics(mqtt.prefix)
        self._news: SimpleQueue[Incoming | tuple[bool, tuple[Reason, ...]]] = SimpleQueue()
        self._retained: set[str] = set()
        _log.addHandler(logging.NullHandler())
        _log.propagate = False  # the screen shows the link; log lines would tear it
        self._link = MqttLink(
            mqtt,
            client_id=f"airbridge-demo-{secrets.token_hex(4)}",
            will=None,
            subscriptions=[self.topics.everything()],
            on_message=self._news.put,
            on_link=lambda up, reasons: self._news.put((up, reasons)),
            log=_log,
        )

    def start(self) -> None:
        """Begin to listen."""
        self._link.start()

    def news(self) -> Iterator[Incoming | tuple[bool, tuple[Reason, ...]]]:
        """Messages and changes of the link (up, why) since the last call."""
        while True:
            try:
                one = self._news.get_nowait()
            except Empty:
                return
            if isinstance(one, Incoming) and one.payload:
                self._retained.add(one.topic)
            yield one

    def stop(self, *, clear: bool = False) -> None:
        """End. `clear` takes the demo's retained messages from the broker, once the services are gone."""
        final_messages: list[FinalMessage] = [(topic, b"", 1, True) for topic in self._retained] if clear else []
        self._link.stop(final_messages)


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
