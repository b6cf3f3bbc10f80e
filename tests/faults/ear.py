"""Hears all that is said on the broker, and when; says what no service of ours would."""

import itertools
import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from ksem_contract.block_message import BlockMessage
from ksem_contract.health import MeterHealth, NodeHealth
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink
from service_runtime.mqtt_session import Incoming

METER_STATUS: Final = "ksem/main/status"
NODE_STATUS: Final = "ksem/rtu/attic/status"
METER_HEALTH: Final = "ksem/main/health"
NODE_HEALTH: Final = "ksem/rtu/attic/health"
LIVE: Final = "ksem/main/block/live"
TOLD_WITHIN: Final = 3.0
"""Seconds within which a status is right after any change."""
NOTICED_WITHIN: Final = 2 * 2.0 + 1.0
"""The same where a service tells it by silence: twice the default keepalive, and a second."""
BROKER_NOTICES_WITHIN: Final = 1.5 * 2.0 + 7.0
"""The same where the broker must: after 1.5 keepalives, and mosquitto 2.0 looks only every 6 s (src/keepalive.c)."""

_numbers = itertools.count()


class Ear:
    """A client of the broker that hears everything."""

    def __init__(
        self, port: int, *, host: str = "127.0.0.1", username: str | None = None, password: str | None = None
    ) -> None:
        self.received: list[Incoming] = []
        self._news = threading.Condition()
        self._up = threading.Event()
        self._link = MqttLink(
            MqttSettings(host=host, port=port, username=username, password=password),
            client_id=f"ear-{next(_numbers)}",
            will=None,
            subscriptions=["#"],
            on_message=self._on_message,
            on_link=lambda up, _why: self._up.set() if up else self._up.clear(),
            log=logging.getLogger("ear"),
        )

    def __enter__(self) -> Self:
        self._link.start()
        assert self._up.wait(10)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._link.stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        """Publish; a retained empty payload clears the topic."""
        assert self._link.publish(topic, payload, qos=1, retain=retain)

    def shout(self, topic: str, payload: bytes) -> None:
        """Publish as fast as called; what the link does not take at once is lost."""
        self._link.publish(topic, payload)

    def last(self, topic: str) -> bytes | None:
        """What was said last on a topic."""
        with self._news:
            return next((one.payload for one in reversed(self.received) if one.topic == topic), None)

    def payloads(self, topic: str) -> list[bytes]:
        """All that was said on a topic, in order."""
        with self._news:
            return [one.payload for one in self.received if one.topic == topic]

    def await_last(self, topic: str, wanted: bytes | Callable[[bytes], bool], within: float) -> float:
        """Wait until the newest payload of a topic is the wanted one; return how long that took, in seconds."""
        begun = boottime()
        fits = wanted if callable(wanted) else wanted.__eq__
        with self._news:
            while True:
                last = next((one for one in reversed(self.received) if one.topic == topic), None)
                if last is not None and fits(last.payload):
                    return max(0.0, last.received - begun)
                left = begun + within - boottime()
                assert left > 0, f"{topic} after {within} s: {last and last.payload!r}"
                self._news.wait(left)

    def await_correction(self, topic: str, wrong: bytes, right: bytes, within: float) -> None:
        """Say something wrong on a topic and wait until its owner has said what is right after it."""
        with self._news:
            begin = len(self.received)
            self.publish(topic, wrong)
            received: list[bytes] = []

            def corrected() -> bool:
                received[:] = [one.payload for one in self.received[begin:] if one.topic == topic]
                return wrong in received and received[-1] == right

            assert self._news.wait_for(corrected, within), f"{topic} within {within} s: {received}"

    def await_said(self, topic: str, payload: bytes, begin: int, within: float = 5.0) -> Incoming:
        """Wait for a payload on a topic among what was heard from message number `begin` on; return the message."""

        def found() -> Incoming | None:
            written = (one for one in self.received[begin:] if (one.topic, one.payload) == (topic, payload))
            return next(written, None)

        with self._news:
            message = self._news.wait_for(found, within)
        assert message is not None, f"{topic}: not said within {within} s: {payload!r}"
        return message

    def await_next(self, topic: str, within: float = 5.0) -> bytes:
        """Wait for the next message on a topic."""
        with self._news:
            received = len(self.received)
            found = self._news.wait_for(lambda: any(one.topic == topic for one in self.received[received:]), within)
            assert found, f"nothing on {topic} within {within} s"
            return next(one.payload for one in self.received[received:] if one.topic == topic)

    def live(self) -> BlockMessage:
        """The next live block."""
        return BlockMessage.decode(self.await_next(LIVE))

    def await_meter_health(self, fits: Callable[[MeterHealth], bool], within: float = 5.0) -> MeterHealth:
        """Wait until the publisher tells of a state that fits."""
        self.await_last(METER_HEALTH, lambda payload: fits(MeterHealth.decode(payload)), within)
        return MeterHealth.decode(self.last(METER_HEALTH) or b"")

    def await_node_health(self, fits: Callable[[NodeHealth], bool], within: float = 5.0) -> NodeHealth:
        """Wait until the RTU server tells of a state that fits."""
        self.await_last(NODE_HEALTH, lambda payload: fits(NodeHealth.decode(payload)), within)
        return NodeHealth.decode(self.last(NODE_HEALTH) or b"")

    def _on_message(self, message: Incoming) -> None:
        with self._news:
            self.received.append(message)
            self._news.notify_all()
