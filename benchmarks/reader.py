"""Measures what inverter-reader costs the RS485 line: the turnaround with it, without it, and where its inverter hangs.

    python -m benchmarks.reader --turns 10 --seconds 20

The three states take turns on the line of `make bench`. Exit code 1 if a p99 differs by over 10 % from the first one's.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.house import House
from benchmarks.native_programs import build
from benchmarks.samples import percentile
from benchmarks.wire import Wire
from ksem_simulators.simulator import LineHandle, PlenticoreHandle
from tests.bridge.service import Service, freeze

RANGES: Final = ("0-27", "40-145")
READ, STOPPED, HANGS = "inverter-reader reads", "inverter-reader stopped", "its inverter hangs"
STATES: Final = (READ, STOPPED, HANGS)
ALLOWED: Final = 0.10
"""Share by which a p99 may differ."""
SETTLE: Final = 3.0
"""Seconds after a change of state before the line is measured: a start's work is over."""
PUSHES: Final = 5


class Bench:
    """A house on a measured line, and an inverter-reader that reads an inverter on a line of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.wire = stack.enter_context(Wire(build(folder)["wire"], folder, "ours"))
        house = stack.enter_context(House(folder / "house", [self.wire.port], probe=True))
        house.await_pushes(PUSHES)
        line = stack.enter_context(LineHandle(folder, name="other"))
        options = ("--modbus-port", "0", "--period", "5")
        self.inverter = stack.enter_context(PlenticoreHandle(folder, line=line, truth=None, options=options))
        self.reader = Service("inverter_reader", self._settings(house), folder)
        stack.callback(self.reader.kill)

    def _settings(self, house: House) -> str:
        broker = f'[mqtt]\nhost = "{house.broker.host}"\nport = {house.broker.port}\n'
        return f'{broker}[[inverter]]\nhost = "127.0.0.1"\nport = {self.inverter.modbus_port}\n'

    @contextmanager
    def state(self, name: str) -> Iterator[None]:
        """It is so for the `with` block."""
        if name == STOPPED:
            time.sleep(SETTLE)
            yield
            return
        known = self.reader.log_text().count("the inverter is read")
        with self.reader:
            self.reader.await_log("the inverter is read", times=known + 1)
            if name == HANGS:
                freeze(self.inverter.pid)
            time.sleep(SETTLE)
            yield
            if name == HANGS:
                os.kill(self.inverter.pid, signal.SIGCONT)

    def turnarounds(self, seconds: float) -> list[float]:
        """Of the answers of so many seconds, in seconds."""
        found = self.wire.run(seconds, 0.0, RANGES)
        return [one.turnaround for one in found if one.is_data and not one.disturbed]


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reader", description=__doc__)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each state in each turn")
    options = parser.parse_args()
    pooled: dict[str, list[float]] = {name: [] for name in STATES}
    with tempfile.TemporaryDirectory(prefix="reader-") as folder, ExitStack() as stack:
        bench = Bench(Path(folder), stack)
        for turn in range(options.turns):
            first = turn % len(STATES)
            for name in (*STATES[first:], *STATES[:first]):
                with bench.state(name):
                    pooled[name] += bench.turnarounds(options.seconds)
            print(f"turn {turn + 1}: " + "; ".join(_figures(name, pooled[name]) for name in STATES), flush=True)
    p99 = {name: percentile(samples, 0.99) or 0.0 for name, samples in pooled.items()}
    apart = {name: p99[name] / p99[READ] - 1 for name in STATES[1:]}
    print(*(f"{name}: p99 {share:+.1%}" for name, share in apart.items()), sep="\n")
    return int(any(abs(share) > ALLOWED for share in apart.values()))


def _figures(name: str, samples: list[float]) -> str:
    p50, p99 = (1000 * (percentile(samples, share) or 0.0) for share in (0.5, 0.99))
    return f"{name}: {len(samples)} answers, p50 {p50:.3f} ms, p99 {p99:.3f} ms"


if __name__ == "__main__":
    sys.exit(main())
