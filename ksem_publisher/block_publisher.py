"""Publishes the meter's register blocks as retained messages, numbered and stamped [shell]."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from ksem_contract.block_message import BlockWriter, Source
from ksem_contract.blocks import parse_block_name
from ksem_contract.freshness import block_stamp
from ksem_contract.health import BlockHealth
from ksem_contract.mac import KeySource, keyless
from ksem_contract.topics import Topics
from ksem_publisher.snapshot import Registers
from service_runtime.clock import boottime, wall_time

EXPIRY: Final = {"live": 2, "device": None}
"""Seconds the broker keeps a block; other blocks: EXPIRY_OTHERS. Housekeeping, never part of freshness."""
EXPIRY_OTHERS: Final = 60
LIMIT: Final = {"live": 1.5, "device": None}
"""Seconds after which health calls a block old (a node judges by its own settings); other blocks: LIMIT_OTHERS."""
LIMIT_OTHERS: Final = 60.0
LIMIT_ON_DEMAND: Final = 3
"""Of its own periods, for a range on demand."""
_RATE_OVER: Final = 24
"""Messages from which the rate is computed."""


class Publish(Protocol):
    """`MqttLink.publish`, or a stand-in."""

    def __call__(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False, expiry: int | None = None
    ) -> bool: ...


Message = tuple[str, bytes, bool, int | None]
"""Topic, payload, retain, and the seconds for which the broker keeps it (None: for ever)."""
PublishTogether = Callable[[Sequence[Message]], bool]
"""`MqttLink.publish_together`, or a stand-in."""


@dataclass
class _Held:
    topic: str
    writer: BlockWriter
    start: int
    registers: Registers
    measured: float
    source: Source
    cycle_ms: int | None
    seq: int = 0
    sent: deque[float] = field(default_factory=lambda: deque(maxlen=_RATE_OVER))


class BlockPublisher:
    """Publishes one meter's blocks; any thread may call it.

    A block that the link drops is not sent again: the next cycle is newer.
    """

    def __init__(
        self,
        meter: str,
        topics: Topics,
        session: str,
        publish: PublishTogether,
        clock: Callable[[], float] = boottime,
        keys: KeySource = keyless,
    ) -> None:
        self._keys = keys
        self._meter = meter
        self._topics = topics
        self._session = session
        self._publish = publish
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()

    def put(
        self,
        name: str,
        start: int,
        registers: Registers,
        measured: float,
        source: Source,
        cycle_ms: int | None = None,
        along: Sequence[Message] = (),
    ) -> bool:
        """Publish a block that was measured at `measured`, and `along` behind it. False if a newer one is held.

        Both leave in one write: each write wakes the broker, which takes processor time from the work that follows.
        """
        with self._lock:
            held = self._held.get(name)
            if held is not None and measured < held.measured:
                return False
            if held is None:
                topic = self._topics.meter_block(self._meter, name)
                writer = BlockWriter(self._meter, name, self._session)
                held = self._held[name] = _Held(topic, writer, start, registers, measured, source, cycle_ms)
            else:
                held.start, held.registers, held.measured = start, registers, measured
                held.source, held.cycle_ms = source, cycle_ms
            self._send(name, held, along)
            return True

    def republish(self) -> None:
        """Publish every held block again on a new connection, with its true age, unless the broker would drop it."""
        with self._lock:
            now = self._clock()
            for name, held in self._held.items():
                expiry = EXPIRY.get(name, EXPIRY_OTHERS)
                if expiry is None or now - held.measured <= expiry:
                    self._send(name, held)

    def drop(self, name: str) -> None:
        """Publish this block no more until it is put again."""
        with self._lock:
            self._held.pop(name, None)

    def names(self) -> tuple[str, ...]:
        """The blocks that are held."""
        return tuple(self._held)

    def registers(self, name: str) -> Registers | None:
        """The registers that were put last."""
        held = self._held.get(name)
        return held.registers if held else None

    def held(self, name: str) -> tuple[int, Registers]:
        """The first register of a held block, and its registers."""
        held = self._held[name]
        return held.start, held.registers

    def source(self, name: str) -> Source | None:
        held = self._held.get(name)
        return held.source if held else None

    def age(self, name: str, now: float) -> float | None:
        """Seconds since the block was measured; None if there is none."""
        held = self._held.get(name)
        return now - held.measured if held else None

    def health(self, now: float) -> dict[str, BlockHealth]:
        """Each block's health."""
        with self._lock:
            return {name: _health(name, held, now) for name, held in self._held.items()}

    def _send(self, name: str, held: _Held, along: Sequence[Message] = ()) -> None:
        now = self._clock()
        boot_ms, age_ms = block_stamp(now, held.measured)
        held.seq += 1
        payload = held.writer.write(
            held.start,
            held.registers,
            seq=held.seq,
            boot_ms=boot_ms,
            age_ms=age_ms,
            cycle_ms=held.cycle_ms,
            source=held.source,
            time=wall_time(),
            keys=self._keys(),
        )
        if self._publish([(held.topic, payload, True, EXPIRY.get(name, EXPIRY_OTHERS)), *along]):
            held.sent.append(now)


def _health(name: str, held: _Held, now: float) -> BlockHealth:
    limit = LIMIT.get(name, LIMIT_OTHERS)
    if held.cycle_ms is not None and parse_block_name(name) is not None:
        limit = LIMIT_ON_DEMAND * held.cycle_ms / 1000
    return BlockHealth(
        age_ms=round((now - held.measured) * 1000),
        limit_ms=None if limit is None else round(limit * 1000),
        source=held.source,
        seq=held.seq,
        per_s=_rate(held.sent, now),
    )


def _rate(sent: deque[float], now: float) -> float:
    """Messages a second, from the oldest one remembered until now."""
    return round((len(sent) - 1) / max(now - sent[0], 0.001), 2) if len(sent) > 1 else 0.0
