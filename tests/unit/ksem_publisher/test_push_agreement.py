"""Pushes against polls, without a clock or a socket: cycles of two households, at the times that a test says."""

import random
from collections.abc import Callable, Hashable

import pytest

from ksem_publisher.push_agreement import CHECK_EVERY, DOUBT, UNANSWERED, PushAgreement
from ksem_publisher.snapshot import Registers, Snapshot

PERIOD = 0.2


def household(seed: int) -> Callable[[int], Registers]:
    """The words of each of its cycles: a load of its own that fluctuates by a few watts."""

    def registers(cycle: int) -> Registers:
        fluctuation = random.Random(f"{seed} {cycle}")
        found: list[int | None] = [fluctuation.randrange(1000) for _ in range(148)]
        found[:4] = 0, 10_000 * seed + fluctuation.randrange(200), 0, 0
        return tuple(found)

    return registers


class Scene:
    """Pushes and polls of a moment."""

    def __init__(self) -> None:
        self.agreement = PushAgreement()
        self.agreement.interval_ms = 200
        self.now = 100.0
        self.cycle = 0
        self.right, self.other = household(1), household(2)

    def push(self, registers: Registers, source: Hashable = "one", period: float = PERIOD) -> None:
        self.agreement.wrote(source, self.now)
        self.agreement.pushed(Snapshot(registers, self.now, period), source, self.now)

    def poll(self) -> None:
        self.agreement.polled(0, [word or 0 for word in self.right(self.cycle)[:28]], self.now, self.now + 0.01)

    def run(
        self,
        cycles: int,
        *,
        of: Callable[[int], Registers] | None = None,
        source: Hashable = "one",
        polls: bool | None = True,
        seconds: float = PERIOD,
    ) -> int:
        """Cycles of a meter on a connection; how many of them counted. `polls` None: those that are asked for."""
        counted = 0
        for _ in range(cycles):
            self.now += seconds
            self.cycle += 1
            self.push((of or self.right)(self.cycle), source if source != "new" else f"{self.cycle}", seconds)
            counted += self.agreement.counts(self.now)
            self.now += 0.02
            if polls if polls is not None else self.agreement.check_due(self.now):
                self.poll()
            self.now -= 0.02
        return counted


def test_a_push_counts_once_a_poll_has_brought_the_same_words() -> None:
    scene = Scene()
    assert scene.run(1) == 0
    assert scene.run(10) == 10


def test_a_push_of_another_meter_never_counts_and_is_reported() -> None:
    scene = Scene()
    assert scene.run(100, of=scene.other) == 0
    assert scene.agreement.differs


def test_while_polls_are_not_answered_a_push_counts_that_nothing_speaks_against() -> None:
    scene = Scene()
    scene.run(20, polls=False)
    assert scene.agreement.counts(scene.now)
    scene = Scene()
    scene.run(10, of=scene.other)
    scene.run(20, of=scene.other, polls=False)
    assert not scene.agreement.counts(scene.now), "it was seen to be another meter's"
    assert UNANSWERED < 20 * PERIOD < DOUBT


def test_a_trusted_push_is_looked_at_once_a_second_and_found_out_soon_after() -> None:
    scene = Scene()
    scene.run(10)
    counted = scene.run(40, of=scene.other, polls=None)
    assert 0 < counted <= (CHECK_EVERY + 0.8) / PERIOD
    assert scene.agreement.differs


def test_another_connection_after_a_break_has_to_be_confirmed_in_step_it_goes_on() -> None:
    scene = Scene()
    scene.run(10)
    assert scene.run(3, source="two", polls=False) == 3
    scene.now += 0.5
    assert scene.run(3, source="three", polls=False) == 0
    assert scene.run(5, source="three") > 0


def test_a_meter_with_a_connection_for_each_cycle_counts() -> None:
    scene = Scene()
    scene.run(3, source="new")
    assert scene.run(50, source="new", polls=None) == 50


def test_cycles_of_two_meters_that_alternate_over_connections_do_not_count() -> None:
    scene = Scene()
    scene.run(10, source="new")
    counted = 0
    for _ in range(200):  # each pushes every second cycle
        counted += scene.run(1, source="new", of=scene.other, polls=None)
        scene.run(1, source="new", polls=None)
    assert counted < 12


def test_more_cycles_than_a_meter_measures_over_several_connections_are_two_meters() -> None:
    scene = Scene()
    scene.run(10)
    scene.run(40, seconds=PERIOD / 2, source="new", polls=False)
    assert not scene.agreement.counts(scene.now)
    assert scene.agreement.differs


def test_a_meter_that_pushes_mean_values_counts_by_being_near() -> None:
    scene = Scene()

    def mean(cycle: int) -> Registers:
        registers = list(scene.right(cycle))
        registers[1] = 10_100
        return tuple(registers)

    scene.run(10, of=mean)
    assert scene.run(50, of=mean) == 50


def test_a_meter_once_known_by_equal_words_is_not_replaced_by_one_that_is_near() -> None:
    scene = Scene()
    scene.run(10)
    assert scene.run(100, of=household(1), polls=None) == 100

    def near(cycle: int) -> Registers:
        registers = list(scene.right(cycle))
        registers[1] = (registers[1] or 0) + 7
        return tuple(registers)

    scene.run(15, of=near, polls=None)
    assert scene.run(100, of=near) == 0


def test_who_agrees_and_disagrees_in_turn_has_to_agree_ever_longer() -> None:
    scene = Scene()
    counted = []
    for _ in range(4):
        scene.run(20, of=scene.other)
        counted.append(scene.run(40))
    assert counted == sorted(counted, reverse=True)
    assert counted[0] > counted[-1]


def energy(kwh: float) -> Registers:
    count = round(kwh * 10_000)
    return (0, 0, count >> 16, count & 0xFFFF) * 70


def test_energy_counters_count_only_where_they_are_the_polled_ones_a_little_later() -> None:
    scene = Scene()
    agreement = scene.agreement
    agreement.polled(512, [word or 0 for word in energy(100.0)[:100]], scene.now, scene.now)
    assert agreement.counters_fit(energy(100.1), scene.now + 5)
    assert not agreement.counters_fit(energy(105.0), scene.now + 5)
    assert agreement.differs
    assert not agreement.counters_fit(energy(95.0), scene.now + 5)


@pytest.mark.promise(1)
def test_after_a_break_cycles_may_have_waited_in_the_meter_and_have_to_be_confirmed() -> None:
    scene = Scene()
    scene.run(10)
    scene.now += 2.0
    late = 10
    scene.cycle += late
    assert scene.run(10, of=lambda cycle: scene.right(cycle - late), seconds=0.1) == 0
    assert scene.run(5) > 0
