"""Publishes an inverter's retained topics, status and health, and keeps them current [shell]."""

import logging
from typing import Final

from inverter_reader.inverter import Condition, Inverter
from ksem_contract.health import LinkHealth
from ksem_contract.inverter_health import InverterHealth
from ksem_contract.reasons import Reason, sentence
from ksem_contract.topics import Topics
from service_runtime.clock import wall_time
from service_runtime.mqtt_link import MqttLink
from service_runtime.news import LinkState, QuietLog
from service_runtime.version import VERSION

HEALTH_EVERY: Final = 10.0
LEAST_APART: Final = 1.0
"""Seconds between two health messages at least, however fast things change."""
_LINES_AT_ONCE: Final = 6

log = logging.getLogger(__name__)


class InverterReporter:
    """Holds what was published last, and when it is due again."""

    def __init__(self, topics: Topics, inverter: str, link: MqttLink, now: float) -> None:
        self._id = inverter
        self._status_topic = topics.inverter_status(inverter)
        self._health_topic = topics.inverter_health(inverter)
        self._link = link
        self._status = b"offline"
        self._published: bytes | None = None
        self._codes: list[str] = []
        self._state = ""
        self._since = wall_time()
        self._due = self._last = 0.0
        self._modbus = LinkState(Reason.of("inverter-starting"), now, self._since)
        self._quiet = QuietLog()

    def on_link_up(self) -> None:
        """The broker may have lost everything: publish it all again with the next tick."""
        self._published, self._due = None, 0.0

    def on_own_status(self, payload: bytes) -> None:
        """Correct a status that a late last will, or another client, has published here."""
        if payload != self._status:
            self._published = None

    def publish(self, inverter: Inverter, condition: Condition, broker: LinkHealth, now: float) -> None:
        """Publish what is due or has changed."""
        self._status = b"online" if inverter.is_read else b"offline"
        if self._status != self._published:
            # Noted first: the link's thread may receive another status meanwhile, which must not be lost.
            self._published = self._status
            if not self._link.publish(self._status_topic, self._status, qos=1, retain=True):
                self._published = None
        self._note(inverter, condition, now)
        if now >= self._due:
            payload = self._health(inverter, condition, broker).encode()
            if self._link.publish(self._health_topic, payload, qos=1, retain=True):
                self._due, self._last = now + HEALTH_EVERY, now

    def _note(self, inverter: Inverter, condition: Condition, now: float) -> None:
        """Log a change of state or reasons, and publish health soon."""
        up = inverter.is_read or (inverter.reads > 0 and not inverter.is_lost)
        reasons = (Reason.of("inverter-answers", where=inverter.where),) if up else condition.reasons
        waiting = not inverter.reads and not inverter.failures
        self._modbus.update("up" if up else "waiting" if waiting else "down", reasons, now, wall_time())
        codes = [reason.code for reason in condition.reasons]
        if (condition.state, codes) == (self._state, self._codes):
            return
        if condition.state != self._state:
            self._since = wall_time()
        self._state, self._codes = condition.state, codes
        self._due = min(self._due, self._last + LEAST_APART)
        self._log(condition.reasons, condition.state == "ok" or waiting, now)

    def _log(self, reasons: tuple[Reason, ...], good: bool, now: float) -> None:
        line = self._quiet.line("state", f"inverter {self._id}: {sentence(reasons)}", now, at_once=_LINES_AT_ONCE)
        if line is not None:
            log.log(logging.INFO if good else logging.WARNING, "%s", line)
        for line in self._quiet.due(now):
            log.warning("%s", line)

    def _health(self, inverter: Inverter, condition: Condition, broker: LinkHealth) -> InverterHealth:
        believed = inverter.believed
        return InverterHealth(
            version=VERSION,
            since=self._since,
            state=condition.state,
            reasons=condition.reasons,
            meter=inverter.meter,
            broker=broker,
            modbus=self._modbus.health,
            reads=inverter.reads,
            failures=inverter.failures,
            byte_order=inverter.order if inverter.reads else None,
            meter_kind=inverter.kind,
            believed_w=None if believed is None else round(believed.power, 1),
            served_w=inverter.served_w,
            delay=inverter.delay,
        )
