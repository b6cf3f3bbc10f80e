"""The line's command line [shell]."""

import argparse
import gc
import os
import signal
import sys
from pathlib import Path
from typing import Final

from ksem_simulators.control import ControlServer
from ksem_simulators.line.commands import Commands
from ksem_simulators.line.frame_faults import KINDS
from ksem_simulators.line.loop import LineLoop, open_trace
from ksem_simulators.line.pty_end import PtyEnd
from ksem_simulators.line.wire_log import TO_CLIENT, WireLogWriter
from ksem_simulators.process import add_common, announce, exact_sleep, follow_parent, summarise

_COMMANDS: Final = """\
commands on --control (JSON lines); "to" is "server", "client" or "both" (default server):
  {"do":"status"}                                             counters, own lateness, CPU seconds
  {"do":"fault","kind":"flip","to":"server","at":7,"times":1} a fault on the next frames (without times: on all)
  {"do":"inject","to":"both","hex":"0203..."}                 bytes from nobody on the line, now
  {"do":"unplug","end":"server","seconds":3}                  the port goes (without seconds: for good)
  {"do":"plug","end":"server"}                                a new port under the same name
  {"do":"echo","on":true}                                     the server hears its own bytes
  {"do":"grain","ms":16,"to":"server"}                        bytes arrive in batches, as from a USB adapter
  {"do":"stall","seconds":2}                                  the server's bytes are not taken: its buffer fills up
  {"do":"clear"}                                              faults, echo, grain and stall end
faults:
""" + "\n".join(f"  {name:10} {what}" for name, what in KINDS.items())


def run(arguments: list[str]) -> int:
    """Parses the command line and joins the two ends until it is told to end."""
    options = _parser().parse_args(arguments)
    server, client = PtyEnd(options.server), PtyEnd(options.client)
    trace = open_trace(options.trace)
    log = WireLogWriter(options.wire_log) if options.wire_log else None
    loop = LineLoop(server, client, options.baudrate, log, trace)

    def stop(*_: object) -> None:
        loop.running = False
        loop.wake()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    exact_sleep()
    if options.realtime:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(options.realtime))
    # Other threads run for microseconds only; the collector would run when it likes, and there are no cycles to find.
    sys.setswitchinterval(0.0005)
    gc.freeze()
    gc.disable()
    loop.directions[TO_CLIENT].lane.batch = options.client_batch
    loop.plug(server)
    loop.plug(client)
    commands = Commands(loop)
    control = ControlServer(options.control, commands.handle) if options.control else None
    if control:
        control.start()
    if options.with_parent:
        follow_parent(signal.SIGTERM)
    announce(server=str(server.path), client=str(client.path))
    loop.run()
    server.unplug()
    client.unplug()
    if control:
        control.close()
    if trace:
        trace.close()
    summarise(commands.status())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ksem_simulators line",
        description="A simulated RS485 line: two ptys, each byte delivered when it would be on a real wire.",
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--server", type=Path, required=True, metavar="PATH", help="port of the meter's stand-in")
    parser.add_argument("--client", type=Path, required=True, metavar="PATH", help="port of the inverter")
    parser.add_argument("--baudrate", type=int, default=38400, help="8N2 (default %(default)s); 0 = unpaced")
    parser.add_argument(
        "--client-batch", type=int, default=1, metavar="N", help="hand N bytes at once to the client: less CPU"
    )
    parser.add_argument("--wire-log", type=Path, metavar="FILE", help="when each byte was on the wire, for plenticore")
    parser.add_argument("--trace", type=Path, metavar="FILE", help="the same as text, a line a byte")
    parser.add_argument("--realtime", type=int, default=0, metavar="PRIO", help="SCHED_FIFO priority (needs rights)")
    add_common(parser)
    return parser
