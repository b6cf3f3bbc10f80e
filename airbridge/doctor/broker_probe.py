"""One login at the broker: subscribes, probes its rights, pings publishers [shell]."""

import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from airbridge.doctor.check_broker import Seen, probes
from airbridge.doctor.check_settings import Wanted
from airbridge.doctor.facts import LoginFacts, Probe, Role
from ksem_contract.block_message import Ping
from ksem_contract.reasons import Reason
from ksem_contract.topics import Topics
from service_runtime import mqtt_reasons
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink
from service_runtime.mqtt_session import Incoming

_UP_WITHIN: Final = 8.0
_log: Final = logging.getLogger("airbridge.doctor")


class BrokerProbe:
    """Finds what one login may read and publish. Sets `news` whenever there is something new."""

    def __init__(
        self,
        role: Role,
        mqtt: MqttSettings,
        to_do: Wanted,
        news: threading.Event,
        discovery_prefix: str | None = "homeassistant",
    ) -> None:
        self.role, self.mqtt = role, mqtt
        self.seen = Seen(Topics(mqtt.prefix))
        self._name = f"doctor-{secrets.token_hex(4)}"
        self._meters = set(to_do.meters)
        self._nodes = set(to_do.nodes)
        self._pinged: set[str] = set()
        self._taken: dict[str, bool] = {}
        self._back: set[str] = set()
        self._probes = probes(role, self.seen.topics, self._name, discovery_prefix)
        self._news = news
        self._state: tuple[bool, tuple[Reason, ...]] | None = None
        self._answered = threading.Event()
        _log.addHandler(logging.NullHandler())
        _log.propagate = False  # the findings hold what the link logs
        self._link = MqttLink(
            mqtt,
            client_id=f"airbridge-{self._name}",
            will=None,
            subscriptions=self._patterns(),
            on_message=self._on_message,
            on_link=self._on_link,
            log=_log,
            on_acknowledged=self._on_acknowledged,
        )

    def start(self) -> None:
        """Connect; return when it is clear whether that works."""
        self._link.start()
        self._answered.wait(_UP_WITHIN)
        if not self._link.connected:
            return
        for _, topic, _ in self._probes:
            self._link.publish(topic, b"", qos=1)
        self.ping(self._meters)

    def ping(self, meters: Iterable[str]) -> None:
        """Ping the publishers of these meters, each once, for their clock."""
        if self.role == "publisher":
            return  # its role may not
        for meter in set(meters) - self._pinged:
            self._pinged.add(meter)
            nonce = secrets.token_hex(4)
            self.seen.sent_ping(nonce, boottime())
            self._link.publish(self.seen.topics.ping(meter, self._name), Ping(nonce).encode(), qos=1)

    @property
    def is_down(self) -> bool:
        """Whether there is no link."""
        return not self._link.connected

    @property
    def is_done(self) -> bool:
        """Whether every probe has its answer."""
        acknowledges = self._link.version == 5
        return not self._link.connected or all(
            (topic in self._taken or not acknowledges) and (topic in self._back or not comes)
            for _, topic, comes in self._probes
        )

    def stop(self) -> LoginFacts:
        """Disconnect; return the facts."""
        up, reasons = self._state or (False, (mqtt_reasons.no_answer(self.mqtt),))
        up = up and self._link.connected
        self._link.stop()
        acknowledges = self._link.version == 5
        return LoginFacts(
            role=self.role,
            where=mqtt_reasons.address(self.mqtt),
            user=self.mqtt.username,
            prefix=self.mqtt.prefix,
            up=up,
            reasons=reasons,
            probes=tuple(
                Probe(
                    family,
                    taken=self._taken.get(topic, False) if acknowledges else None,
                    came_back=topic in self._back if comes else None,
                )
                for family, topic, comes in self._probes
            )
            if up
            else (),
            blocks_from=frozenset(self.seen.blocks_from),
            seen=frozenset(self.seen.seen),
            seen_live=frozenset(self.seen.live_families),
        )

    def _patterns(self) -> list[str]:
        topics = self.seen.topics
        prefix = topics.prefix
        shown = [f"{prefix}/+/status", f"{prefix}/+/health", topics.all_nodes_status()]
        shown += [f"{prefix}/rtu/+/health", topics.all_nodes_requests()]
        # By name too: some brokers, RabbitMQ for one, keep what is retained from patterns.
        for meter in sorted(self._meters):
            shown += [topics.meter_status(meter), topics.meter_health(meter)]
        for node in sorted(self._nodes):
            shown += [topics.node_status(node), topics.node_health(node), topics.node_requests(node)]
        if self.role != "other":
            shown.append(f"{prefix}/+/block/+")
            shown += [topics.meter_block(meter, "live") for meter in sorted(self._meters)]
        return [*shown, f"{prefix}/+/pong/{self._name}"]

    def _on_link(self, up: bool, reasons: tuple[Reason, ...]) -> None:
        if self._state is None or up:
            self._state = (up, reasons)
        self._answered.set()
        self._news.set()

    def _on_acknowledged(self, topic: str, taken: bool) -> None:
        self._taken[topic] = taken
        self._news.set()

    def _on_message(self, message: Incoming) -> None:
        if any(topic == message.topic for _, topic, _ in self._probes):
            self._back.add(message.topic)
        else:
            self.seen.take(message, datetime.now(UTC))
            self.ping(self.seen.seen)
        self._news.set()


def listen(
    probes: list[BrokerProbe], is_complete: Callable[[], bool], *, least: float, most: float, news: threading.Event
) -> None:
    """Let them listen for `least` to `most` seconds: until every half has reported."""
    begun = boottime()
    while (elapsed := boottime() - begun) < most:
        if all(probe.is_down for probe in probes):
            return
        if elapsed >= least and all(probe.is_done for probe in probes) and is_complete():
            return
        news.clear()
        news.wait(0.25)
