"""A publisher of the contract's messages made of MqttLink alone: for what a real one would never send."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from ksem_contract.block_message import BlockMessage, Ping, Pong
from ksem_contract.blocks import parse_block_name
from ksem_contract.freshness import pong_stamp
from ksem_contract.topics import Topics
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink
from service_runtime.mqtt_session import Incoming
from tests.unit.rtu_server.blocks import block


class FakePublisher:
    """Publishes blocks of meter `main` when told to, answers pings unless told not to, keeps what it hears."""

    def __init__(
        self, port: int, *, session: str = "aaaa", answers: bool = True, subscriptions: Sequence[str] = ()
    ) -> None:
        self.session = session
        self.answers = answers
        self.topics = Topics()
        self.received: dict[str, list[bytes]] = defaultdict(list)
        self._news = threading.Condition()
        self._seq: dict[str, int] = defaultdict(int)
        self._up = threading.Event()
        self.link = MqttLink(
            MqttSettings(host="127.0.0.1", port=port),
            client_id=f"fake-{session}",
            will=None,
            subscriptions=[self.topics.everything(), *subscriptions],
            on_message=self._on_message,
            on_link=lambda up, _why: self._up.set() if up else self._up.clear(),
            log=logging.getLogger("fake"),
        )

    def start(self) -> "FakePublisher":
        self.link.start()
        assert self._up.wait(10)
        return self

    def stop(self) -> None:
        self.link.stop()

    def send(self, name: str = "live", *, fill: int = 7, age: float = 0.0, **changes: object) -> BlockMessage:
        """Publish a block that was made `age` seconds ago."""
        self._seq[name] += 1
        span = parse_block_name(name)
        start, count = (span.start, span.count) if span else (None, 1)
        at = boottime() - age
        made = block(
            name, fill=fill, at=at, seq=self._seq[name], session=self.session, start=start, count=count, cycle_ms=200
        )
        message = replace(made, **changes)  # type: ignore[arg-type]
        assert self.link.publish(self.topics.meter_block("main", name), message.encode(), retain=True)
        return message

    def status(self, payload: bytes) -> None:
        assert self.link.publish(self.topics.meter_status("main"), payload, qos=1, retain=True)

    def last(self, topic: str) -> bytes | None:
        """Return the newest message on `topic`."""
        with self._news:
            return self.received[topic][-1] if self.received[topic] else None

    def await_payload(self, topic: str, payload: bytes, within: float = 5.0) -> None:
        """Wait until the newest message on `topic` is `payload`."""
        deadline = time.monotonic() + within
        with self._news:
            while self.received[topic][-1:] != [payload]:
                assert self._news.wait(max(0.0, deadline - time.monotonic())), f"{topic}: {self.received[topic][-3:]}"

    def await_count(self, topic: str, count: int, within: float = 5.0) -> None:
        """Wait until so many messages have come on `topic`."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.received[topic]) >= count, within), self.received.keys()

    def _on_message(self, message: Incoming) -> None:
        with self._news:
            self.received[message.topic].append(message.payload)
            self._news.notify_all()
        topic = self.topics.parse(message.topic)
        if topic is not None and topic.kind == "ping" and topic.node and self.answers:
            pong = Pong("main", topic.node, Ping.decode(message.payload).nonce, self.session, pong_stamp(boottime()))
            self.link.publish(self.topics.pong("main", topic.node), pong.encode())
