"""Holds what the meter measured, cycle by cycle: every register is a function of the cycle's number, so a mix shows."""

from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import Final, Literal

from ksem_contract.blocks import DEVICE, ENERGY, LIVE, SUNSPEC
from ksem_contract.register_map import REGISTERS

KEPT: Final = 600
"""Cycles whose words are kept: two minutes of a 200 ms meter."""
FROZEN_AFTER: Final = 10.0
"""Seconds for which unchanged values may be taken for measured ones ([checks] frozen_after)."""
FIRST_SEEN: Final = 5.0
"""Seconds until a receiver that has just begun judges its first values."""
_VALUES: Final = tuple((one.address, one.count) for one in REGISTERS if LIVE.covers(one.range) and one.address < 146)
_COUNTERS: Final = tuple(one.address for one in REGISTERS if ENERGY.covers(one.range) and one.count == 4)
_MEASURED: Final = frozenset(at for start, count in _VALUES for at in range(start, start + count))
_NO_COUNTER: Final = 0x5A5A
_BASE: Final = 0x1_FFFF_F000
"""Counters begin here, so that their carries go through all of their words within minutes."""

Device = Literal["usual", "without time", "short"]
"""What the device block is: with a clock that no time service has set, or without the clock and what follows it."""
Kind = Literal["good", "torn", "wrong", "old", "void"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a served range was: `measured` is the true time of its oldest value."""

    kind: Kind
    measured: float = -inf
    why: str = ""


class Truth:
    """All that one meter ever held. Times are true seconds."""

    def __init__(
        self, *, interval_ms: int = 200, steady: bool = False, mean: bool = False, device: Device = "usual"
    ) -> None:
        """`steady`: power never changes. `mean`: mean values around 0 W, with import and export in one cycle."""
        self.interval_ms = interval_ms
        self.device_is: Device = device
        self.steady = steady
        self.mean = mean
        self.times: list[float] = []
        """When the meter gave each cycle out last, by its number: as it measured it, wrote it, or was polled."""
        self.live: deque[tuple[int, tuple[int, ...]]] = deque(maxlen=KEPT)
        self.covered: set[int] = set()
        """Cycles whose pushes bring all words of `live`, also those between the groups."""
        self.void: set[int] = set()
        """Cycles that nobody must believe: measured while the meter boots."""
        self.devices: list[tuple[int, ...]] = []
        self.sunspec = _sunspec()
        self._frozen_since: float | None = None
        self.identify(serial=1)

    @property
    def cycle(self) -> int:
        return len(self.times) - 1

    def identify(self, serial: int) -> None:
        """The device block from now on."""
        registers = [0] * DEVICE.count
        registers[0], registers[3] = 0x5233, 0x0206
        for at, text in ((4, "KOSTAL"), (20, "KSEM G2"), (36, f"7{serial:08}")):
            raw = text.encode().ljust(32, b"\0")
            registers[at : at + 16] = [int.from_bytes(raw[2 * i : 2 * i + 2]) for i in range(16)]
        registers[52] = self.interval_ms
        self.devices.append(tuple(registers))

    def measure(self, now: float, *, frozen: bool = False, void: bool = False) -> tuple[int, ...]:
        """A cycle is measured: its words of `live`. Frozen, the words of the cycle before come again."""
        if frozen and self.times:
            if self._frozen_since is None:
                self._frozen_since = self.times[-1]
            if now - self._frozen_since < FROZEN_AFTER:
                self.times[-1] = now
            return self.live[-1][1]
        self._frozen_since = None
        self.times.append(now)
        registers = self._registers(self.cycle, void=void)
        self.live.append((self.cycle, registers))
        if void:
            self.void.add(self.cycle)
        return registers

    def read(self, now: float) -> None:
        """The newest cycle's words are what the meter holds now, and sends to whoever polls it."""
        if self.times and self._frozen_since is None:
            self.times[-1] = now

    def written(self, cycle: int, when: float) -> None:
        """Live data was pushed behind other groups of its cycle: its age counts from its writing (promise 1)."""
        self.times[cycle] = max(self.times[cycle], when)

    def look_anew(self, now: float) -> None:
        """Receivers may take frozen values for new ones again: they have seen nothing for a while."""
        if self._frozen_since is not None:
            self._frozen_since = now + FIRST_SEEN

    def energy(self) -> tuple[int, ...]:
        """The counters of the newest cycle."""
        registers = [_NO_COUNTER] * ENERGY.count
        for number, address in enumerate(_COUNTERS):
            raw = _BASE + number * 0x1_0000_0100 + self.cycle
            at = address - ENERGY.start
            registers[at : at + 4] = raw >> 48, raw >> 32 & 0xFFFF, raw >> 16 & 0xFFFF, raw & 0xFFFF
        return tuple(registers)

    def device(self, now: float) -> tuple[int, ...]:
        """The device block, whose clock goes on."""
        begun = 0 if self.device_is == "without time" else 1_790_000_000_000
        clock = begun + round(now * 1000)
        return (*self.devices[-1][:53], *((clock >> shift) & 0xFFFF for shift in (48, 32, 16, 0)), 0)

    def of_another_meter(self, now: float) -> tuple[int, ...]:
        """Registers that this meter never holds, and another one may."""
        registers = list(self._registers(int(now * 1000) // self.interval_ms, void=False))
        for at in (62, 102, 142):  # voltages
            _put(registers, at, 235_000 + registers[at + 1] % 999)
        return tuple(registers)

    def judge(self, start: int, registers: tuple[int, ...]) -> Judged:
        """Judge these registers from `start` on."""
        stop = start + len(registers)
        if stop <= LIVE.stop:
            return self._judge_live(start, registers)
        if start >= ENERGY.start and stop <= ENERGY.stop:
            return self._judge_energy(start, registers)
        if start >= DEVICE.start and stop <= DEVICE.stop:
            first = start - DEVICE.start
            fixed = registers[: max(0, 53 - first)]
            known = any(one[first : first + len(fixed)] == fixed for one in self.devices)
            return Judged("good", inf) if known else Judged("wrong", why="no device block of this meter")
        if start >= SUNSPEC.start and stop <= SUNSPEC.stop:
            first = start - SUNSPEC.start
            good = self.sunspec[first : first + len(registers)] == registers
            return Judged("good", inf) if good else Judged("wrong", why="not this meter's SunSpec registers")
        return Judged("wrong", why="registers that the meter does not have")

    def _judge_live(self, start: int, registers: tuple[int, ...]) -> Judged:
        stop = start + len(registers)
        values = _values_in(start, stop)
        if not values:
            return Judged("good", inf)
        # The last value's low word is another one in each cycle, as voltages and frequency are: look at it first.
        last = values[-1]
        low = registers[last - start]
        for cycle, known in reversed(self.live):
            if known[last] == low and all(known[at] == registers[at - start] for at in values):
                return self._judge_gaps(cycle, start, registers)
        foreign = [at for at in values if not any(known[at] == registers[at - start] for _, known in self.live)]
        if foreign:
            return Judged("wrong", why=f"register {foreign[0]} never held {registers[foreign[0] - start]}")
        return Judged("torn", why="its values are of several cycles")

    def _judge_gaps(self, cycle: int, start: int, registers: tuple[int, ...]) -> Judged:
        if cycle in self.covered:
            for at, word in enumerate(registers, start):
                if at not in _MEASURED and 0 < (cycle - word) % 0x10000 < 0x8000:
                    return Judged("torn", why=f"register {at} is of cycle {word}, the values are of {cycle % 0x10000}")
        return self._dated(cycle)

    def _dated(self, cycle: int) -> Judged:
        if cycle in self.void:
            return Judged("void", why="measured while the meter boots")
        return Judged("good", self.times[cycle])

    def _judge_energy(self, start: int, registers: tuple[int, ...]) -> Judged:
        measured = inf
        for number, address in enumerate(_COUNTERS):
            at = address - start
            if at < 0 or at + 4 > len(registers):
                continue
            raw = registers[at] << 48 | registers[at + 1] << 32 | registers[at + 2] << 16 | registers[at + 3]
            cycle = raw - _BASE - number * 0x1_0000_0100
            if not 0 <= cycle < len(self.times):
                return Judged("wrong", why=f"the counter at {address} never held {raw}")
            measured = min(measured, self.times[cycle])
        return Judged("good", measured)

    def _registers(self, cycle: int, *, void: bool) -> tuple[int, ...]:
        registers = [cycle & 0xFFFF] * LIVE.count
        direction = 2 if cycle // 1500 % 2 else 0
        total = other = 0
        for phase, at in enumerate((40, 80, 120)):
            power = 5000 if self.steady else 5000 + cycle * (131 + 2 * phase) % 4000
            back = cycle * 17 % 90 if self.mean else 0
            total += power
            other += back
            _put(registers, at + direction, power)
            _put(registers, at + 2 - direction, back)
            _put(registers, at + 4, 1000 + cycle * 37 % 911 + phase)
            _put(registers, at + 6, 0)
            _put(registers, at + 16, 6000 + cycle * 41 % 3989)
            _put(registers, at + 18, 0)
            _put(registers, at + 20, 2000 + cycle * 71 % 9001)
            _put(registers, at + 22, 228_000 + (cycle * 53 + 17 * phase) % 4001)
            _put(registers, at + 24, 900 + cycle % 97)
        _put(registers, direction, 0xFFFF_FFFF if void and cycle % 2 else total)
        _put(registers, 2 - direction, other)
        _put(registers, 4, 3000 + cycle * 37 % 1013)
        _put(registers, 6, 0)
        _put(registers, 16, 18_000 + cycle * 43 % 4003)
        _put(registers, 18, 0)
        _put(registers, 24, 900 + cycle % 89)
        _put(registers, 26, 0 if void and not cycle % 2 else 49_900 + cycle * 29 % 211)
        return tuple(registers)


@lru_cache(maxsize=256)
def _values_in(start: int, stop: int) -> tuple[int, ...]:
    """The registers of a range that hold measured values."""
    return tuple(at for at in range(start, stop) if at in _MEASURED)


def _put(registers: list[int], at: int, value: int) -> None:
    registers[at], registers[at + 1] = value >> 16, value & 0xFFFF


def _sunspec() -> tuple[int, ...]:
    common = [1, 66, *range(100, 166)]
    meter = [203, 105, *range(300, 405)]
    return (0x5375, 0x6E53, *common, *meter, 0xFFFF, 0)
