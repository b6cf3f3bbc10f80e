"""`airbridge capture bridge`: have the running services tell what goes over their wires, and write it down [shell]."""

import heapq
import itertools
import logging
import secrets
import threading
from collections.abc import Callable, Collection
from queue import Empty, SimpleQueue
from typing import Final, Self

from airbridge.capture.bridge_source import BridgeSource, Place
from ksem_contract.capture_feed import CaptureAsk, CaptureBatch
from ksem_contract.capture_record import CaptureRecord
from ksem_contract.errors import InvalidMessage
from ksem_contract.reasons import Reason, sentence
from ksem_contract.topics import ParsedTopic, Topics
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_connection import Incoming
from service_runtime.mqtt_link import MqttLink

LEASE: Final = 8
"""Seconds that a question counts."""
ASK_EVERY: Final = 2.0
ASK_SOON: Final = 0.06
QUICK_ASKS: Final = 6
"""Questions in quick succession at first: the tightest echo of several is a good one."""
HELD_BACK: Final = 2.0
"""Seconds after which whatever happened at a moment has come in from all services, and is written in its order."""
TURN: Final = 0.05
UP_WITHIN: Final = 6.0
ANSWER_WITHIN: Final = 3.0
LAST_WORDS: Final = 0.7
"""Seconds after the end in which what happened before it still comes in."""

_log: Final = logging.getLogger("airbridge.capture")


class NothingToRecord(Exception):
    """No service tells anything; the text says what to look at."""


class BridgeEar:
    """Asks and listens. Records come out of `turn`, in the order of time."""

    def __init__(
        self, mqtt: MqttSettings, meters: Collection[str], nodes: Collection[str], *, serial_number: bool
    ) -> None:
        self._topics = Topics(mqtt.prefix)
        self._wanted = {*(Place(name, False) for name in meters), *(Place(name, True) for name in nodes)}
        self._takes_all = not self._wanted
        self._serial_number = serial_number
        self.sources: dict[Place, BridgeSource] = {}
        self._asks: dict[Place, tuple[int, float]] = {}
        """How often each was asked, and when it is to be asked again."""
        self._news: SimpleQueue[Incoming | CaptureRecord] = SimpleQueue()
        self._pending: list[tuple[float, int, CaptureRecord]] = []
        self._order = itertools.count()
        self._who = secrets.token_hex(4)
        self._is_up = threading.Event()
        self._why = "no answer"
        prefix = mqtt.prefix
        _log.addHandler(logging.NullHandler())
        _log.propagate = False
        self._link = MqttLink(
            mqtt,
            client_id=f"airbridge-capture-{secrets.token_hex(4)}",
            will=None,
            subscriptions=[
                f"{prefix}/+/status",
                self._topics.all_nodes_status(),
                f"{prefix}/+/capture/records",
                f"{prefix}/rtu/+/capture/records",
            ],
            on_message=self._news.put,
            on_link=self._on_link,
            log=_log,
        )
        for place in self._wanted:
            self._add(place)

    def __enter__(self) -> Self:
        self._link.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._link.stop()

    def find(self, stop: Callable[[], bool]) -> None:
        """Return once every service that is there has answered. NothingToRecord if none does."""
        if not self._is_up.wait(UP_WITHIN):
            raise NothingToRecord(self._why)
        begun = boottime()
        while (waited := boottime() - begun) < ANSWER_WITHIN and not stop():
            self._listen(asking=True)
            told = [source.clock.is_known and self._asks[place][0] >= QUICK_ASKS for place, source in self._each()]
            if told and all(told) and waited > 0.5:
                return
        if not any(source.clock.is_known for source in self.sources.values()):
            names = ", ".join(str(place) for place in self.sources) or "no publisher and no rtu-server"
            there = f"{names}: no answer" if self.sources else f"{names} was ever seen here"
            raise NothingToRecord(
                f"{there}. Do the services run, are they of this version, and may this login write "
                f"{self._topics.prefix}/+/capture/ask and {self._topics.prefix}/rtu/+/capture/ask (role capture)?"
            )

    def turn(self, *, asking: bool = True) -> list[CaptureRecord]:
        """Ask where it is due, take in what has come, give what is complete."""
        self._listen(asking=asking)
        return self._ripe(boottime() - HELD_BACK)

    def rest(self, until: float) -> list[CaptureRecord]:
        """Everything that happened until then, once it has come in."""
        ready: list[CaptureRecord] = []
        begun = boottime()
        while boottime() - begun < LAST_WORDS:
            ready += self.turn(asking=False)
        for source in self.sources.values():
            self._hold(source.finish())
        return [record for record in ready + self._ripe(until) if record.t <= until]

    def silent(self) -> list[Place]:
        """Services that don't answer, now."""
        now = boottime()
        return [
            place
            for place, source in self._each()
            if source.last_heard is None or now - source.last_heard > 3 * ASK_EVERY
        ]

    @property
    def lost(self) -> int:
        """Events and messages that did not arrive."""
        return sum(source.lost for source in self.sources.values())

    def _listen(self, *, asking: bool) -> None:
        now = boottime()
        for place in list(self.sources) if asking else ():
            self._ask(place, now)
        self._take_in(TURN)

    def _each(self) -> list[tuple[Place, BridgeSource]]:
        return list(self.sources.items())

    def _on_link(self, up: bool, reasons: tuple[Reason, ...]) -> None:
        self._why = why = sentence(reasons)
        if up:
            self._is_up.set()
        elif self._is_up.is_set():
            self._news.put(CaptureRecord(t=boottime(), what="lost", where="the recording", why=why))

    def _add(self, place: Place) -> None:
        self.sources[place] = BridgeSource(place, serial_number=self._serial_number)
        self._asks[place] = (0, 0.0)

    def _ask(self, place: Place, now: float) -> None:
        times, due = self._asks[place]
        if now < due:
            return
        self._asks[place] = (times + 1, now + (ASK_SOON if times < QUICK_ASKS else ASK_EVERY))
        nonce = secrets.token_hex(4)
        topic = (self._topics.node_capture_ask if place.is_node else self._topics.meter_capture_ask)(place.name)
        self.sources[place].asked(nonce, boottime())
        self._link.publish(topic, CaptureAsk(self._who, nonce, LEASE).encode())

    def _take_in(self, patience: float) -> None:
        until = boottime() + patience
        while True:
            try:
                message = self._news.get(timeout=max(0.0, until - boottime()))
            except Empty:
                return
            if isinstance(message, CaptureRecord):
                self._hold([message])
            elif (topic := self._topics.parse(message.topic)) is not None:
                self._hear(topic, message)

    def _hear(self, topic: ParsedTopic, message: Incoming) -> None:
        name = topic.meter or topic.node
        if name is None:
            return
        place = Place(name, topic.meter is None)
        if topic.kind in {"status", "node_status"}:
            if self._takes_all and place not in self.sources:
                self._add(place)
            return
        source = self.sources.get(place)
        if source is None:
            return
        try:
            batch = CaptureBatch.decode(message.payload)
        except InvalidMessage:
            return
        clock = source.clock
        self._hold(source.hear(batch, message.received))
        if source.clock is not clock:
            self._asks[place] = (0, 0.0)  # it runs anew: what it says can't be dated before it is asked

    def _hold(self, records: list[CaptureRecord]) -> None:
        for record in records:
            heapq.heappush(self._pending, (record.t, next(self._order), record))

    def _ripe(self, until: float) -> list[CaptureRecord]:
        ready = []
        while self._pending and self._pending[0][0] <= until:
            ready.append(heapq.heappop(self._pending)[2])
        return ready
