"""An hour of faults at random: the time without data by rtu-server's book, beside the inverter's own log.

`make outages MINUTES=60 SEED=1`. Exit code 1 if the two sums are over 0.1 s apart.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from unittest.mock import patch

from tests.chain import Chain
from tests.faults.ear import Ear
from tests.faults.inverter_log import SHORTEST, all_pauses, no_data

from .faults import (
    connections_are_cut,
    heal,
    noise_on_the_line,
    the_broker_is_restarted,
    the_broker_stands_still,
    the_meter_reboots,
    the_port_goes,
    the_publisher_stands_still,
    the_rtu_server_stands_still,
)

OFF: Final = 0.1
"""Seconds that the sums may be apart."""
UNSURE: Final = 0.03
"""Seconds around 1 s within which a pause may count or not: the two don't begin at the same byte."""
CALM: Final = 2.5
"""Seconds of data after a fault, from which the server knows how often the inverter requests."""

Fault = Callable[[Chain, random.Random], None]


def requests_are_destroyed(chain: Chain, chance: random.Random) -> None:
    kind, times = chance.choice(("flip", "drop", "truncate")), chance.randrange(5, 60)
    chain.line.command("fault", kind=kind, to="server", at=chance.randrange(1, 8), times=times)
    time.sleep(0.16 * times + 0.5)


def the_publisher_is_killed(chain: Chain, chance: random.Random) -> None:
    chain.publisher.kill()
    time.sleep(chance.uniform(0.0, 10.0))
    chain.publisher.start()


def the_rtu_server_is_restarted(chain: Chain, chance: random.Random) -> None:
    chain.server.stop()
    time.sleep(chance.uniform(0.0, 4.0))
    chain.server.start()


def the_inverter_sleeps(chain: Chain, chance: random.Random) -> None:
    """Some of its last and first requests get nothing."""
    if chance.random() < 0.5:
        chain.publisher.freeze()
        time.sleep(chance.uniform(0.0, 5.0))
    chain.inverter.command("pause")
    chain.publisher.thaw()
    time.sleep(chance.uniform(65.0, 120.0))
    chain.inverter.command("resume")


FAULTS: Final[tuple[Fault, ...]] = (
    requests_are_destroyed,
    noise_on_the_line,
    the_port_goes,
    the_rtu_server_stands_still,
    the_rtu_server_is_restarted,
    the_publisher_stands_still,
    the_publisher_is_killed,
    the_broker_stands_still,
    the_broker_is_restarted,
    the_meter_reboots,
    connections_are_cut,
)
SELDOM: Final[tuple[Fault, ...]] = (the_inverter_sleeps,)
SLEEPS: Final = 0.04
"""Share of the faults in which the inverter sleeps."""


@dataclass
class Compared:
    """Both sums, in seconds."""

    book: float = 0.0
    reasons: dict[str, float] = field(default_factory=dict)
    pauses: list[float] = field(default_factory=list)
    faults: int = 0

    @property
    def log(self) -> float:
        """By the inverter's log."""
        return sum(pause for pause in self.pauses if pause > SHORTEST)

    @property
    def unsure(self) -> list[float]:
        """Pauses that lie so near to the least one that counts that either sum may hold them."""
        return [pause for pause in self.pauses if abs(pause - SHORTEST) < UNSURE]

    @property
    def apart(self) -> float:
        """Seconds between the two, less what pauses near 1 s explain."""
        sure = sum(pause for pause in self.pauses if pause >= SHORTEST + UNSURE)
        sums = {sure}
        for pause in self.unsure:
            sums |= {one + pause for one in sums}
        return min(abs(self.book - one) for one in sums)

    def __str__(self) -> str:
        counted = sum(pause > SHORTEST for pause in self.pauses)
        return (
            f"{self.faults} faults; {counted} outages by the inverter's log: {self.log:.3f} s; by the book:"
            f" {self.book:.3f} s; apart {self.apart:.3f} s; {len(self.unsure)} pauses within {UNSURE:g} s of 1 s"
        )


def run(folder: Path, seconds: float, chance: random.Random, *, sleeps: float = SLEEPS) -> Compared:
    """Break things for so long; compare after each fault."""
    state = folder / "state"
    state.mkdir()
    with (
        patch.dict(os.environ, STATE_DIRECTORY=str(state)),
        Chain(folder) as chain,
        Ear(chain.start("broker").broker.port) as ear,
    ):
        chain.start("meter", "publisher", "line", "server", "inverter").await_well()
        time.sleep(CALM)
        before = no_data(ear).days
        compared, begun, queue = Compared(), time.monotonic(), list[int]()
        while time.monotonic() - begun < seconds:
            queue = queue or chance.sample(range(len(FAULTS)), len(FAULTS))
            fault = chance.choice(SELDOM) if chance.random() < sleeps else FAULTS[queue.pop()]
            _break(chain, fault, chance)
            after = no_data(ear).days
            apart = compared.apart
            compared.faults += 1
            compared.book = after.seconds - before.seconds
            compared.reasons = {
                code: round(total - before.reasons.get(code, 0.0), 3) for code, total in after.reasons.items()
            }
            compared.pauses = list(all_pauses(chain.inverter.log.read_text().splitlines()))
            note = f"  APART after {fault.__name__}" if abs(compared.apart - apart) > OFF / 4 else ""
            print(f"{time.monotonic() - begun:5.0f} s  {compared}{note}", flush=True)
        if compared.apart > OFF:
            print(chain.logs())
    return compared


def _break(chain: Chain, fault: Fault, chance: random.Random) -> None:
    try:
        fault(chain, chance)
    finally:
        heal(chain)
    chain.await_good(20, within=20)
    time.sleep(CALM)


def main() -> int:
    """Compare for so long as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.outages", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, help="of the faults (default: a new one, which is printed)")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    print(f"faults for {options.minutes:g} minutes, seed {seed} (SEED={seed} repeats them)", flush=True)
    with tempfile.TemporaryDirectory(prefix="outages-") as folder:
        compared = run(Path(folder), 60 * options.minutes, random.Random(seed))
    print(compared, compared.reasons, sep="\n")
    return int(compared.apart > OFF)


if __name__ == "__main__":
    sys.exit(main())
