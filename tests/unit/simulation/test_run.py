import subprocess
import sys

import pytest

from simulation.__main__ import ENDLESS, RELEASE, chosen_seeds, parser
from simulation.faults import FIRST_AT, KINDS, Fault, draw, shrink
from simulation.run import Outcome, command, run, smaller


def _summary(outcome: Outcome) -> tuple[object, ...]:
    return outcome.violations, outcome.counts, outcome.events


def test_a_seed_always_draws_the_same_faults_and_a_shorter_time_the_first_of_them() -> None:
    long, short = draw("5", 600.0), draw("5", 200.0)
    assert [(one.number, one.kind.name, one.at, one.lasts) for one in long[: len(short)]] == [
        (one.number, one.kind.name, one.at, one.lasts) for one in short
    ]
    assert long[0].at >= FIRST_AT
    assert draw("6", 600.0)[0] != long[0]


def test_every_kind_of_fault_is_drawn_and_a_day_has_twenty_thousand() -> None:
    faults = [fault for seed in range(24) for fault in draw(f"day/{seed}", 3600.0)]
    assert {fault.kind.name for fault in faults} == {kind.name for kind in KINDS}
    assert len(faults) >= 20_000
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_shrinking_leaves_the_faults_that_are_needed() -> None:
    faults = draw("5", 600.0)
    needed = {faults[3].number, faults[40].number, faults[41].number}

    def fails(fewer: list[Fault] | object) -> bool:
        assert isinstance(fewer, list)
        return needed <= {fault.number for fault in fewer}

    assert {fault.number for fault in shrink(faults, fails)} == needed


@pytest.mark.parametrize("seed", ["2", "9"])
def test_a_run_is_repeated_exactly_by_its_seed(seed: str) -> None:
    assert _summary(run(seed, 60.0)) == _summary(run(seed, 60.0))


def test_tracing_changes_nothing() -> None:
    traced = run("9", 40.0, trace=True)
    assert _summary(traced) == _summary(run("9", 40.0))
    assert traced.timeline


@pytest.mark.parametrize("seed", ["1", "2", "8"])
def test_a_house_without_faults_keeps_all_promises(seed: str) -> None:
    outcome = run(seed, 60.0, [])
    assert not outcome.violations
    assert outcome.counts["data"] > 50


AFTERWARDS = 6.0
"""Simulated seconds for the end of a fault and what follows it."""


def test_each_kind_of_fault_can_be_put_in_and_taken_out() -> None:
    for number, kind in enumerate(KINDS):
        fault = Fault(number, kind, FIRST_AT, kind.shortest, f"one/{number}")
        outcome = run("8", FIRST_AT + kind.shortest + AFTERWARDS, [fault])
        assert outcome.counts["data"] > 20, kind.name


def test_a_failing_seed_is_made_smaller_and_repeated_by_one_command() -> None:
    """A stand-in for a fault of a core: an answer's limit that no chain can keep."""
    outcome = run("8", 60.0)
    outcome.violations = run("8", 60.0, limit=0.05).violations
    assert outcome.violations
    seconds, faults = smaller(outcome, limit=0.05)
    assert seconds <= outcome.violations[0].at + 0.2
    assert not faults
    assert command("8", seconds, faults).startswith("TRACE=1 python -m simulation --seed 8 --seconds ")
    assert command("8", seconds, faults).endswith(" --faults none")


def test_the_command_prints_speed_faults_and_verdicts() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "simulation", "--seed", "8", "--seconds", "30", "--faults", "none"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"TRACE": "1"},
    )
    assert "times real time, 0 faults" in done.stdout
    assert "0 promises broken" in done.stdout
    assert "inverter" in done.stdout


@pytest.mark.parametrize(
    ("options", "first", "number"),
    [("", 1, RELEASE), ("--seed 7 --seeds 3", 7, 3), ("--minutes 60", 1, ENDLESS)],
)
def test_many_seeds_are_always_the_same_ones_unless_others_are_wished(options: str, first: int, number: int) -> None:
    assert chosen_seeds(parser().parse_args(options.split())) == range(first, first + number)


def test_random_seeds_are_ones_that_no_release_runs() -> None:
    first, again = (chosen_seeds(parser().parse_args(["--random"])).start for _ in range(2))
    assert first > RELEASE
    assert first != again
