"""A plain MQTT client beside the services: what a broker does with one connection."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Self

from paho.mqtt.client import Client as PahoClient
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from .programs import NamedBroker

Message = tuple[str, bytes, bool]
"""topic, payload, retain flag"""


class Client:
    """Connects at once; `messages` holds what came, `ended` why it was cut off."""

    def __init__(
        self, broker: NamedBroker, client_id: str, *, version: int | None = None, will: tuple[str, bytes] | None = None
    ) -> None:
        self.messages: list[Message] = []
        self.accepted: bool | None = None
        self.granted: list[bool] | None = None
        self.ended: str | None = None
        self._news = threading.Condition()
        protocol = MQTTProtocolVersion.MQTTv5 if (version or broker.newest) == 5 else MQTTProtocolVersion.MQTTv311
        self.paho = PahoClient(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol, reconnect_on_failure=False
        )
        if broker.login is not None:
            self.paho.username_pw_set(*broker.login)
        if will is not None:
            self.paho.will_set(*will, qos=1, retain=True)
        self.paho.on_connect = lambda _c, _u, _f, reason, _p: self._note(accepted=not reason.is_failure)
        self.paho.on_disconnect = lambda _c, _u, _f, reason, _p: self._note(ended=str(reason))
        self.paho.on_subscribe = lambda _c, _u, _m, reasons, _p: self._note(granted=[not r.is_failure for r in reasons])
        self.paho.on_message = lambda _c, _u, m: self._take((m.topic, bytes(m.payload), m.retain))
        self.paho.connect(broker.host, broker.port, keepalive=5)
        self.paho.loop_start()
        self.until(lambda: self.accepted is not None or self.ended is not None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def subscribe(self, topics: Sequence[str]) -> Self:
        self.granted = None
        self.paho.subscribe([(topic, 0) for topic in topics])
        assert self.until(lambda: self.granted is not None), "no SUBACK"
        return self

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = True) -> None:
        self.paho.publish(topic, payload, qos, retain).wait_for_publish(5)

    def until(self, holds: Callable[[], bool], patience: float = 5.0) -> bool:
        with self._news:
            return self._news.wait_for(holds, patience)

    def count(self, topic: str, payload: bytes) -> int:
        return sum(message[:2] == (topic, payload) for message in self.messages)

    def _note(self, **state: Any) -> None:
        with self._news:
            for name, value in state.items():
                setattr(self, name, value)
            self._news.notify_all()

    def _take(self, message: Message) -> None:
        with self._news:
            self.messages.append(message)
            self._news.notify_all()
