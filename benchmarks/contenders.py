"""Starts the servers that are measured on the line [shell]."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.house import House
from benchmarks.wire import Wire

OURS: Final = "airbridge"
REFERENCE: Final = "reference"
AGAIN: Final = "reference again"
AT_ONCE: Final = "at once (C)"
LIBMODBUS: Final = "libmodbus (C)"
PYMODBUS: Final = "pymodbus"
NAMES: Final = (AT_ONCE, REFERENCE, OURS, AGAIN, LIBMODBUS, PYMODBUS)
ABOUT: Final = {
    AT_ONCE: "constant bytes, answered at once: the machine's and the bench's own time",
    REFERENCE: "constant bytes in C, t3.5 kept: the limit",
    AGAIN: "the reference's process once more: its distance from the reference is noise",
    OURS: "ksem-publisher, mosquitto, rtu-server",
    LIBMODBUS: "its manual's server, constant registers",
    PYMODBUS: "its newest serial server, constant registers",
}


@dataclass
class Contender:
    """A server on a line of its own."""

    name: str
    wire: Wire
    pids: tuple[int, ...]


@contextmanager
def all_contenders(programs: dict[str, Path], folder: Path, house: House, wire: Wire) -> Iterator[list[Contender]]:
    """All of them at once, each waiting on its own line for a request; `house` is up on `wire`."""
    with ExitStack() as stack:
        commands: dict[str, Sequence[str | Path]] = {
            AT_ONCE: (programs["reference"], "at-once"),
            REFERENCE: (programs["reference"], "t3.5"),
            LIBMODBUS: (programs["libmodbus_server"],),
            PYMODBUS: (sys.executable, "-m", "benchmarks.pymodbus_server"),
        }
        contenders = {OURS: Contender(OURS, wire, house.pids)}
        for name, command in commands.items():
            line = stack.enter_context(Wire(programs["wire"], folder, name.partition(" ")[0]))
            words = [command[0], line.port, *command[1:]] if name != PYMODBUS else [*command, line.port]
            process = stack.enter_context(subprocess.Popen(words))
            stack.callback(process.kill)
            contenders[name] = Contender(name, line, (process.pid,))
        contenders[AGAIN] = Contender(AGAIN, contenders[REFERENCE].wire, contenders[REFERENCE].pids)
        for contender in contenders.values():
            contender.wire.begin_until_data(10)
            assert contender.wire.first_data() is not None, f"{contender.name} does not answer"
        yield [contenders[name] for name in NAMES]
