"""A service's status and health topics: when each is published, and which changes are logged [shell].

All services use these, so that there is one answer to: how often, retained or not, what after a new connection, how
many log lines a minute. They decide and hand payloads to `publish`; times are seconds of CLOCK_BOOTTIME that the
caller gives. Another instance of a service shows by the status topic that both of them publish on.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from ksem_contract.health import HealthCondition
from ksem_contract.reasons import Reason
from service_runtime.news import QuietLog

BACK_WITHIN: Final = 5.0
"""Seconds within which the broker returns what we published; another client published what comes later."""
ENOUGH: Final = 3
WITHIN: Final = 120.0
"""So many messages of others, within so many seconds of one connection, are another instance. One alone is a late last
will of a process that died; a restart of the broker ends the connection, and the count."""
APART: Final = 20.0
"""Seconds between two that repeat what we publish ourselves, to count: a bridge to another broker repeats it whenever
that broker returns, an instance that agrees with us does so every 30 s."""
REMEMBERED: Final = 60.0


class OtherInstance:
    """Distinguishes our own messages on one topic from those of others; any thread may call it.

    Times in seconds of CLOCK_BOOTTIME.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._own: deque[tuple[bytes, float]] = deque(maxlen=32)
        """Published and not returned yet."""
        self._others: deque[float] = deque(maxlen=ENOUGH)
        self._noticed = float("-inf")

    def on_connected(self) -> None:
        """Start over: messages published on an earlier connection do not return."""
        with self._lock:
            self._own.clear()
            self._others.clear()

    def publishing(self, payload: bytes, now: float) -> None:
        """Note what is handed to the link next, before it can return."""
        with self._lock:
            self._own.append((payload, now))

    def received(self, payload: bytes, own: bytes, now: float, *, retained: bool) -> None:
        """Note a message on the topic; `own` is what we publish. A retained message does not show who runs now."""
        with self._lock:
            if retained or self._is_back(payload, now):
                return
            if payload == own and self._others and now - self._others[-1] < APART:
                return
            self._others.append(now)
            if len(self._others) == ENOUGH and now - self._others[0] <= WITHIN:
                self._noticed = now

    def seen(self, now: float) -> bool:
        """Whether another instance runs, as far as messages of the last minute show."""
        return now - self._noticed <= REMEMBERED

    def _is_back(self, payload: bytes, now: float) -> bool:
        while self._own and now - self._own[0][1] > BACK_WITHIN:
            self._own.popleft()
        for noted in self._own:
            if noted[0] == payload:
                self._own.remove(noted)
                return True
        return False


ONLINE, OFFLINE = b"online", b"offline"
NO_DELIVERY_AFTER: Final = 5.0
"""Seconds without receiving our own status: subscriptions are accepted, but nothing is delivered."""
REPEAT: Final = 30.0
"""Seconds after which the status is published again, so that two instances of one name notice each other."""
REPEAT_UNHEARD: Final = 5.0
"""The same while it does not come back, to see as soon as it does."""
CORRECT_EVERY: Final = 0.5
"""Two instances must not argue faster than this."""
HEALTH_EVERY: Final = 10.0
NEWS_EVERY: Final = 1.0
"""Seconds between two health messages at least, however fast things change."""
LINES_AT_ONCE: Final = 4
"""Log lines of one kind within a minute before they are summed up."""


