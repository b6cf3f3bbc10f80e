"""Runs the interleaved rounds on the paced line [shell]."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from benchmarks.contenders import AGAIN, AT_ONCE, LIBMODBUS, OURS, PYMODBUS, REFERENCE, Contender
from benchmarks.house import House
from benchmarks.meter_truth import MeterTruth
from benchmarks.processes import busy_core, cpu_seconds, steal, stolen_share
from benchmarks.wire import FRAME_GAP, Exchange, least_time

RANGES: Final = {
    "cycle": ("0-27", "40-145"),
    "small": ("0-1",),
    "mixed": ("0-27", "40-145", "512-611", "612-711", "712-791", "8192-8249", "0-99", "100-147"),
}
PERIOD_MS: Final = {"cycle": 162.0, "small": 0.0, "mixed": 0.0}
REST: Final = "rest"
LOAD: Final = "load"
HELD_UP: Final = 0.0001
"""Seconds: handing over a byte takes a tenth of this."""
METER: Final = {REST: (), LOAD: ("--cycle", "20")}
UNDER_LOAD: Final = (REFERENCE, OURS, AGAIN, PYMODBUS, LIBMODBUS, AT_ONCE)


@dataclass
class Pace:
    """Seconds that each part of a round takes."""

    rounds: int
    seconds: dict[str, dict[str, float]]
    idle: float


QUICK: Final = Pace(5, {REST: {"cycle": 0.7, "small": 0.5, "mixed": 0.8}, LOAD: {"cycle": 0.4, "small": 0.3}}, 0.8)
FULL: Final = Pace(5, {REST: {"cycle": 4, "small": 3, "mixed": 4}, LOAD: {"cycle": 2.5, "small": 2}}, 3.0)


@dataclass
class Part:
    """What one contender did in one mode and state, pooled over the rounds."""

    turnarounds: list[float] = field(default_factory=list)
    early: int = 0
    """Begun before t3.5 was over, counted from the moment at which the last byte had been handed over for sure. Where
    the host held that up for longer than `HELD_UP`, from its begin: the byte may have left at any moment since."""
    requests: int = 0
    unanswered: int = 0
    disturbed: int = 0
    busy: float = 0.0
    """Seconds from the first request to the line being free behind the last answer."""
    least: float = 0.0
    """Seconds that the same transactions take at least."""
    cpu: float = 0.0
    handing: list[float] = field(default_factory=list)

    def add(self, exchanges: Sequence[Exchange], cpu: float) -> None:
        self.cpu += cpu
        for one in exchanges:
            self.requests += 1
            self.disturbed += one.disturbed
            self.handing.append(one.handing)
            if not one.is_data:
                self.unanswered += 1
            elif not one.disturbed:
                self.turnarounds.append(one.turnaround)
                self.early += one.turnaround - (one.handing if one.handing < HELD_UP else 0.0) < FRAME_GAP
        for one, following in pairwise(exchanges):
            if one.is_data:
                self.busy += following.begun - one.begun
                self.least += least_time(one.count)


@dataclass
class Findings:
    """All that the rounds found out."""

    parts: dict[tuple[str, str, str], Part] = field(default_factory=dict)
    """By state, contender and mode."""
    hops: dict[str, list[float]] = field(default_factory=lambda: {REST: [], LOAD: []})
    hops_from_first: dict[str, list[float]] = field(default_factory=lambda: {REST: [], LOAD: []})
    windows: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {REST: [], LOAD: []})
    """When each state was on, for what is measured beside it."""
    ages: dict[str, list[float]] = field(default_factory=lambda: {REST: [], LOAD: []})
    perfect: dict[str, list[float]] = field(default_factory=lambda: {REST: [], LOAD: []})
    wrong: int = 0
    waits: dict[str, list[dict[str, float]]] = field(default_factory=lambda: {REST: [], LOAD: []})
    idle_cpu: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """CPU seconds a second without requests, by state and contender."""
    steal: list[float] = field(default_factory=list)

    def part(self, state: str, name: str, mode: str) -> Part:
        return self.parts.setdefault((state, name, mode), Part())


def run_rounds(pace: Pace, contenders: Sequence[Contender], house: House, progress: Callable[[str], None]) -> Findings:
    """Every contender in every mode, in a new order each round, at rest and under load."""
    findings = Findings()
    truth = MeterTruth(house.truth)
    for number in range(pace.rounds):
        for state in (REST, LOAD):
            progress(f"round {number + 1} of {pace.rounds}, {state}")
            turned = [*contenders[number % len(contenders) :], *contenders[: number % len(contenders)]]
            if number % 2:
                turned.reverse()
            _one_round(state, pace, turned, house, truth, findings)
    return findings


def _one_round(
    state: str, pace: Pace, contenders: Sequence[Contender], house: House, truth: MeterTruth, findings: Findings
) -> None:
    house.change_meter(METER[state])
    house.await_pushes()
    with ExitStack() as stack:
        if state == LOAD:
            stack.enter_context(busy_core())
        stolen = steal()
        began = time.clock_gettime(time.CLOCK_BOOTTIME)
        _idle(state, pace.idle, contenders, findings)
        for contender in contenders:
            for mode, seconds in pace.seconds[state].items():
                cpu = cpu_seconds(contender.pids)
                exchanges = contender.wire.run(seconds, PERIOD_MS[mode], RANGES[mode])
                cpu = cpu_seconds(contender.pids) - cpu
                findings.part(state, contender.name, mode).add(exchanges, cpu)
                if contender.name == OURS and mode != "small":  # two registers alone hold the same for many cycles
                    _judge(state, exchanges, truth, findings)
        findings.steal.append(stolen_share(stolen, steal()))
    findings.windows[state].append((began, time.clock_gettime(time.CLOCK_BOOTTIME)))
    from_first, from_last = truth.hops(house.served_from())
    findings.hops[state] += from_last
    findings.hops_from_first[state] += from_first
    pushers = house.meter.status()["push"]
    findings.waits[state].append(pushers[0]["answer_wait_ms"])


def _idle(state: str, seconds: float, contenders: Sequence[Contender], findings: Findings) -> None:
    before = {one.name: cpu_seconds(one.pids) for one in contenders}
    time.sleep(seconds)  # what is measured is doing nothing
    for one in contenders:
        spent = (cpu_seconds(one.pids) - before[one.name]) / seconds
        findings.idle_cpu.setdefault((state, one.name), []).append(spent)


def _judge(state: str, exchanges: Sequence[Exchange], truth: MeterTruth, findings: Findings) -> None:
    ages, perfect, wrong = truth.ages(exchanges)
    findings.ages[state] += ages
    findings.perfect[state] += perfect
    findings.wrong += wrong
