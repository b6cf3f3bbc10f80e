"""Publishes a node's retained topics, status, health and requests, and keeps them current [shell]."""

import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from ksem_contract.health import LinkHealth, NoData, NodeHealth, Transit, UnitHealth
from ksem_contract.reasons import Reason
from ksem_contract.topics import Topics
from rtu_server.health import Overall, UnitReport, Verdict, node_health, requests_message
from service_runtime.clock import wall_time
from service_runtime.mqtt_link import MqttLink
from service_runtime.news import StableChange
from service_runtime.status import HealthTopic, StatusTopic
from service_runtime.version import VERSION

REQUESTS_EVERY: Final = 10.0
SETTLED: Final = 1.9
"""Seconds that another reason for the same state must last to be logged: a change passes through several."""

log = logging.getLogger(__name__)


class Surroundings(NamedTuple):
    """The parts of a health message beside the units."""

    tcp: list[UnitHealth]
    broker: LinkHealth
    transit: dict[str, Transit]
    no_data: NoData | None = None


class NodeReporter:
    """Holds what the node published last, and when it is due again."""

    def __init__(self, topics: Topics, node: str, link: MqttLink) -> None:
        self._status = StatusTopic(topics.node_status(node), link.publish)
        self._health = HealthTopic(topics.node_health(node), link.publish, log, wall_time())
        self._requests_topic = topics.node_requests(node)
        self._link = link
        name_taken = Reason.of("node-name-taken", node=node, topic=self._status.topic)
        self._other_instance = Verdict("degraded", (name_taken,))
        self._settled = StableChange("down", still=SETTLED)
        self._requests_due = 0.0
        self._requests_seen: list[tuple[bytes, str]] | None = None
        self.has_logged = True
        """Whether the log shows the node's present state, or needs no line: no change is pending."""

    def on_link_up(self, now: float) -> None:
        """The broker may have lost everything: publish it all again, the status at once."""
        self._status.on_connected(now)
        self._health.on_connected()
        self._requests_due = 0.0

    def on_link_down(self) -> None:
        """Expect no echo of what was published: the link is down."""
        self._status.on_lost()

    def other_instance(self, now: float) -> list[Verdict]:
        """Return the verdict on another RTU server that publishes this node's status."""
        return [self._other_instance] if self._status.is_contradicted(now) else []

    def on_own_status(self, payload: bytes, now: float, *, retained: bool = False) -> None:
        """Correct a status that a late last will, or another client, has published in place of ours."""
        self._status.on_message(payload, now, retained=retained)

    def publish(
        self,
        served: bool,
        node: Overall,
        reports: list[UnitReport],
        surroundings: Callable[[float], Surroundings],
        now: float,
    ) -> None:
        """Publish what is due or has changed; build nothing else, for this runs a few times a second."""
        self._status.set(now, online=served)
        if self._health.set(node.state, node.reasons, wall_time()):
            self._health.news()
        self._note_change(node, now)
        self._health.publish(lambda: self._message(node, reports, surroundings, now).encode(), now)
        self._health.log_counted(now)
        self._publish_requests(reports, now)

    def _message(
        self,
        node: Overall,
        reports: list[UnitReport],
        surroundings: Callable[[float], Surroundings],
        now: float,
    ) -> NodeHealth:
        around = surroundings(now)
        return node_health(
            reports,
            node,
            version=VERSION,
            since=self._health.since,
            tcp=around.tcp,
            broker=around.broker,
            transit=around.transit,
            no_data=around.no_data,
            now=now,
        )

    def _note_change(self, node: Overall, now: float) -> None:
        """Log a change of state at once, a change of its reason once it is stable."""
        if node.waiting:
            self.has_logged = True
            return
        is_new = self._settled.is_due(node.state, node.why, now, at_once=True) or self._settled.is_clearer(now)
        self.has_logged = self._settled.is_logged
        if is_new:
            self._health.log("node", node.state, node.why, now)

    def _publish_requests(self, reports: list[UnitReport], now: float) -> None:
        seen = [
            (frame, requested.outcome)
            for report in reports
            for frame, requested in list(report.counters.units[report.view.unit].requested.items())
        ]
        if now < self._requests_due and seen == self._requests_seen:
            return
        message = requests_message(reports, now)
        if self._link.publish(self._requests_topic, message.encode(), qos=1, retain=True):
            self._requests_due, self._requests_seen = now + REQUESTS_EVERY, seen
