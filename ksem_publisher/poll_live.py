"""Decides how `live` is polled, and when [core].

It is read like a seqlock. Where that fails three times within one cycle, the meter is slow: then it is read in two
overlapping reads until the next connection. While no whole cycle comes, a part of one is better than nothing.
"""

from ksem_contract.reasons import Reason
from ksem_contract.registers import RegisterRange
from ksem_publisher.plausibility import Anomaly
from ksem_publisher.poll_reads import OverlapReader, SeqlockReader, part_of_cycle
from ksem_publisher.snapshot import Snapshot, phases_fit_total

PART_AFTER = 0.9
"""Seconds without a whole cycle after which a part is better than nothing."""
_OVERLAPS = 4
"""Reads in a row that are compared with one another before another block may follow."""
_RETRY = 0.5
"""Seconds until a refused read is tried again."""


class LivePolls:
    """The reads of `live`, one after another. Times are CLOCK_BOOTTIME seconds."""

    def __init__(self, every: float) -> None:
        """`every`: seconds from the begin of one reading to that of the next."""
        self._every = every
        self._began = 0.0
        self._reader: SeqlockReader | OverlapReader | None = None
        self._overlap: OverlapReader | None = None
        """In use since three reads in one cycle failed, until the next connection."""
        self._overlaps = 0
        self._whole_at = self._requested_at = self._part_at = float("-inf")
        self._took = 0.0
        self.due = 0.0
        self.wanted = True
        """Whether `live` is polled: only while the push is away."""
        self.seqlock_retries = 0

    @property
    def is_under_way(self) -> bool:
        """Whether a reading has begun that needs further reads."""
        return self._reader is not None

    def is_due(self, now: float) -> bool:
        return self.wanted and self.due <= now

    def anomalies(self, now: float) -> tuple[Anomaly, ...]:
        """Why live data lacks a part."""
        if not self.wanted or now - self._part_at >= 2 * PART_AFTER:
            return ()
        return (Anomaly("slow-answers", Reason.of("answers-slow", duration=f"{self._took * 1000:.0f}")),)

    def begin(self, now: float) -> None:
        """A read is sent now: the next one of the reading under way, or the first of a new one. `span` is its range."""
        if self._reader is None:
            self._reader = self._overlap or SeqlockReader(phases_fit_total)
            self._began = now
            self._overlaps = 0
        if now - self._requested_at > PART_AFTER:
            self._whole_at = now
        self._requested_at = now

    @property
    def span(self) -> RegisterRange:
        """The registers to read."""
        assert self._reader is not None, "begin first"
        return self._reader.wanted

    def take(self, registers: tuple[int, ...], sent: float, now: float) -> tuple[Snapshot, ...]:
        """The meter's reply: returns the cycle that is whole now, or a part of one."""
        reader = self._reader
        self._took = now - sent
        if reader is None:
            return ()
        if isinstance(reader, OverlapReader):
            return self._take_overlap(reader, registers, sent, now)
        retries = reader.retries
        reader.take(registers, sent)
        self.seqlock_retries += reader.retries - retries
        if not reader.done:
            return ()
        self._end(now)
        if reader.snapshot is None:
            self._overlap = OverlapReader(phases_fit_total)
            return ()
        self._whole_at = reader.snapshot.at
        return (reader.snapshot,)

    def refuse(self, now: float) -> None:
        """The meter refuses to be read."""
        self._reader = self._overlap = None
        self.due = now + _RETRY

    def stop(self) -> None:
        """No reading is under way any more: the connection is gone, or the device is no KSEM."""
        self._reader = None

    def on_connected(self) -> None:
        """A new connection may lead to a faster meter."""
        self._overlap = None

    def _take_overlap(
        self, reader: OverlapReader, registers: tuple[int, ...], sent: float, now: float
    ) -> tuple[Snapshot, ...]:
        begins = reader.wanted.start == 0
        whole = reader.take(registers, sent)
        self._overlaps += 1
        if whole is not None or self._overlaps >= _OVERLAPS:
            self._end(now)
        if whole is not None:
            self._whole_at = whole.at
            return (whole,)
        if begins and now - self._whole_at > PART_AFTER:
            self._part_at = now
            return (part_of_cycle(registers, sent),)
        return ()

    def _end(self, now: float) -> None:
        self._reader = None
        self.due = max(now, self._began + self._every)
