"""The meter's status topic: `online` while live data flows, and nobody else's word stands there for long."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from ksem_publisher.block_publisher import Publish
from service_runtime.clock import boottime
from service_runtime.other_instance import OtherInstance

ONLINE, OFFLINE = b"online", b"offline"
STARVED_AFTER = 5.0
"""Seconds without hearing our own status: subscriptions are accepted, but nothing is delivered."""
REPEAT = 30.0
REPEAT_UNHEARD = 5.0
"""Seconds after which it is said again while it does not come back, to see as soon as it does."""
_CORRECT_EVERY = 0.5
"""Two instances must not argue faster than this."""


@dataclass
class _Said:
    payload: bytes = OFFLINE
    at: float = float("-inf")


class MeterStatus:
    """Publishes the status, listens for it, corrects it; any thread may call it."""

    def __init__(self, topic: str, publish: Publish, clock: Callable[[], float] = boottime) -> None:
        self._topic = topic
        self._publish = publish
        self._clock = clock
        self._said = _Said()
        self._unheard_since: float | None = None
        self._lock = threading.Lock()
        self._overwritten = False
        self._others = OtherInstance()

    @property
    def online(self) -> bool:
        return self._said.payload == ONLINE

    def starved(self, now: float) -> bool:
        """True if what we publish does not come back although we subscribed to it."""
        return self._unheard_since is not None and now - self._unheard_since > STARVED_AFTER

    def contradicted(self, now: float) -> bool:
        """True if another publisher has published this status within the last minute, again and again."""
        return self._others.seen(now)

    def set(self, *, online: bool) -> bool:
        """What is so now: call it often. Published if it is a change, was said long ago, or was overwritten.

        True if it is a change.
        """
        with self._lock:
            payload = ONLINE if online else OFFLINE
            changed = payload != self._said.payload
            self._said.payload = payload
            since = self._clock() - self._said.at
            repeat = REPEAT if self._unheard_since is None else REPEAT_UNHEARD
            if changed or since >= repeat or (self._overwritten and since >= _CORRECT_EVERY):
                self._say()
            return changed

    def on_connected(self) -> None:
        """A new connection: say it again, the broker may have published the will."""
        with self._lock:
            self._unheard_since = None
            self._others.on_connected()
            self._say()

    def on_lost(self) -> None:
        with self._lock:
            self._unheard_since = None

    def on_heard(self, payload: bytes, *, retained: bool = False) -> None:
        """Our own status came back, or somebody else's word in its place, as a late will of our last connection."""
        with self._lock:
            self._unheard_since = None
            self._others.received(payload, self._said.payload, self._clock(), retained=retained)
            self._overwritten = payload != self._said.payload

    def _say(self) -> None:
        self._others.publishing(self._said.payload, self._clock())
        if self._publish(self._topic, self._said.payload, qos=1, retain=True):
            self._said.at = self._clock()
            self._overwritten = False
            if self._unheard_since is None:
                self._unheard_since = self._said.at
