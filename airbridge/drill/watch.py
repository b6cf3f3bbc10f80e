"""Collects what the broker delivers during a drill [shell]."""

import contextlib
import logging
import secrets
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from airbridge.drill.report import Belief
from ksem_contract.health import NodeHealth
from ksem_contract.message_fields import InvalidMessage
from ksem_contract.reasons import Reason, sentence
from ksem_contract.topics import Topics
from ksem_contract.values_message import ValuesMessage
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink
from service_runtime.mqtt_session import Incoming

_log: Final = logging.getLogger("airbridge.drill")


class BrokerWatch:
    """Receives the node's health and what inverter-reader publishes."""

    def __init__(self, mqtt: MqttSettings) -> None:
        self.seen: list[Belief] = []
        self.health: dict[str, tuple[NodeHealth, float]] = {}
        """By node: its last health, and when it came."""
        self.why = "not connected"
        self._topics = Topics(mqtt.prefix)
        self._news = threading.Condition()
        _log.addHandler(logging.NullHandler())
        _log.propagate = False
        self._link = MqttLink(
            mqtt,
            client_id=f"airbridge-drill-{secrets.token_hex(4)}",
            will=None,
            subscriptions=[f"{mqtt.prefix}/rtu/+/health", f"{mqtt.prefix}/inverter/+/values"],
            on_message=self._on_message,
            on_link=self._on_link,
            log=_log,
        )

    def __enter__(self) -> Self:
        self._link.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._link.stop()

    def await_health(self, node: str | None, since: float, within: float) -> NodeHealth | None:
        """The node's health that came after `since`; None where it does not come in time. `node` None: any."""
        with self._news:
            self._news.wait_for(lambda: self._found(node, since) is not None, within)
            return self._found(node, since)

    def _found(self, node: str | None, since: float) -> NodeHealth | None:
        waiting = [
            health
            for name, (health, received) in self.health.items()
            if received >= since and (node is None or name == node)
        ]
        return waiting[0] if len(waiting) == 1 else None

    def _on_link(self, _up: bool, reasons: tuple[Reason, ...]) -> None:
        self.why = sentence(reasons)

    def _on_message(self, message: Incoming) -> None:
        topic = self._topics.parse(message.topic)
        with contextlib.suppress(InvalidMessage), self._news:
            if topic is not None and topic.node is not None:
                self.health[topic.node] = (NodeHealth.decode(message.payload), message.received)
            elif topic is not None and topic.kind == "inverter_values":
                values = ValuesMessage.decode(message.payload)
                self.seen.append(belief_of(values.values, message.received - values.age_ms / 1000))
            self._news.notify_all()


def belief_of(values: Mapping[str, float], at: float) -> Belief:
    """What the inverter believes, of values by key."""
    found = values
    manager = found.get("energy_manager")
    return Belief(at, found.get("power", 0.0), found.get("frequency", 0.0), None if manager is None else int(manager))