class Publish(Protocol):
    """`MqttLink.publish`: False where the link did not take the message."""

    def __call__(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> bool: ...


@dataclass
class _Published:
    payload: bytes = OFFLINE
    at: float = float("-inf")


class StatusTopic:
    """Publishes `online` or `offline`, receives it back, corrects it; any thread may call it."""

    def __init__(self, topic: str, publish: Publish) -> None:
        self.topic = topic
        self._publish = publish
        self._last = _Published()
        self._unheard_since: float | None = None
        self._lock = threading.RLock()  # a link may hand back what is published while it is published
        self._overwritten = False
        self._others = OtherInstance()

    @property
    def online(self) -> bool:
        """The published state, or the one to publish."""
        return self._last.payload == ONLINE

    def has_no_delivery(self, now: float) -> bool:
        """True if our published status does not come back although we subscribed to it."""
        return self._unheard_since is not None and now - self._unheard_since > NO_DELIVERY_AFTER

    def is_contradicted(self, now: float) -> bool:
        """True if another instance has published this status within the last minute, again and again."""
        return self._others.seen(now)

    def set(self, now: float, *, online: bool) -> bool:
        """Set the present state; call it often. Published if it changed, is due again, or was overwritten.

        True if it is a change.
        """
        with self._lock:
            payload = ONLINE if online else OFFLINE
            changed = payload != self._last.payload
            self._last.payload = payload
            since = now - self._last.at
            repeat = REPEAT if self._unheard_since is None else REPEAT_UNHEARD
            if changed or since >= repeat or (self._overwritten and since >= CORRECT_EVERY):
                self._send(now)
            return changed

    def on_connected(self, now: float) -> None:
        """A new connection: publish again, the broker may have published the last will."""
        with self._lock:
            self._unheard_since = None
            self._others.on_connected()
            self._send(now)

    def on_lost(self) -> None:
        """The connection is gone: nothing can come back."""
        with self._lock:
            self._unheard_since = None

    def on_message(self, payload: bytes, now: float, *, retained: bool = False) -> None:
        """Take our own status, or another one in its place, as a late will of our last connection."""
        with self._lock:
            self._unheard_since = None
            self._others.received(payload, self._last.payload, now, retained=retained)
            self._overwritten = payload != self._last.payload

    def _send(self, now: float) -> None:
        self._others.publishing(self._last.payload, now)
        # Before it goes out: another one may come in meanwhile, and must not be forgotten.
        self._overwritten = False
        if self._publish(self.topic, self._last.payload, qos=1, retain=True):
            self._last.at = now
            if self._unheard_since is None and not self._overwritten:
                self._unheard_since = now
        else:
            self._last.at = float("-inf")


class HealthTopic:
    """Publishes health every 10 s and soon after news; logs, each kind of line a few times a minute at most."""

    def __init__(self, topic: str, publish: Publish, log: logging.Logger, wall: str) -> None:
        """`wall`: the time for `since`, RFC 3339."""
        self._topic = topic
        self._publish = publish
        self._log = log
        self._quiet = QuietLog()
        self._due = self._published_at = float("-inf")
        self.state: HealthCondition | None = None
        self.reasons: tuple[Reason, ...] = ()
        self.since = wall
        """When it came into this state."""

    def on_connected(self) -> None:
        """The broker may have lost it: publish with the next tick."""
        self._due = float("-inf")

    def set(self, state: HealthCondition, reasons: tuple[Reason, ...], wall: str) -> bool:
        """Set the present state. True if state or reasons changed; a change of state is news."""
        changed = (state, reasons) != (self.state, self.reasons)
        if state != self.state:
            self.since = wall
            self.news()
        self.state, self.reasons = state, reasons
        return changed

    def news(self) -> None:
        """Publish soon: something changed that should be known before the 10 s are over."""
        self._due = min(self._due, self._published_at + NEWS_EVERY)

    def publish(self, payload: Callable[[], bytes], now: float) -> None:
        """Publish if it is due; `payload` is made only then."""
        if now >= self._due and self._publish(self._topic, payload(), qos=1, retain=True):
            self._due, self._published_at = now + HEALTH_EVERY, now

    def log(self, kind: str, state: str, text: str, now: float) -> None:
        """Log a change; a warning where `state` is not good."""
        line = self._quiet.line(kind, text, now, at_once=LINES_AT_ONCE)
        if line is not None:
            self._log.log(logging.WARNING if state in {"down", "degraded"} else logging.INFO, "%s", line)

    def log_counted(self, now: float) -> None:
        """Log the sums of lines that were only counted, once their minute is over."""
        for line in self._quiet.due(now):
            self._log.warning("%s", line)
