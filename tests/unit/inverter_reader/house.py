"""A house whose inverter believes what it is made to: measurements and reads in simulated time, by the cores alone."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from inverter_reader.inverter import Inverter
from inverter_reader.registers import BYTE_ORDER, KIND, METER, STATE
from ksem_contract.blocks import LIVE
from ksem_simulators.ksem.household import Household
from ksem_simulators.plenticore.belief import Belief, BeliefPlan

CYCLE = 0.2
HOUR = 3600.0


@dataclass
class House:
    """`hour`: time of day at which it begins; `constant`: no load ever changes."""

    hour: float = 12.0
    seed: int = 1
    constant: bool = False
    plan: BeliefPlan = field(default_factory=BeliefPlan)
    interval: float = 1.0
    answers: tuple[float, float] = (0.02, 0.5)
    order: str = "little"
    publishes: bool = True

    def __post_init__(self) -> None:
        self.now = 1000.0
        self.inverter = Inverter("main", "auto", "inverter:1502")
        self.belief = Belief(self.plan)
        self.random = random.Random(self.seed)
        self.household = Household(self.seed, self.hour * HOUR)
        self.powers = self.household.step(CYCLE).grid
        self.read_due = self.now + 0.35

    def run(self, seconds: float) -> Iterator[float]:
        """Cycle after cycle; yields the time after each read."""
        until = self.now + seconds
        while self.now < until:
            self.now += CYCLE
            if not self.constant:
                self.powers = self.household.step(CYCLE).grid
            self._measure()
            if self.now >= self.read_due:
                self._read()
                yield self.now

    def found(self, seconds: float) -> dict[str, float]:
        """Codes of reasons, and after how many seconds each came first."""
        begun, codes = self.now, dict[str, float]()
        for now in self.run(seconds):
            for reason in self.inverter.condition(now).reasons:
                codes.setdefault(reason.code, round(now - begun, 1))
        return codes

    def until(self, holds: Callable[[], bool], seconds: float) -> float | None:
        """Seconds until it holds; None where it does not come to that."""
        begun = self.now
        return next((now - begun for now in self.run(seconds) if holds()), None)

    def _measure(self) -> None:
        noise = 0.0 if self.constant else 0.3
        phases = [power + self.random.uniform(-noise, noise) for power in self.powers]
        words = [0] * LIVE.count
        for start, watts in zip((0, 40, 80, 120), (sum(phases), *phases), strict=True):
            count = abs(round(10 * watts))
            place = start if watts > 0 else start + 2
            words[place : place + 2] = count >> 16, count & 0xFFFF
        words[26:28] = 0, 50_000
        self.belief.read(LIVE, tuple(words), self.now + 0.02)
        values = {f"power_l{phase + 1}": round(watts, 1) for phase, watts in enumerate(phases)}
        if self.publishes:
            self.inverter.on_measured({"power": round(sum(phases), 1), **values}, self.now)

    def _read(self) -> None:
        shown = self.belief.registers(self.now, "big" if self.order == "big" else "little", 71)
        received = self.now + self.random.uniform(*self.answers)
        for span in self.inverter.reads_due(self.now):
            assert span in (BYTE_ORDER, KIND, METER, STATE)
            registers = tuple(shown[address] for address in range(span.start, span.start + span.count))
            self.inverter.on_read(span, registers, self.now, received)
        self.read_due += self.interval
