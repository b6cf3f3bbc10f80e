"""Measures how long a meter waits for the answers to a cycle's writes, with native/pushing_meter.c [shell].

The simulated meter measures that as well, in Python, on the processor that also answers it: half of what it sees is its
own wake-up. So here a meter in C writes, with registers that the simulated one measured.
"""

import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.house import House
from ksem_contract.registers import RegisterRange
from ksem_simulators.ksem.meter import Meter, MeterSettings
from ksem_simulators.truth import Kind, TruthWriter
from modbus_codec.pdu import FunctionCode
from modbus_codec.tcp import encode_frame
from tests.bridge.broker import accepts, free_port

WRITES: Final = (RegisterRange(0, 28), RegisterRange(40, 106))
"""A cycle's, as the simulated meter pushes them."""
PERIOD_MS: Final = 200
_CYCLES: Final = 100
"""Repeated after 20 s: no two cycles near one another are alike."""
_UNIT: Final = 1
_LEARNING: Final = 10
"""The first cycles, from which the publisher learns what belongs together."""
_TURNS: Final = 3

Waits = dict[str, list[float]]
"""Seconds, by receiver."""
OURS: Final = "our"
EMPTY: Final = "empty"


def measure_waits(program: Path, folder: Path, house: House, seconds: float, progress: Callable[[str], None]) -> Waits:
    """What the publisher of `house`, and beside it a receiver that only acknowledges, make a meter wait, in turns."""
    meter = PushingMeter(program, folder)
    waits: Waits = {OURS: [], EMPTY: []}
    house.meter.command("push", enabled=False)
    with _empty_receiver() as empty:
        for number in range(_TURNS):
            progress(f"the meter's wait, {number + 1} of {_TURNS}")
            house.served_from()
            waits[OURS] += meter.waits_for(house.push_port, seconds / _TURNS)
            pushed = sum(by_push for _, _, by_push in house.served_from())
            assert pushed > _LEARNING, f"of what the meter in C pushes only {pushed} cycles are served"
            waits[EMPTY] += meter.waits_for(empty, seconds / _TURNS)
    house.meter.command("push", enabled=True)
    return waits


@contextmanager
def _empty_receiver() -> Iterator[int]:
    port = free_port()
    receiver = subprocess.Popen([sys.executable, "-m", "benchmarks.empty_receiver", str(port)])
    try:
        while not accepts("127.0.0.1", port):
            time.sleep(0.02)
        yield port
    finally:
        receiver.kill()
        receiver.wait()


class PushingMeter:
    """A meter in C. `waits_for` lets it push to a receiver for some seconds."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._cycles = folder / "pushed-cycles"
        self._cycles.write_bytes(_measured_cycles(folder / "pushed-cycles.truth"))

    def waits_for(self, port: int, seconds: float) -> list[float]:
        """Seconds for which each cycle's writes waited for their answers, without the first cycles."""
        log = self._folder / "pushed-waits"
        words = [str(self._program), str(port), str(self._cycles), str(log), str(PERIOD_MS), str(len(WRITES))]
        with subprocess.Popen(words) as meter:
            time.sleep(seconds + _LEARNING * PERIOD_MS / 1000)
            assert meter.poll() is None, f"the receiver on port {port} does not take pushes: exit {meter.returncode}"
            meter.kill()
        data = log.read_bytes()
        waits = array("d", data[: len(data) // 8 * 8])
        return waits[_LEARNING:].tolist()


def _measured_cycles(truth: Path) -> bytes:
    """The writes of some cycles of the simulated meter, one behind the other."""
    settings = MeterSettings()
    meter = Meter(settings, TruthWriter(truth, cycles=_CYCLES, snapshots=_CYCLES, statements=1000), 0.0)
    frames = []
    for number in range(_CYCLES):
        at = number * settings.cycle_ms / 1000
        reading = meter.measure(at)
        frames += [_write(wanted, meter.prepare(wanted, Kind.PUSH, at, reading).registers) for wanted in WRITES]
    return b"".join(frames)


def _write(place: RegisterRange, words: bytes) -> bytes:
    head = bytes((FunctionCode.WRITE_MULTIPLE_REGISTERS, *divmod(place.start, 256), *divmod(place.count, 256)))
    return encode_frame(0, _UNIT, head + bytes((2 * place.count,)) + words)
