"""Tells what goes over a service's wires to somebody who asks over MQTT, and to nobody else."""

import math
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from ksem_contract.capture_feed import MOST_DATA, CaptureAsk, CaptureBatch, WireEvent
from ksem_contract.errors import InvalidMessage
from service_runtime.clock import boottime

MOST_BATCHES: Final = 8
"""So many a tick at most: what a slow broker can't take waits."""
MOST_BACKLOG: Final = 131_072
"""Bytes that wait for it; what is newer then is dropped, and the number told."""
MOST_KNOWN: Final = 16
"""Recordings at the same time, of which each is told what is held as it begins."""


class Publish(Protocol):
    """`MqttLink.publish`, or a stand-in."""

    def __call__(self, topic: str, payload: bytes) -> bool: ...


class CaptureFeed:
    """`on_ask` runs in the link's thread, `tick` in the service's."""

    def __init__(
        self,
        topic: str,
        publish: Publish,
        about: Mapping[str, str],
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._topic = topic
        self._publish = publish
        self._about = about
        self._clock = clock
        self._run = secrets.token_hex(4)
        self._number = 0
        self._until = -math.inf
        self._known: set[str] = set()
        self.begins = False
        """A recording begins; set to False by whoever has told what the service holds."""
        self._backlog: deque[WireEvent] = deque()
        self._waiting = 0
        self._dropped = 0

    def is_asked(self, now: float) -> bool:
        """Whether somebody wants to know."""
        return now < self._until

    def on_ask(self, payload: bytes) -> bool:
        """Somebody asks: answer with our clock at once. False if the question breaks the contract."""
        try:
            ask = CaptureAsk.decode(payload)
        except InvalidMessage:
            return False
        now = self._clock()
        if not self.is_asked(now):
            self._known.clear()
        self._until = max(self._until, now + ask.seconds)
        if ask.who not in self._known and len(self._known) < MOST_KNOWN:
            self._known.add(ask.who)
            self.begins = True
        answer = CaptureBatch(
            run=self._run, number=self._number, boot_us=round(1e6 * now), nonce=ask.nonce, about=self._about
        )
        self._publish(self._topic, answer.encode())
        return True

    def tick(self, events: Iterable[WireEvent], dropped: int, now: float) -> None:
        """Tell what has happened since, as far as the link takes it."""
        self._dropped += dropped
        if not self.is_asked(now):
            self._backlog.clear()
            self._waiting = self._dropped = 0
            return
        for event in events:
            if self._waiting > MOST_BACKLOG:
                self._dropped += 1
                continue
            self._backlog.append(event)
            self._waiting += len(event.data)
        for _ in range(MOST_BATCHES):
            if not (self._backlog or self._dropped) or not self._send(now):
                return

    def _send(self, now: float) -> bool:
        batch: list[WireEvent] = []
        size = 0
        for event in self._backlog:
            size += len(event.data) + 16
            if batch and size > MOST_DATA:
                break
            batch.append(event)
        message = CaptureBatch(
            run=self._run,
            number=self._number + 1,
            boot_us=round(1e6 * now),
            dropped=self._dropped,
            events=tuple(batch),
        )
        # Live data goes first: a batch that can't be handed over at once is tried again with the next tick.
        if not self._publish(self._topic, message.encode()):
            return False
        self._number += 1
        self._dropped = 0
        for event in batch:
            self._backlog.popleft()
            self._waiting -= len(event.data)
        return True
