"""Measures what the shape of the bridge costs: a bare chain's CPU beside ours and pymodbus's, in turns [shell]."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.contenders import OURS, PYMODBUS, Contender
from benchmarks.house import House
from benchmarks.processes import cpu_seconds
from benchmarks.rounds import METER, PERIOD_MS, RANGES, REST
from benchmarks.wire import Wire
from ksem_simulators.simulator import KsemHandle
from tests.bridge.broker import free_port

BARE: Final = "bare chain"
_TURNS: Final = 3
_MODE: Final = "mixed"

Costs = Mapping[str, dict[str, float]]
"""By contender: CPU in ms a second without requests, in seconds for 1000 mixed transactions, and their number."""


def measure_costs(
    wire_program: Path,
    folder: Path,
    house: House,
    contenders: Sequence[Contender],
    seconds: float,
    progress: Callable[[str], None],
) -> Costs:
    """Of `contenders` ours and pymodbus's server, and a bare chain with a meter of its own on the same broker."""
    house.change_meter(METER[REST])
    house.await_pushes()
    with _bare_chain(wire_program, folder, house.broker.port) as bare:
        turning = [bare, *(one for one in contenders if one.name in {OURS, PYMODBUS})]
        idle, busy, count = ({one.name: 0.0 for one in turning} for _ in range(3))
        for number in range(_TURNS):
            progress(f"the bare chain's cost, {number + 1} of {_TURNS}")
            before = {one.name: cpu_seconds(one.pids) for one in turning}
            time.sleep(seconds)  # what is measured is doing nothing
            for one in turning:
                idle[one.name] += cpu_seconds(one.pids) - before[one.name]
            for one in turning[number % len(turning) :] + turning[: number % len(turning)]:
                cpu = cpu_seconds(one.pids)
                exchanges = one.wire.run(seconds, PERIOD_MS[_MODE], RANGES[_MODE])
                busy[one.name] += cpu_seconds(one.pids) - cpu
                count[one.name] += sum(exchange.is_data for exchange in exchanges)
    return {
        one.name: {
            "idle_ms_s": round(1000 * idle[one.name] / (_TURNS * seconds), 2),
            "mixed_s_1000": round(1000 * busy[one.name] / count[one.name], 4),
            "transactions": count[one.name],
        }
        for one in turning
    }


@contextmanager
def _bare_chain(wire_program: Path, folder: Path, broker: int) -> Iterator[Contender]:
    port = free_port()
    home = folder / "bare"
    home.mkdir()
    with ExitStack() as stack:
        wire = stack.enter_context(Wire(wire_program, home, "bare"))

        def start(*words: str | Path | int) -> int:
            program = [sys.executable, "-m", "benchmarks.bare_chain", *map(str, words)]
            process = stack.enter_context(subprocess.Popen(program))
            stack.callback(process.kill)
            return process.pid

        pids = start("publisher", port, broker), start("server", broker, wire.port)
        stack.enter_context(KsemHandle(home, push=("127.0.0.1", port)))
        wire.begin_until_data(10)
        assert wire.first_data() is not None, "the bare chain does not answer"
        yield Contender(BARE, wire, pids)
