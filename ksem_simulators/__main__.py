"""Runs `python -m ksem_simulators ksem|line|plenticore`."""

import sys
from typing import Final

_HELP: Final = """\
usage: python -m ksem_simulators ksem|line|plenticore [options]

  ksem        a KOSTAL Smart Energy Meter: Modbus TCP server, pushes its registers, has a household day and faults
  line        an RS485 line: two ptys joined at true speed, with noise, silence, echo, unplugging
  plenticore  an inverter: polls over a serial port, checks each answer against what the meter sent, and when

Each has --help. All print a line when they are ready, take commands on --control, end on SIGTERM.
A whole chain by hand, in four terminals:

  python -m ksem_simulators line --server /tmp/server --client /tmp/inverter --wire-log /tmp/wire
  python -m ksem_simulators ksem --port 1502 --push localhost:5020 --truth /tmp/truth
  (ksem-publisher and rtu-server, with host = "127.0.0.1", port = 1502 and port = "/tmp/server" in their settings)
  python -m ksem_simulators plenticore --port /tmp/inverter --truth /tmp/truth --wire-log /tmp/wire --seconds 30
"""


def main() -> int:
    """Starts the simulator that the first argument names."""
    name, arguments = (sys.argv[1] if len(sys.argv) > 1 else "--help"), sys.argv[2:]
    # Imported on demand: the line needs no asyncio, the meter no serial port.
    if name == "ksem":
        from ksem_simulators.ksem.command import run as run_ksem  # noqa: PLC0415

        return run_ksem(arguments)
    if name == "line":
        from ksem_simulators.line.command import run as run_line  # noqa: PLC0415

        return run_line(arguments)
    if name == "plenticore":
        from ksem_simulators.plenticore.command import run as run_plenticore  # noqa: PLC0415

        return run_plenticore(arguments)
    wants_help = name in {"-h", "--help"}
    print(
        _HELP if wants_help else f"{name!r} is no simulator.\n\n{_HELP}", file=sys.stdout if wants_help else sys.stderr
    )
    return 0 if wants_help else 2


if __name__ == "__main__":
    sys.exit(main())
