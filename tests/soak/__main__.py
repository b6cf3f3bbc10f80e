"""Compressed days: pushes at 50 Hz, asks at the line's speed, faults at random. `make soak MINUTES=10 SEED=1`.

Exit code 1 if the inverter got what it never may, data did not flow again in time, or a service has grown.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.chain import Chain
from tests.faults.processes import Footprint

from .faults import FAULTS, heal
from .verdict import Soak, Watched

CYCLE_MS: Final = 20
SPEED: Final = 1440
"""Simulated seconds a second: a day a minute."""
RANGES: Final = "0-27,40-145,512-551,592-691,0-27,40-145,8192-8241"
WARM_UP: Final = 0.2
"""Of the whole: what is built once, pools that fill up, faults met for the first time."""
MOST_WARM_UP: Final = 150.0
PROGRESS_EVERY: Final = 10.0
CALM: Final = 1.5
"""Seconds after a fault, for links to settle before descriptors are counted."""


def main() -> int:
    options = _parser().parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"soak for {options.minutes:g} minutes, seed {seed} (SEED={seed} repeats the same faults)", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        soak = run(Path(folder), 60 * options.minutes, random.Random(seed))
    print(summary(soak))
    problems = soak.problems()
    print("\n".join(f"FAILED: {problem}" for problem in problems) or "all promises kept")
    return bool(problems)


def run(folder: Path, seconds: float, chance: random.Random) -> Soak:
    """Break things for so long; return what was seen."""
    chain = Chain(
        folder,
        meter_options=("--cycle", str(CYCLE_MS), "--speed", str(SPEED)),
        inverter_options=("--timeout", "0.15", "--period", "0", "--ranges", RANGES),
    )
    with chain:
        chain.start()
        chain.await_good(50)
        services = {"ksem_publisher": chain.publisher, "rtu_server": chain.server}
        soak = Soak([Watched(name) for name in services])
        begun = time.monotonic()
        reported = 0.0
        queue: list[int] = []
        while (elapsed := time.monotonic() - begun) < seconds:
            queue = queue or chance.sample(range(len(FAULTS)), len(FAULTS))  # each as often as any other
            fault = FAULTS[queue.pop()]
            try:
                fault(chain, chance)
            finally:
                heal(chain)
            soak.recovered(fault.__name__, chain.await_good(20, within=15))
            time.sleep(CALM)
            warm = elapsed > min(WARM_UP * seconds, MOST_WARM_UP)
            for watched in soak.services:
                watched.see(Footprint.of(services[watched.name].pid), warm=warm)
            soak.status = chain.inverter.status()
            soak.lines = {name: len(service.log_text().splitlines()) for name, service in services.items()}
            if elapsed - reported >= PROGRESS_EVERY:
                reported = elapsed
                print(progress(soak, elapsed, seconds), flush=True)
        if soak.problems():
            print(chain.logs())
    return soak


def progress(soak: Soak, elapsed: float, seconds: float) -> str:
    """One line."""
    outcomes = soak.status["outcomes"]
    held = "  ".join(str(watched) for watched in soak.services)
    return (
        f"{elapsed:5.0f} of {seconds:.0f} s  {soak.faults.total()} faults  {outcomes.get('good', 0)} good,"
        f" {outcomes.get('timeout', 0)} unanswered, {outcomes.get('exception-4', 0)} refused"
        f"  oldest {soak.longest_age_ms():.0f} ms  {held}" + ("  PROBLEM" if soak.problems() else "")
    )


def summary(soak: Soak) -> str:
    """Several lines."""
    status = soak.status
    seconds, fault = soak.longest_recovery
    return "\n".join(
        [
            "",
            f"answers       {dict(sorted(status['outcomes'].items()))}",
            f"turnaround ms {status['turnaround_ms']}",
            f"oldest value  {soak.longest_age_ms():.0f} ms in an answer from the live block",
            f"faults        {soak.faults.total()}: {dict(sorted(soak.faults.items()))}",
            f"recovery      {seconds} s at the longest, after {fault}",
            f"log lines     {soak.lines}",
            *(f"held          {watched} (at most when warm: {watched.warm})" for watched in soak.services),
        ]
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, help="of the faults and their order (default: a new one, which is printed)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
