"""Every measuring cycle passes here: judged, completed, published."""

import logging
from collections.abc import Callable

from ksem_contract.block_message import Source
from ksem_publisher.block_publisher import BlockPublisher
from ksem_publisher.live_source import LiveSource
from ksem_publisher.live_words import LiveWords
from ksem_publisher.plausibility import LiveChecks, Remark
from ksem_publisher.settings import ChecksSettings
from ksem_publisher.snapshot import Snapshot
from ksem_publisher.value_publisher import ValuePublisher
from service_runtime.clock import boottime

FLOWS = 1.5
"""Seconds: live data flows while the newest published cycle is no older."""

LEAST_FROZEN_AFTER = 2.0
"""Seconds. A good meter that measures every 500 ms repeats its values for one cycle, and a poll may miss the next."""

log = logging.getLogger(__name__)


class LiveDesk:
    """Takes snapshots from the push and from polling, publishes those that count."""

    def __init__(
        self,
        blocks: BlockPublisher,
        values: ValuePublisher | None,
        source: LiveSource,
        settings: ChecksSettings,
        on_live: Callable[[], None],
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._blocks = blocks
        self._values = values
        self._on_live = on_live
        self._clock = clock
        frozen_after = settings.frozen_after
        if 0 < frozen_after < LEAST_FROZEN_AFTER:
            log.warning(
                "[checks] frozen_after = %g is less than a good meter needs: %g is used; 0 switches the check off",
                frozen_after,
                LEAST_FROZEN_AFTER,
            )
            frozen_after = LEAST_FROZEN_AFTER
        # Each source is judged by itself: a frozen push must not be thawed by polled values.
        self._checks = {
            name: LiveChecks(plausible=settings.plausible, frozen_after=frozen_after, outage=settings.outage)
            for name in ("push", "poll")
        }
        self._checks["push"].twin, self._checks["poll"].twin = self._checks["poll"], self._checks["push"]
        self._refusals: dict[str, tuple[Remark, float]] = {}
        self._judged: dict[str, float] = {}
        self._measured = float("-inf")
        self.source = source
        self.words = LiveWords()

    def flows(self, now: float) -> bool:
        """True while live data flows."""
        return now <= self.stops_at

    @property
    def stops_at(self) -> float:
        """Until when live data flows if no more is published."""
        return self._measured + FLOWS

    def refusal(self, now: float) -> Remark | None:
        """Why the newest snapshot was refused, if one was lately."""
        lately = [(at, remark) for remark, at in self._refusals.values() if now - at <= FLOWS]
        return max(lately, key=lambda item: item[0])[1] if lately else None

    def doubts(self, source: Source, now: float) -> bool:
        """Whether other blocks by this source are in doubt: by its own cycles, or where it has none by the other's."""
        if now - self._judged.get(source, float("-inf")) <= FLOWS:
            return source in self._refusals
        return self.refusal(now) is not None

    def remarks(self) -> tuple[Remark, ...]:
        """What is strange about the newest snapshots that counted."""
        return self._checks["push" if self.source.push_carries(self._clock()) else "poll"].remarks

    def pushed(self, snapshot: Snapshot, interval_ms: int | None) -> None:
        """A whole cycle was pushed; `interval_ms` as in `polled`."""
        assert snapshot.period is not None
        now, interval = self._clock(), None if interval_ms is None else interval_ms / 1000
        if self._passes("push", snapshot, now) and self.source.take_push(snapshot.period, snapshot.at, now, interval):
            self._publish("push", snapshot, round(snapshot.period * 1000))

    def polled(self, snapshot: Snapshot, interval_ms: int | None) -> None:
        """A whole cycle was read; `interval_ms` is the meter's measuring interval, if it was asked."""
        now = self._clock()
        self.words.note(0, snapshot.words)
        if self._passes("poll", snapshot, now) and self.source.take_poll(snapshot.at, now):
            self._publish("poll", snapshot, interval_ms)

    def _passes(self, source: Source, snapshot: Snapshot, now: float) -> bool:
        refusal = self._checks[source].refusal(snapshot.words, now)
        self._judged[source] = now
        if refusal is None:
            self._refusals.pop(source, None)
            return True
        self._refusals[source] = (refusal, now)
        return False

    def _publish(self, source: Source, snapshot: Snapshot, cycle_ms: int | None) -> None:
        words = self.words.fill(snapshot.words)
        values = () if self._values is None else self._values.live(words, snapshot.at)
        self._blocks.put("live", 0, words, snapshot.at, source, cycle_ms, values)
        self._measured = snapshot.at
        self._on_live()
