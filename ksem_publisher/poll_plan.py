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
from ksem_publisher.poll_live import LivePolls
from ksem_publisher.poll_reads import (
    Reading,
    SunspecReading,
    check_reading,
    demanded_reading,
    device_reading,
    energy_reading,
    gaps_reading,
    short_device_reading,
)
from ksem_publisher.snapshot import BlockRead, Snapshot

RETRY_SOON = 2.0
"""Seconds until a refused read that the inverter may need is tried again."""
RETRY_LATE = 60.0
"""The same for reads that few readers need."""
OTHERS_PATIENCE = 0.75
"""Seconds that a read may keep `live` waiting: with a new connection behind it, data is still younger than 1.5 s."""
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
        self.live = LivePolls(live)
        self._other_first = False
        self._device = _Job("device", device, device_reading)
        self._energy = _Job("energy", energy, energy_reading)
        self._gaps = _Job("gaps", 0.0, gaps_reading, RETRY_LATE)
        self._sunspec = _Job("sunspec", sunspec, SunspecReading, RETRY_LATE)
        self._check = _Job("check", 0.0, check_reading, due=float("inf"))
        self._jobs = [self._check, self._device, self._gaps, self._energy, self._sunspec]
        self._requested: _Job | LivePolls | None = None
        self._firmware: int | None = None
        self._unknown = True
        self._busy = 0
        self._held: dict[str, BlockRead] = {}
        self.foreign: str | None = None
        """Why the device at the address is taken for no KSEM; None while it is one, or unknown."""

    def connected(self) -> None:
        """A connection is new: no read is under way on it, and the device is unknown."""
        self._stop_readings()
        self._unknown = True
        self._busy = 0
        self.live.on_connected()
        if self._device.refused is None:
            self._device.begin = device_reading
            self._device.due = 0.0

    @property
    def nameless(self) -> bool:
        """Whether the meter, on this connection, refuses the device block."""
        return self._unknown and self._device.refused is not None

    def anomalies(self, now: float = 0.0) -> tuple[Anomaly, ...]:
        """What the meter refuses of the blocks that an inverter needs, and why live data lacks a part."""
        return self.live.anomalies(now) + tuple(
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
        live_waits = self.live.wanted and not self._unknown and isinstance(self._requested, _Job)
        return OTHERS_PATIENCE if live_waits else None

    def wait(self, now: float) -> float:
        """Seconds until something may be due."""
        if self._unknown or self.foreign:
            return max(0.0, self._device.due - now)
        dues = [now if job.reading is not None else job.due for job in self._jobs]
        if self._demand is not None:
            dues.append(now if self._demanded else self._demand.next_due(now))
        if self.live.wanted:
            dues.append(self.live.due)
        return max(0.0, min(dues) - now)

    def answer(self, registers: tuple[int, ...], sent: float, now: float) -> tuple[Snapshot | BlockRead, ...]:
        """The meter's reply to the last read: returns what is whole now, and confirmed."""
        requested, self._requested = self._requested, None
        self._busy = 0
        if isinstance(requested, LivePolls):
            results = requested.take(registers, sent, now)
            self._other_first = not requested.is_under_way
            return results
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
            self.live.refuse(now)
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

    def _choose(self, now: float) -> _Job | LivePolls | None:
        if self._unknown or self.foreign:
            return self._begin(self._device) if self._device.due <= now else None
        if self.live.is_under_way or (self.live.is_due(now) and not self._other_first):
            self.live.begin(now)
            return self.live
        self._other_first = False
        for job in self._jobs:
            if job.reading is not None:
                return job
        for job in self._jobs:
            if job.due <= now:
                return self._begin(job)
        if self.live.is_due(now):
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
        self.live.stop()
        self._held.clear()
        self._demanded = None
        for job in self._jobs:
            job.reading = None


def _wanted(requested: _Job | LivePolls) -> RegisterRange:
    if isinstance(requested, LivePolls):
        return requested.span
    assert requested.reading is not None
    return requested.reading.wanted
