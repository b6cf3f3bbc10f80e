"""Listens to one meter's topics and judges each `live` block by what the meter said."""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Self

from ksem_contract.block_message import BlockMessage
from ksem_contract.blocks import SEQLOCK_BODY, SEQLOCK_HEAD
from ksem_contract.health import MeterHealth
from ksem_contract.registers import RegisterRange
from ksem_contract.topics import Topics
from ksem_simulators.truth import TruthReader
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink
from service_runtime.mqtt_session import Incoming


class MeterAudience:
    """Everything below ksem/<meter>, as it arrives. `wrong` holds what a live block must never be."""

    def __init__(self, port: int, truth: Path | None = None, meter: str = "main") -> None:
        self.meter = meter
        self.topics = Topics()
        self.received: dict[str, list[bytes]] = defaultdict(list)
        self.retained: dict[str, bytes] = {}
        self.live: list[BlockMessage] = []
        self.wrong: list[str] = []
        self._truth = TruthReader(truth) if truth else None
        self._news = threading.Condition()
        self._up = threading.Event()
        self.link = MqttLink(
            MqttSettings(host="127.0.0.1", port=port),
            client_id=f"audience-{meter}",
            will=None,
            subscriptions=[f"ksem/{meter}/#"],
            on_message=self._on_message,
            on_link=lambda up, _why: self._up.set() if up else self._up.clear(),
            log=logging.getLogger("audience"),
        )

    def __enter__(self) -> Self:
        self.link.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.link.stop()

    def await_true(self, holds: Callable[[], bool], what: str, within: float = 10.0) -> None:
        """Wait until `holds` after some message."""
        deadline = time.monotonic() + within
        with self._news:
            while not holds():
                left = deadline - time.monotonic()
                assert left > 0, f"{what}: not within {within} s\n{self._newest()}"
                self._news.wait(left)

    def await_live(self, source: str, count: int = 1, within: float = 10.0) -> list[BlockMessage]:
        """Wait for so many more live blocks of this source; they are returned."""
        begin = len(self.live)
        self.await_true(lambda: len(self._since(begin, source)) >= count, f"{count} live blocks by {source}", within)
        return self._since(begin, source)

    def await_status(self, payload: bytes, within: float = 5.0) -> None:
        topic = self.topics.meter_status(self.meter)
        self.await_true(lambda: self.received[topic][-1:] == [payload], f"status {payload.decode()}", within)

    def await_block(self, name: str, within: float = 10.0, more: int = 1) -> BlockMessage:
        """Wait for `more` further messages of this block; the last one is returned."""
        topic = self.topics.meter_block(self.meter, name)
        begin = len(self.received[topic])
        self.await_true(lambda: len(self.received[topic]) >= begin + more, f"block {name}", within)
        return BlockMessage.decode(self.received[topic][-1])

    def await_health(self, holds: Callable[[MeterHealth], bool], what: str, within: float = 12.0) -> MeterHealth:
        self.await_true(lambda: (health := self.health()) is not None and holds(health), what, within)
        health = self.health()
        assert health is not None
        return health

    def health(self) -> MeterHealth | None:
        """The newest health."""
        received = self.received[self.topics.meter_health(self.meter)]
        return MeterHealth.decode(received[-1]) if received else None

    def _since(self, begin: int, source: str) -> list[BlockMessage]:
        return [block for block in self.live[begin:] if block.source == source]

    def _on_message(self, message: Incoming) -> None:
        with self._news:
            if message.retained:
                self.retained[message.topic] = message.payload
            self.received[message.topic].append(message.payload)
            if message.topic == self.topics.meter_block(self.meter, "live") and not message.retained:
                self._take_live(message)
            self._news.notify_all()

    def _take_live(self, message: Incoming) -> None:
        try:
            block = BlockMessage.decode(message.payload)
        except ValueError as error:
            self.wrong.append(f"no block: {error}")
            return
        self.live.append(block)
        if self._truth is None:
            return
        cycles = []
        # Whole where it can be: the parts of a meter that stands still come from several equal cycles.
        whole = RegisterRange(0, SEQLOCK_BODY.stop)
        holes = None in block.registers[: whole.stop]
        for part in (SEQLOCK_HEAD, SEQLOCK_BODY) if holes else (whole,):
            words = [word for word in block.registers[part.start : part.stop] if word is not None]
            verdict = self._truth.judge(part.start, words, message.received)
            if verdict.kind != "good":
                self.wrong.append(f"seq {block.seq} by {block.source}: {verdict.kind}: {verdict.why}")
                return
            assert verdict.age is not None
            written = message.received - verdict.age
            claimed = (block.boot_ms - block.age_ms) / 1000
            # Of a delay on the way a quarter of a period can't be seen from here.
            if block.source == "push" and claimed > written + 0.06:
                self.wrong.append(f"seq {block.seq}: dated {claimed - written:.3f} s too young")
            cycles.append(verdict.cycle)
        if len(set(cycles)) > 1:
            self.wrong.append(f"seq {block.seq} by {block.source}: torn, cycles {cycles}")

    def _newest(self) -> str:
        return "\n".join(f"{topic}: {received[-1][:600]!r}" for topic, received in self.received.items() if received)
