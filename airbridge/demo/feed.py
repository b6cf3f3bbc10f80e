"""Brings the services' MQTT messages to the demo's own thread [shell]."""

import logging
import secrets
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Final

from ksem_contract.reasons import Reason
from ksem_contract.topics import Topics
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
