"""Runs seeds and prints the oracle's findings: `python -m simulation --help`."""

import argparse
import os
import secrets
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from math import inf
from typing import Final

from .faults import Fault, draw
from .run import Outcome, command, run, smaller

A_RUN: Final = 600.0
"""Simulated seconds of one seed where many are run."""
RELEASE: Final = 150
"""Seeds of every release, from 1 on: 25 hours of bridge life and more than 20,000 faults."""
FIRST_RANDOM: Final = 1_000_000
ENDLESS: Final = 1_000_000
CPU: Final = "s of processor time"
SHOWN: Final = 300
"""Lines of a timeline that are printed, the last ones."""


def main() -> int:
    """Exit code 1 where a promise is broken."""
    options = parser().parse_args()
    if options.many:
        return _many(options)
    seconds = options.seconds or A_RUN
    faults = _chosen(options.seed, seconds, options.faults)
    outcome = run(options.seed, seconds, faults, trace=bool(os.environ.get("TRACE")))
    for at, who, text in outcome.timeline[-SHOWN:]:
        print(f"{at:12.4f}  {who:14}  {text}")
    _print(outcome)
    if outcome.violations and faults is None:
        _print_smaller(outcome)
    return int(bool(outcome.violations))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seed", default="1", help="which faults are drawn; with --many the first seed")
    parser.add_argument("--seconds", type=float, default=0.0, help=f"simulated time of a seed (default {A_RUN:g})")
    parser.add_argument("--faults", help="only these of the seed's faults: numbers with commas between, or none")
    parser.add_argument("--many", action="store_true", help=f"run seed after seed: {RELEASE}, always the same ones")
    parser.add_argument("--random", action="store_true", help="with --many: begin at a seed that nobody has run")
    parser.add_argument("--seeds", type=int, default=0, help="with --many: so many")
    parser.add_argument("--minutes", type=float, default=inf, help="with --many: begin no seed after this time")
    parser.add_argument("--first", action="store_true", help="with --many: stop at the first broken promise")
    parser.add_argument("--jobs", type=int, default=2, help="processes, with --many (default 2)")
    return parser


def _chosen(seed: str, seconds: float, numbers: str | None) -> list[Fault] | None:
    if numbers is None:
        return None
    wanted = set() if numbers == "none" else {int(number) for number in numbers.split(",")}
    return [fault for fault in draw(seed, seconds) if fault.number in wanted]


def _outcomes(numbers: range, seconds: float, until: float, jobs: int) -> Iterator[Outcome]:
    """Run seed after seed, `jobs` at a time, and begin none after `until`."""
    seeds = iter(numbers)
    with ProcessPoolExecutor(jobs) as pool:
        under_way: set[Future[Outcome]] = set()
        while True:
            for seed in islice(seeds, jobs - len(under_way)) if time.monotonic() < until else ():
                under_way.add(pool.submit(run, str(seed), seconds))
            if not under_way:
                return
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for one in done:
                yield one.result()


def chosen_seeds(options: argparse.Namespace) -> range:
    """Return the seeds to run: those of every release, unless something else is wished."""
    first = FIRST_RANDOM + secrets.randbelow(FIRST_RANDOM * 1000) if options.random else int(options.seed)
    number = options.seeds or (RELEASE if options.minutes == inf else ENDLESS)
    return range(first, first + number)


def _many(options: argparse.Namespace) -> int:
    begun = time.monotonic()
    until, jobs = begun + 60 * options.minutes, options.jobs
    done = faults = 0
    lived = cpu = 0.0
    failed: list[Outcome] = []
    numbers = chosen_seeds(options)
    print(f"seeds from {numbers.start} on", flush=True)
    for outcome in _outcomes(numbers, options.seconds or A_RUN, until, jobs):
        done, faults, lived = done + 1, faults + outcome.faults, lived + outcome.seconds
        cpu += outcome.cpu
        if outcome.violations:
            failed.append(outcome)
            _print(outcome)
            sys.stdout.flush()
            if options.first:
                break
    print(f"{done} seeds, {lived / 3600:.1f} hours of bridge life, {faults} faults, {len(failed)} seeds failed")
    passed = time.monotonic() - begun
    print(f"{lived / passed / jobs:.0f} times real time on each of {jobs} cores, {lived / cpu:.0f} by processor time")
    print(f"{cpu:.1f} {CPU}")
    if failed and not options.first:
        _print_smaller(failed[0])
    return int(bool(failed))


def _print(outcome: Outcome) -> None:
    counts = ", ".join(f"{number} {what}" for what, number in outcome.counts.items())
    print(
        f"seed {outcome.seed}: {outcome.seconds:g} s at {outcome.speed:.0f} times real time, {outcome.faults} faults, "
        f"{counts}, oldest data {outcome.oldest:.2f} s, {len(outcome.violations)} promises broken"
    )
    for violation in outcome.violations:
        print(f"    {violation}")


def _print_smaller(outcome: Outcome) -> None:
    seconds, faults = smaller(outcome)
    print(f"seed {outcome.seed} made smaller, {len(faults)} faults:")
    for fault in faults:
        print(f"    {fault}")
    print(f"repeat it: {command(outcome.seed, seconds, faults)}")


if __name__ == "__main__":
    sys.exit(main())
