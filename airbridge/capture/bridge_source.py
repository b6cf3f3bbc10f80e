"""One service that is recorded: its clock, what it has said, and what was lost on the way [core]."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from ksem_contract.capture_feed import CaptureBatch, WireEvent
from ksem_contract.capture_record import CaptureRecord
from ksem_contract.freshness import DRIFT
from service_runtime.recorder.decode import MeterDecoder, NodeDecoder


class ServiceClock:
    """Another process's CLOCK_BOOTTIME, as echoes tell it.

    It showed `boot` at some moment between the question's sending and the answer's arrival: the middle is off by half a
    round trip at most. The tightest echo counts, less and less as it grows old.
    """

    def __init__(self) -> None:
        self._best: tuple[float, float, float] | None = None
        """Offset, half of the round trip, when."""

    @property
    def is_known(self) -> bool:
        """Whether there was an echo."""
        return self._best is not None

    @property
    def uncertainty(self) -> float:
        """Seconds by which `local` may be off."""
        return self._best[1] if self._best else float("inf")

    def add_echo(self, sent: float, received: float, boot: float) -> None:
        """Take in an echo; all in seconds."""
        half = (received - sent) / 2
        offset = (sent + received) / 2 - boot
        if abs(offset) <= half:
            offset = half = 0.0  # two clocks that agree so well are one: the service runs on this host
        if self._best is None or half <= self._best[1] + DRIFT * (received - self._best[2]):
            self._best = (offset, half, received)

    def local(self, boot: float) -> float:
        """When it showed `boot`, on the local clock."""
        assert self._best is not None, "no echo yet"
        return boot + self._best[0]


class Decoder(Protocol):
    """MeterDecoder or NodeDecoder."""

    def records(self, events: Iterable[WireEvent]) -> list[CaptureRecord]: ...

    def finish(self) -> list[CaptureRecord]: ...


@dataclass(frozen=True, slots=True)
class Place:
    """A meter's publisher, or an RTU server."""

    name: str
    is_node: bool

    def __str__(self) -> str:
        return f"rtu-server {self.name}" if self.is_node else f"publisher of {self.name}"

    def decoder(self, about: Mapping[str, str], *, serial_number: bool) -> Decoder:
        """What makes records of its events."""
        kind: Callable[..., Decoder] = NodeDecoder if self.is_node else MeterDecoder
        return kind(self.name, about, serial_number=serial_number)


class BridgeSource:
    """Takes a service's batches, gives records on the local clock."""

    def __init__(self, place: Place, *, serial_number: bool) -> None:
        self.place = place
        self.clock = ServiceClock()
        self.lost = 0
        """Events that the service dropped, and batches that the broker did not deliver."""
        self.last_heard: float | None = None
        self._serial_number = serial_number
        self._run = ""
        self._number = 0
        self._decoder: Decoder | None = None
        self._asked: dict[str, float] = {}

    def asked(self, nonce: str, now: float) -> None:
        """A question was sent."""
        self._asked[nonce] = now
        if len(self._asked) > _OPEN_QUESTIONS:
            del self._asked[next(iter(self._asked))]

    def hear(self, batch: CaptureBatch, now: float) -> list[CaptureRecord]:
        """What it tells. A service that has started anew has another clock, maybe, and numbers its batches anew."""
        self.last_heard = now
        found: list[CaptureRecord] = []
        if batch.run != self._run:
            if self._run:
                found = [*self.finish(), self._word(now, "restarted", "the service has started anew")]
            self._run, self._number, self._decoder, self.clock = batch.run, batch.number, None, ServiceClock()
        if batch.nonce is not None:
            sent = self._asked.pop(batch.nonce, None)
            if sent is not None:
                self.clock.add_echo(sent, now, batch.boot_us / 1e6)
                if self._decoder is None:
                    self._decoder = self.place.decoder(batch.about, serial_number=self._serial_number)
            return found
        return found + list(self._take(batch, now))

    def finish(self) -> list[CaptureRecord]:
        """What waited for bytes that did not come."""
        return self._dated(self._decoder.finish()) if self._decoder is not None and self.clock.is_known else []

    def _take(self, batch: CaptureBatch, now: float) -> Iterator[CaptureRecord]:
        if batch.number <= self._number:
            return  # delivered twice
        missing = batch.number - self._number - 1
        self._number = batch.number
        if self._decoder is None or not self.clock.is_known:
            return  # asked by somebody else: ours begins with the answer to our question
        if missing or batch.dropped:
            self.lost += missing + batch.dropped
            text = f"{missing} messages were not delivered" if missing else "the service had no room for events"
            yield replace(self._word(now, "lost", text), count=missing + batch.dropped)
        yield from self._dated(self._decoder.records(batch.events))

    def _dated(self, records: list[CaptureRecord]) -> list[CaptureRecord]:
        return [replace(record, t=self.clock.local(record.t)) for record in records]

    def _word(self, now: float, what: str, why: str) -> CaptureRecord:
        return CaptureRecord(t=now, what=what, where=self.place.name, why=why)


_OPEN_QUESTIONS: Final = 32
