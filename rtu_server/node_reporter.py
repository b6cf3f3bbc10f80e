"""Keeps a node's retained topics true: status, health, requests."""

import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from ksem_contract.health import LinkHealth, Transit, UnitHealth
from ksem_contract.reasons import Reason
from ksem_contract.topics import Topics
from service_runtime.clock import wall_time
from service_runtime.mqtt_link import MqttLink
from service_runtime.other_instance import OtherInstance
from service_runtime.quiet_log import QuietLog
from service_runtime.version import VERSION

from .node_report import Overall, UnitReport, node_health, requests_message
from .unit_state import Verdict

HEALTH_EVERY: Final = 10.0
REQUESTS_EVERY: Final = 10.0
STATUS_EVERY: Final = 30.0
"""As often the status is repeated, so that two nodes of one name notice each other though their statuses agree."""
NEWS_EVERY: Final = 1.0
"""Seconds between two health messages at least, however fast things change."""
SETTLED: Final = 1.9
"""Seconds that another reason for the same state must last to be logged: a state is reached through several."""
_LINES_AT_ONCE: Final = 4

log = logging.getLogger(__name__)


class Surroundings(NamedTuple):
    """What a health message tells beside the units."""

    doors: list[UnitHealth]
    broker: LinkHealth
    transit: dict[str, Transit]


class NodeReporter:
    """What the node said last, and when it is due to say it again."""

    def __init__(self, topics: Topics, node: str, link: MqttLink) -> None:
        self._status_topic = topics.node_status(node)
        self._health_topic = topics.node_health(node)
        self._requests_topic = topics.node_requests(node)
        self._link = link
        self._status = b"offline"
        self._status_told: bytes | None = None
        self._status_due = 0.0
        self._others = OtherInstance()
        self._other_instance = Verdict(
            "degraded",
            (Reason.of("node-name-taken", node=node, topic=self._status_topic),),
        )
        self._overall = Overall("down", ())
        self._since = wall_time()
        self._health_due = 0.0
        self._requests_due = 0.0
        self._requests_seen: list[tuple[bytes, str]] | None = None
        self._told_at = 0.0
        self._logged = self._overall
        self._changed_at = 0.0
        self._quiet = QuietLog()

    @property
    def has_logged(self) -> bool:
        """Whether the log says how the node is, or need not: nothing waits to be settled."""
        return self._overall == self._logged or self._overall.waiting

    def on_link_up(self) -> None:
        """The broker may have forgotten everything: tell it all again with the next tick."""
        self._others.on_connected()
        self._status_told = None
        self._health_due = self._requests_due = 0.0

    def other_instance(self, now: float) -> list[Verdict]:
        """Return what there is to say of another RTU server that publishes this node's status."""
        return [self._other_instance] if self._others.seen(now) else []

    def on_own_status(self, payload: bytes, now: float, *, retained: bool = False) -> None:
        """Correct what a late last will, or anybody else, put on our own status."""
        self._others.received(payload, self._status, now, retained=retained)
        if payload != self._status:
            self._status_told = None

    def tell(
        self,
        served: bool,
        node: Overall,
        reports: list[UnitReport],
        surroundings: Callable[[float], Surroundings],
        now: float,
    ) -> None:
        """Publish what is due or has changed; nothing else is put together, for this runs a few times a second."""
        self._status = b"online" if served else b"offline"
        if self._status != self._status_told or now >= self._status_due:
            # Noted first: while it goes out the link's thread may hear another one, which must not be forgotten.
            self._status_told, self._status_due = self._status, now + STATUS_EVERY
            self._others.publishing(self._status, now)
            if not self._link.publish(self._status_topic, self._status, qos=1, retain=True):
                self._status_told = None
        if node.state != self._overall.state:
            self._since = wall_time()
        if node != self._overall:
            self._changed_at = now
            self._health_due = min(self._health_due, self._told_at + NEWS_EVERY)
        self._log(node, now)
        self._overall = node
        if now >= self._health_due:
            doors, broker, transit = surroundings(now)
            message = node_health(
                reports, node, doors=doors, version=VERSION, since=self._since, broker=broker, transit=transit, now=now
            )
            if self._link.publish(self._health_topic, message.encode(), qos=1, retain=True):
                self._health_due, self._told_at = now + HEALTH_EVERY, now
        self._tell_requests(reports, now)

    def _log(self, node: Overall, now: float) -> None:
        """A change of state at once, a change of its reason once it has settled."""
        changed = node.state != self._logged.state or (node != self._logged and now - self._changed_at >= SETTLED)
        if changed and not node.waiting:
            self._logged = node
            line = self._quiet.say("node", node.why, now, at_once=_LINES_AT_ONCE)
            if line is not None:
                log.log(logging.INFO if node.state == "ok" else logging.WARNING, "%s", line)
        for line in self._quiet.due(now):
            log.warning("%s", line)

    def _tell_requests(self, reports: list[UnitReport], now: float) -> None:
        seen = [
            (frame, asked.outcome)
            for report in reports
            for frame, asked in list(report.counters.units[report.view.unit].asked.items())
        ]
        if now < self._requests_due and seen == self._requests_seen:
            return
        message = requests_message(reports, now)
        if self._link.publish(self._requests_topic, message.encode(), qos=1, retain=True):
            self._requests_due, self._requests_seen = now + REQUESTS_EVERY, seen
