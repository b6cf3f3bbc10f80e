"""Live data of one meter: chooses push or poll; checks, completes and publishes each measuring cycle.

A cycle's writes leave out registers between the measured ones; the newest push or read of these is filled in.
"""

import logging
from collections.abc import Callable, Sequence

from ksem_contract.block_message import Source
from ksem_contract.blocks import LIVE
from ksem_contract.registers import RegisterRange
from ksem_publisher.block_publisher import BlockPublisher
from ksem_publisher.plausibility import Anomaly, LiveChecks
from ksem_publisher.push_cycle import is_off_pace
from ksem_publisher.settings import ChecksSettings
from ksem_publisher.snapshot import AWAY_PERIODS, AWAY_SECONDS, Registers, Snapshot, unmeasured_in
from ksem_publisher.value_publisher import ValuePublisher
from service_runtime.clock import boottime

SLOWEST_PUSH = 0.55
"""Seconds. A meter measures every 200 or 500 ms; pushes further apart are a chosen interval, polling is newer."""
HALF_SECOND = 0.45
"""Seconds from which a slow push is the menu's half second, which counts as fast enough. No meter should push at a pace
between this and the meter's own."""
POLL_GAP = 1.0
"""Seconds without polled data after which a slow push is better than nothing."""


class LiveSource:
    """Decides whether push or poll serves live data. Times are CLOCK_BOOTTIME seconds."""

    def __init__(self, *, push: bool) -> None:
        self._push = push
        self._period = 0.0
        self._off_pace = False
        self._last_push = self._last_poll = self._newest = float("-inf")
        self.cycles = 0
        """Whole cycles pushed so far."""

    def push_carries(self, now: float) -> bool:
        """True while whole cycles arrive often enough."""
        fast = 0 < self._period <= SLOWEST_PUSH and not self._off_pace
        return self._push and fast and now <= self._away_at()

    def poll_wanted(self, now: float) -> bool:
        """True while `live` must be polled."""
        return not self.push_carries(now)

    def next_change(self, now: float) -> float | None:
        """When the push will count as away if no further cycle comes; None if it does already."""
        return self._away_at() if self.push_carries(now) else None

    def take_push(self, period: float, measured: float, now: float, interval: float | None = None) -> bool:
        """A whole cycle was pushed. True if it is to be published. The meter measures each `interval` seconds."""
        self.cycles += 1
        self._period = period
        self._off_pace = period < HALF_SECOND and is_off_pace(period, interval)
        self._last_push = now
        useful = self.push_carries(now) or now - self._last_poll > POLL_GAP
        return useful and self._is_newer(measured)

    def take_poll(self, measured: float, now: float) -> bool:
        """`live` was polled. True if it is to be published."""
        self._last_poll = now
        return not self.push_carries(now) and self._is_newer(measured)

    def drop_push(self) -> None:
        """Forget every pushed cycle."""
        self._last_push = float("-inf")

    def _is_newer(self, measured: float) -> bool:
        if measured < self._newest:
            return False
        self._newest = measured
        return True

    def _away_at(self) -> float:
        return self._last_push + min(AWAY_PERIODS * self._period, AWAY_SECONDS)


LIVE_LIMIT = 1.5
"""Seconds: live data flows while the newest published cycle is no older."""

LEAST_FROZEN_AFTER = 2.0
"""Seconds. A sound meter that measures every 500 ms repeats its values for one cycle, and a poll may miss the next."""

log = logging.getLogger(__name__)


class LiveData:
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
        # Each source is judged by itself: a polled change of values must not clear a frozen push.
        self._checks = {
            name: LiveChecks(plausible=settings.plausible, frozen_after=frozen_after, outage=settings.outage)
            for name in ("push", "poll")
        }
        self._checks["push"].other_source, self._checks["poll"].other_source = (
            self._checks["poll"],
            self._checks["push"],
        )
        self._refusals: dict[str, tuple[Anomaly, float]] = {}
        self._judged: dict[str, float] = {}
        self._measured = float("-inf")
        self.source = source
        self.registers = LiveRegisters()

    def is_live(self, now: float) -> bool:
        """True while live data flows."""
        return now <= self.stops_at

    @property
    def stops_at(self) -> float:
        """Until when live data flows if no more is published."""
        return self._measured + LIVE_LIMIT

    def rejection(self, now: float) -> Anomaly | None:
        """Why the newest snapshot was refused, if one was lately."""
        lately = [(at, anomaly) for anomaly, at in self._refusals.values() if now - at <= LIVE_LIMIT]
        return max(lately, key=lambda item: item[0])[1] if lately else None

    def doubts(self, source: Source, now: float) -> bool:
        """Whether other blocks from this source are in doubt: judged by its own cycles, else by the other source's."""
        if now - self._judged.get(source, float("-inf")) <= LIVE_LIMIT:
            return source in self._refusals
        return self.rejection(now) is not None

    def anomalies(self) -> tuple[Anomaly, ...]:
        """Anomalies of the newest snapshots that counted."""
        return self._checks["push" if self.source.push_carries(self._clock()) else "poll"].anomalies

    def pushed(self, snapshot: Snapshot, interval_ms: int | None) -> None:
        """A whole cycle was pushed; `interval_ms` as in `polled`."""
        assert snapshot.period is not None
        now, interval = self._clock(), None if interval_ms is None else interval_ms / 1000
        if self._passes("push", snapshot, now) and self.source.take_push(snapshot.period, snapshot.at, now, interval):
            self._publish("push", snapshot, round(snapshot.period * 1000))

    def polled(self, snapshot: Snapshot, interval_ms: int | None) -> None:
        """A whole cycle was read; `interval_ms` is the meter's measuring interval, if it is known."""
        now = self._clock()
        self.registers.note(0, snapshot.registers)
        if self._passes("poll", snapshot, now) and self.source.take_poll(snapshot.at, now):
            self._publish("poll", snapshot, interval_ms)

    def _passes(self, source: Source, snapshot: Snapshot, now: float) -> bool:
        rejection = self._checks[source].rejection(snapshot.registers, now)
        self._judged[source] = now
        if rejection is None:
            self._refusals.pop(source, None)
            return True
        self._refusals[source] = (rejection, now)
        return False

    def _publish(self, source: Source, snapshot: Snapshot, cycle_ms: int | None) -> None:
        words = self.registers.fill(snapshot.registers)
        values = () if self._values is None else self._values.live(words, snapshot.at)
        self._blocks.put("live", 0, words, snapshot.at, source, cycle_ms, values)
        self._measured = snapshot.at
        self._on_live()


class LiveRegisters:
    """Keeps the newest live registers and fills them into measured cycles. None: never seen."""

    def __init__(self) -> None:
        self._words: list[int | None] = [None] * LIVE.count

    def note(self, start: int, registers: Sequence[int | None]) -> None:
        """Take registers that were pushed or read, at any address."""
        for part in unmeasured_in(start, len(registers)):
            self._note_part(part, start, registers)

    def _note_part(self, part: RegisterRange, start: int, registers: Sequence[int | None]) -> None:
        first, stop = max(part.start, start), min(part.stop, start + len(registers))
        words = registers[first - start : stop - start]
        if None not in words:
            self._words[first:stop] = words

    def fill(self, cycle: Registers) -> Registers:
        """A cycle's registers; those that none of its writes brought are filled in."""
        return tuple([known if word is None else word for word, known in zip(cycle, self._words, strict=True)])
