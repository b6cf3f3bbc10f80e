"""The meter itself [core but for the truth file]: measures in cycles, and prepares the registers that it sends."""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from ksem_contract.registers import RegisterRange
from ksem_simulators.ksem.household import DAY, Household, Powers
from ksem_simulators.ksem.image import (
    device_registers,
    energy_flow_registers,
    energy_registers,
    live_words,
    sunspec_registers,
)
from ksem_simulators.ksem.measurement import BOOTING, Counters, Energies, Measurement, measure
from ksem_simulators.truth import BOOTING as BOOTING_FLAG
from ksem_simulators.truth import FROZEN, Block, Kind, TruthWriter
from ksem_simulators.truth.truth_file import RANGES, block_of

Firmware = Literal["2.5.0", "2.6.0"]
FIRMWARE_WORDS: Final[dict[Firmware, int]] = {"2.5.0": 0x0250, "2.6.0": 0x0260}
"""Register 8195; how a KSEM writes its version there is not published, only that the word changes with it."""


@dataclass(frozen=True, slots=True)
class MeterSettings:
    """What kind of meter, and what day it has."""

    seed: int = 1
    cycle_ms: int = 200
    time_of_day: float = 9.0 * 3600.0
    speed: float = 1.0
    """Simulated seconds a second."""
    firmware: Firmware = "2.6.0"
    energy_flow: bool = False
    """Whether 40972-41012 are there."""
    constant_load: float | None = None
    """W that the house takes all the time; None: a household day."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One measuring cycle."""

    cycle: int
    at: float
    measured_at: float
    flags: int
    measurement: Measurement
    counters: tuple[Counters, Counters, Counters, Counters]
    powers: Powers
    seconds: float
    live: bytes
    live_snapshot: int


class Outgoing(NamedTuple):
    """Registers that are about to be sent, and the number of their statement in the truth file."""

    registers: bytes
    statement: int


class Meter:
    """A meter with its household. All times are CLOCK_BOOTTIME."""

    def __init__(self, settings: MeterSettings, truth: TruthWriter, now: float) -> None:
        self.settings = settings
        self.firmware: Firmware = settings.firmware
        self.frozen = False
        self.booting = False
        self._truth = truth
        self._cycle = truth.last_cycle
        self.household = Household(settings.seed, settings.time_of_day, constant_load=settings.constant_load)
        self.energies = Energies()
        self._last: dict[Block, tuple[bytes, int, int]] = {}
        self._measured_at = now
        self.reading = self.measure(now)

    @property
    def time_of_day(self) -> float:
        """Simulated seconds since midnight."""
        return self.household.seconds % DAY

    def measure(self, now: float) -> Reading:
        """One measuring cycle; a frozen meter repeats its last one, a booting one measures nothing."""
        self._cycle += 1
        flags = (FROZEN if self.frozen else 0) | (BOOTING_FLAG if self.booting else 0)
        if self.frozen:
            old = self.reading
            measurement, counters, powers, seconds = old.measurement, old.counters, old.powers, old.seconds
        else:
            self._measured_at = now
            step = self.settings.cycle_ms / 1000.0 * self.settings.speed
            powers = self.household.step(step)
            seconds = self.household.seconds
            measurement = BOOTING if self.booting else measure(powers, self._cycle, seconds, self.settings.seed)
            self.energies.add(measurement, round(1000.0 * step))
            counters = self.energies.counters()
        live = live_words(measurement)
        snapshot = self._truth.snapshot(
            Block.LIVE, live, cycle=self._cycle, at=now, measured_at=self._measured_at, flags=flags
        )
        self.reading = Reading(
            self._cycle, now, self._measured_at, flags, measurement, counters, powers, seconds, live, snapshot
        )
        return self.reading

    def change_firmware(self, firmware: Firmware) -> None:
        """Another version: 8195 and the place of the SunSpec models change."""
        self.firmware = firmware
        self._last.clear()

    def knows(self, span: RegisterRange) -> bool:
        """Whether the meter has all these registers."""
        block = block_of(span)
        if block is Block.ENERGY_FLOW:
            return self.settings.energy_flow
        if block is Block.SUNSPEC and self.firmware == "2.5.0":
            return span.last < RANGES[block].last
        return block is not None

    def prepare(self, span: RegisterRange, kind: Kind, now: float, reading: Reading | None = None) -> Outgoing:
        """The words of `span` as of `reading` (the newest by default), recorded as sent at `now`.

        ValueError when the meter does not have them.
        """
        block = block_of(span)
        if block is None or not self.knows(span):
            raise ValueError(f"the meter has no registers {span}")
        registers, snapshot = self._held(block, reading or self.reading, now)
        offset = 2 * (span.start - RANGES[block].start)
        return Outgoing(
            registers[offset : offset + 2 * span.count], self._truth.record_sent(block, snapshot, span, kind, now)
        )

    def take_back(self, outgoing: Outgoing) -> None:
        """It was not sent after all."""
        self._truth.take_back(outgoing.statement)

    def _held(self, block: Block, reading: Reading, now: float) -> tuple[bytes, int]:
        """What `block` holds, and the number of the snapshot of it."""
        if block is Block.LIVE:
            return reading.live, reading.live_snapshot
        known = self._last.get(block)
        if known is not None and known[1] == reading.cycle and block is not Block.DEVICE:
            return known[0], known[2]
        registers = self._image(block, reading, now)
        if known is not None and known[0] == registers:
            snapshot = known[2]
        else:
            measured_at = now if block is Block.DEVICE else reading.measured_at
            flags = reading.flags & FROZEN
            snapshot = self._truth.snapshot(
                block, registers, cycle=reading.cycle, at=now, measured_at=measured_at, flags=flags
            )
        self._last[block] = (registers, reading.cycle, snapshot)
        return registers, snapshot

    def _image(self, block: Block, reading: Reading, now: float) -> bytes:
        powers = reading.powers
        if block is Block.ENERGY:
            return energy_registers(reading.counters)
        if block is Block.SUNSPEC:
            padded = self.firmware == "2.6.0"
            return sunspec_registers(reading.measurement, reading.counters, padded=padded, version=self.firmware)
        if block is Block.ENERGY_FLOW:
            return energy_flow_registers(
                powers.load, powers.pv, powers.battery, powers.state_of_charge, sum(powers.grid)
            )
        unix_ms = 1_700_000_000_000 + round(1000 * now)
        return device_registers(
            firmware=FIRMWARE_WORDS[self.firmware], interval_ms=self.settings.cycle_ms, unix_ms=unix_ms
        )
