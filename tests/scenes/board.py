"""A client of the broker that keeps the newest message of each topic, and no more."""

import logging
import threading
from types import TracebackType
from typing import Self

from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink
from service_runtime.mqtt_session import Incoming
from tests.bridge.broker import Broker
from tests.bridge.shipped_broker import TESTER, ShippedBroker
from tests.faults.ear import LIVE, METER_STATUS, NODE_STATUS

TOPICS = (METER_STATUS, NODE_STATUS, LIVE, "ksem/flat/block/live")


class Board:
    """The statuses and live blocks."""

    def __init__(self, broker: Broker) -> None:
        log = logging.getLogger("board")
        log.setLevel(logging.CRITICAL)  # what becomes of this connection is nobody's news
        login = TESTER if isinstance(broker, ShippedBroker) else None
        self._newest: dict[str, Incoming] = {}
        self._news = threading.Condition()
        self._link = MqttLink(
            MqttSettings(host=broker.host, port=broker.port, username=login, password=login),
            client_id="board",
            will=None,
            subscriptions=TOPICS,
            on_message=self._on_message,
            on_link=lambda _up, _why: None,
            log=log,
        )

    def __enter__(self) -> Self:
        self._link.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._link.stop()

    def payload(self, topic: str) -> bytes:
        """The newest message; empty before there is one."""
        with self._news:
            message = self._newest.get(topic)
        return b"" if message is None else message.payload

    def age(self, topic: str) -> float:
        """Seconds since the newest message that was not retained."""
        with self._news:
            message = self._newest.get(topic)
        return float("inf") if message is None or message.retained else boottime() - message.received

    def await_next(self, topic: str, within: float) -> bytes:
        """The next message on a topic; empty where none comes in time."""
        with self._news:
            before = self._newest.get(topic)
            self._news.wait_for(lambda: self._newest.get(topic) is not before, within)
            message = self._newest.get(topic)
        return b"" if message is None or message is before else message.payload

    def _on_message(self, message: Incoming) -> None:
        with self._news:
            self._newest[message.topic] = message
            self._news.notify_all()
