"""Decides what to read from the meter next [core].

One read at a time. `live` goes first when it is due, yet after each reading of it one read of another block may follow,
so that neither waits for the other. On a new connection the device block is read before anything else: without an
answer to that nothing else is read. Other blocks count only when the device block, read again after them,
is still a KSEM's. Ranges on demand come last: in the time that nothing else needs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ksem_contract.blocks import DEVICE, ENERGY, FIRMWARE, block_name
from ksem_contract.message_fields import SunspecError
from ksem_contract.reasons import Reason
from ksem_contract.registers import RegisterRange
from ksem_contract.values import decode_texts
from ksem_publisher.on_demand import Demand
from ksem_publisher.plausibility import Anomaly, foreign_device, other_meter
from ksem_publisher.poll_reads import (
    OverlapReader,
    Reading,
    SeqlockReader,
    SunspecReading,
    check_reading,
    demanded_reading,
    device_reading,
    energy_reading,
    gaps_reading,
    part_of_cycle,
    short_device_reading,
)
from ksem_publisher.snapshot import BlockRead, Snapshot, phases_fit_total

RETRY_SOON = 2.0
"""Seconds until a refused read that the inverter may need is tried again."""
RETRY_LIVE = 0.5
RETRY_LATE = 60.0
"""The same for reads that few readers need."""
OTHERS_PATIENCE = 0.75
"""Seconds that a read may keep `live` waiting: with a new connection behind it, data is still younger than 1.5 s."""
PART_AFTER = 0.9
"""Seconds without a whole cycle after which a part is better than nothing."""
_OVERLAPS = 4
"""Reads in a row that are compared with one another before another block may follow."""
AT_ONCE = 3
"""So many times in a row a read that met a busy meter is sent again at once."""
_NO_ANSWER = 0
_ILLEGAL = frozenset((1, 2, 3))
"""Exceptions that stay until somebody changes the meter."""
_BUSY = frozenset((5, 6))
"""Exceptions that mean "wait": acknowledge, and device busy."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """What follows from an exception. `given_up`: the read is not sent again at once."""

    block: str
    given_up: bool


@dataclass
class _Job:
    """A block that is read every so often. `every` 0: once, until `due` is set again."""

    name: str
    every: float
    begin: Callable[[], Reading]
    retry: float = RETRY_SOON
    due: float = 0.0
    reading: Reading | None = None
    refused: int | None = field(default=None)
    demanded: RegisterRange | None = None
    """The range on demand that this job reads."""


class PollPlan:
    """Returns reads with `next`, takes their results. Times are CLOCK_BOOTTIME seconds."""

    def __init__(
        self,
        *,
        live: float,
        energy: float,
        device: float,
        sunspec: float,
        demand: Demand | None = None,
        serial: str | None = None,
    ) -> None:
        """`serial`: the serial number of the only meter that counts; None: any KSEM does."""
        self._serial = serial
        self._serial_seen: str | None = None
        self.is_unconfirmed = serial is not None
        """A serial number is required, and the device read last did not have it, or none was read yet."""
        self._demand = demand
        self._demanded: _Job | None = None
        self._live_every = live
        self._live_due = self._live_began = 0.0
        self._live: SeqlockReader | OverlapReader | None = None
        self._overlap: OverlapReader | None = None
        """In use since three reads in one cycle failed, until the next connection."""
        self._overlaps = 0
        self._whole_at = self._live_requested = self._part_at = float("-inf")
        self._took = 0.0
        self._other_first = False
        self._device = _Job("device", device, device_reading)
        self._energy = _Job("energy", energy, energy_reading)
        self._gaps = _Job("gaps", 0.0, gaps_reading, RETRY_LATE)
        self._sunspec = _Job("sunspec", sunspec, SunspecReading, RETRY_LATE)
        self._check = _Job("check", 0.0, check_reading, due=float("inf"))
        self._jobs = [self._check, self._device, self._gaps, self._energy, self._sunspec]
        self._requested: _Job | SeqlockReader | OverlapReader | None = None
        self._firmware: int | None = None
        self._unknown = True
        self._busy = 0
        self._held: dict[str, BlockRead] = {}
        self.live_wanted = True
        """Whether `live` is polled: only while the push is away."""
        self.foreign: str | None = None
        """Why the device at the address is taken for no KSEM; None while it is one, or unknown."""
        self.seqlock_retries = 0

    def connected(self) -> None:
        """A connection is new: no read is under way on it, and the device is unknown."""
        self._stop_readings()
        self._unknown = True
        self._busy = 0
        self._overlap = None
        if self._device.refused is None:
            self._device.begin = device_reading
            self._device.due = 0.0

    @property
    def nameless(self) -> bool:
        """Whether the meter, on this connection, refuses the device block."""
        return self._unknown and self._device.refused is not None

    def anomalies(self, now: float = 0.0) -> tuple[Anomaly, ...]:
        """What the meter refuses of the blocks that an inverter needs, and why live data lacks a part."""
        slow = Reason.of("answers-slow", duration=f"{self._took * 1000:.0f}")
        part = (Anomaly("slow-answers", slow),) if self.live_wanted and now - self._part_at < 2 * PART_AFTER else ()
        return part + tuple(
            Anomaly(
                f"refused-{job.name}",
                Reason.of("block-refused", registers=where, block=job.name, exception=job.refused),
            )
            for job, where in ((self._device, DEVICE), (self._energy, ENERGY))
            if job.refused
        )

    def energy_pushed(self, now: float) -> None:
        """The push has brought the energy counters: no need to read them soon. A reading under way goes on."""
        if self._energy.reading is None:
            self._energy.due = now + self._energy.every

    def check_push(self, now: float) -> None:
        """A cycle was pushed just now that is to be compared with a read."""
        self._check.due = now

    def next(self, now: float) -> RegisterRange | None:
        """What to read now; None if nothing is due. Follow it with `answer`, `refuse` or `fail`."""
        self._requested = self._choose(now)
        return None if self._requested is None else _wanted(self._requested)

    @property
    def patience(self) -> float | None:
        """Seconds that the last read may take at most, so that live data is read in time; None for any."""
        live_waits = self.live_wanted and not self._unknown and isinstance(self._requested, _Job)
        return OTHERS_PATIENCE if live_waits else None

    def wait(self, now: float) -> float:
        """Seconds until something may be due."""
        if self._unknown or self.foreign:
            return max(0.0, self._device.due - now)
        dues = [now if job.reading is not None else job.due for job in self._jobs]
        if self._demand is not None:
            dues.append(now if self._demanded else self._demand.next_due(now))
        if self.live_wanted:
            dues.append(self._live_due)
        return max(0.0, min(dues) - now)

    def answer(self, registers: tuple[int, ...], sent: float, now: float) -> tuple[Snapshot | BlockRead, ...]:
        """The meter's reply to the last read: returns what is whole now, and confirmed."""
        requested, self._requested = self._requested, None
        self._busy = 0
        if isinstance(requested, SeqlockReader | OverlapReader):
            return self._take_live(requested, registers, sent, now)
        if requested is None or requested.reading is None:
            return ()
        try:
            requested.reading.take(registers, sent)
        except SunspecError:
            self._put_off(requested, now)
            return ()
        if requested.reading.result is None:
            return ()
        result, reading = requested.reading.result, requested.reading
        requested.reading = requested.refused = None
        requested.due = now + requested.every if requested.every else float("inf")
        if requested is self._check:
            return ()
        if requested is self._device:
            return self._identify(result, now)
        if self._demand is not None and requested.demanded is not None:
            self._demand.answered(requested.demanded)
            self._demanded = None
        if isinstance(reading, SunspecReading):
            requested.begin = reading.again
        self._held[result.name] = result
        if self._device.refused is None:
            self._device.due = now
        return ()

    def refuse(self, code: int, now: float) -> Rejection:
        """The meter answered the last read with an exception."""
        requested, self._requested = self._requested, None
        if requested is self._check:
            self._check.reading, self._check.due = None, float("inf")
            return Rejection("live", given_up=False)
        name = requested.name if isinstance(requested, _Job) else "live"
        self._busy = self._busy + 1 if code in _BUSY else 0
        if 0 < self._busy <= AT_ONCE:
            return Rejection(name, given_up=False)
        self._busy = 0
        if not isinstance(requested, _Job):
            self._live = self._overlap = None
            self._live_due = now + RETRY_LIVE
        elif self._demand is not None and requested.demanded is not None:
            self._demanded = None
            self._demand.refused(requested.demanded, code, now)
        elif requested is self._device and code in _ILLEGAL and requested.begin is device_reading:
            requested.begin, requested.reading = short_device_reading, None
            return Rejection(name, given_up=False)
        else:
            requested.refused = code
            self._put_off(requested, now, code)
            if requested is self._device:
                requested.begin = device_reading
                self._held.clear()  # it is unknown which device these blocks came from
        return Rejection(name, given_up=True)

    def fail(self, now: float) -> None:
        """The last read got no answer: the connection is gone. The block must not delay the others."""
        requested, self._requested = self._requested, None
        if self._demand is not None and isinstance(requested, _Job) and requested.demanded is not None:
            self._demand.unanswered(requested.demanded, now)
        elif requested is self._check:
            self._check.due = float("inf")
        elif isinstance(requested, _Job) and requested is not self._device:
            self._put_off(requested, now, _NO_ANSWER)
        self._stop_readings()

    def _choose(self, now: float) -> "_Job | SeqlockReader | OverlapReader | None":
        if self._unknown or self.foreign:
            return self._begin(self._device) if self._device.due <= now else None
        live_due = self.live_wanted and self._live_due <= now
        if self._live is not None or (live_due and not self._other_first):
            if self._live is None:
                self._live = self._overlap or SeqlockReader(phases_fit_total)
                self._live_began = now
                self._overlaps = 0
            if now - self._live_requested > PART_AFTER:
                self._whole_at = now
            self._live_requested = now
            return self._live
        self._other_first = False
        for job in self._jobs:
            if job.reading is not None:
                return job
        for job in self._jobs:
            if job.due <= now:
                return self._begin(job)
        if live_due:
            return self._choose(now)
        return self._on_demand(now)

    def _on_demand(self, now: float) -> _Job | None:
        if self._demand is not None and self._demanded is None:
            wanted = self._demand.due(now)
            if wanted is not None:
                self._demand.begin(wanted, now)
                reading = partial(demanded_reading, wanted)
                self._demanded = self._begin(_Job(block_name(wanted), 0.0, reading, demanded=wanted))
        return self._demanded

    @staticmethod
    def _begin(job: _Job) -> _Job:
        if job.reading is None:
            job.reading = job.begin()
        return job

    def _take_live(
        self, reader: SeqlockReader | OverlapReader, registers: tuple[int, ...], sent: float, now: float
    ) -> tuple[Snapshot, ...]:
        self._took = now - sent
        if isinstance(reader, OverlapReader):
            return self._take_overlap(reader, registers, sent, now)
        retries = reader.retries
        reader.take(registers, sent)
        self.seqlock_retries += reader.retries - retries
        if not reader.done:
            return ()
        self._end_live(now)
        if reader.snapshot is None:
            self._overlap = OverlapReader(phases_fit_total)
            return ()
        self._whole_at = reader.snapshot.at
        return (reader.snapshot,)

    def _take_overlap(
        self, reader: OverlapReader, registers: tuple[int, ...], sent: float, now: float
    ) -> tuple[Snapshot, ...]:
        begins = reader.wanted.start == 0
        whole = reader.take(registers, sent)
        self._overlaps += 1
        if whole is not None or self._overlaps >= _OVERLAPS:
            self._end_live(now)
        if whole is not None:
            self._whole_at = whole.at
            return (whole,)
        if begins and now - self._whole_at > PART_AFTER:
            self._part_at = now
            return (part_of_cycle(registers, sent),)
        return ()

    def _end_live(self, now: float) -> None:
        self._live = None
        self._other_first = True
        self._live_due = max(now, self._live_began + self._live_every)

    def _identify(self, device: BlockRead, now: float) -> tuple[BlockRead, ...]:
        self._unknown = False
        self.foreign = foreign_device(device.registers)
        if self._serial is not None:
            self.foreign = self.foreign or other_meter(device.registers, self._serial)
            self.is_unconfirmed = self.foreign is not None
        held, self._held = list(self._held.values()), {}
        if self.foreign:
            self._device.due = now + min(RETRY_SOON, self._device.every)
            self._stop_readings()
            return ()
        if self._is_another(device):  # earlier reads may be the old meter's: read all blocks again, at once
            held = []
            self._energy.due = self._sunspec.due = self._gaps.due = now
        firmware = device.registers[FIRMWARE - device.start]
        if firmware != self._firmware:
            self._firmware = firmware
            self._sunspec.begin = SunspecReading
            self._sunspec.reading = None
            self._sunspec.due = now
            held = [block for block in held if block.name != "sunspec"]
        return (device, *held)

    def _is_another(self, device: BlockRead) -> bool:
        """Whether the device has another serial number than the one read before."""
        before, found = self._serial_seen, decode_texts(device.registers).get("serial_number")
        self._serial_seen = found or before
        return before is not None and found is not None and before != found

    def _put_off(self, job: _Job, now: float, code: int = 2) -> None:
        job.reading = None
        job.due = now + (job.retry if code in _ILLEGAL else RETRY_SOON)

    def _stop_readings(self) -> None:
        self._live = None
        self._held.clear()
        self._demanded = None
        for job in self._jobs:
            job.reading = None


def _wanted(requested: _Job | SeqlockReader | OverlapReader) -> RegisterRange:
    if isinstance(requested, SeqlockReader | OverlapReader):
        return requested.wanted
    assert requested.reading is not None
    return requested.reading.wanted
