"""Defines the line's command line, and carries out commands from its control socket [shell]."""

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ksem_simulators.line.direction import KINDS, FrameFault
from ksem_simulators.line.loop import LineLoop, PtyEnd, open_trace
from ksem_simulators.line.wire_log import TO_CLIENT, TO_SERVER, WireLogWriter
from ksem_simulators.process import (
    ControlServer,
    add_common,
    announce,
    cpu_seconds,
    exact_sleep,
    follow_parent,
    summarise,
)

_COMMANDS: Final = """\
commands on --control (JSON lines); "to" is "server", "client" or "both" (default server):
  {"do":"status"}                                             counters, own lateness, CPU seconds
  {"do":"fault","kind":"flip","to":"server","at":7,"times":1} a fault on the next frames (without times: on all)
  {"do":"inject","to":"both","hex":"0203..."}                 bytes from nobody on the line, now
  {"do":"unplug","end":"server","seconds":3}                  the port goes (without seconds: for good)
  {"do":"plug","end":"server"}                                a new port under the same name
  {"do":"echo","on":true}                                     the server receives its own bytes
  {"do":"grain","ms":16,"to":"server"}                        bytes arrive in batches, as from a USB adapter
  {"do":"stall","seconds":2}                                  the server's bytes are not taken: its buffer fills up
  {"do":"clear"}                                              faults, echo, grain and stall end
faults:
""" + "\n".join(f"  {name:10} {what}" for name, what in KINDS.items())


def run(arguments: list[str]) -> int:
    """Parses the command line and joins the two ends until a signal or a command ends it."""
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
    loop.directions[TO_CLIENT].pacer.batch = options.client_batch
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


_TOWARDS: Final = {"server": (TO_SERVER,), "client": (TO_CLIENT,), "both": (TO_SERVER, TO_CLIENT)}


class Commands:
    """The commands of one line, carried out in its loop's thread."""

    def __init__(self, loop: LineLoop) -> None:
        self._loop = loop
        self._known: dict[str, Callable[..., dict[str, Any]]] = {
            "status": self.status,
            "fault": self._fault,
            "inject": self._inject,
            "unplug": self._unplug,
            "plug": self._plug,
            "echo": self._echo,
            "grain": self._grain,
            "stall": self._stall,
            "clear": self._clear,
        }

    def handle(self, do: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Carries out a command; ValueError or TypeError names what is wrong with it."""
        if do not in self._known:
            raise ValueError(f"command {do!r}: {', '.join(self._known)}")
        return self._loop.call(lambda: self._known[do](**parameters))

    def status(self) -> dict[str, Any]:
        """All counters, and the line's own lateness."""
        return {
            **self._loop.counters.as_dict(),
            "faulted_frames": [direction.faults.hits for direction in self._loop.directions],
            "plugged": {"server": self._loop.server.is_plugged, "client": self._loop.client.is_plugged},
            "cpu_s": cpu_seconds(),
        }

    def _fault(self, kind: str, to: str = "server", **parameters: Any) -> dict[str, Any]:
        for number in _towards(to):
            self._loop.directions[number].faults.add(FrameFault.of(kind, parameters))
        return {}

    def _inject(self, hex: str, to: str = "server") -> dict[str, Any]:  # noqa: A002 - the word of the command
        data = bytes.fromhex(hex)
        for number in _towards(to):
            self._loop.inject(number, data)
        return {}

    def _unplug(self, end: str = "server", seconds: float | None = None) -> dict[str, Any]:
        port = self._end(end)
        self._loop.unplug(port)
        if seconds is not None:
            self._loop.later(seconds, lambda: self._loop.plug(port))
        return {}

    def _plug(self, end: str = "server") -> dict[str, Any]:
        self._loop.plug(self._end(end))
        return {}

    def _echo(self, *, on: bool = True) -> dict[str, Any]:
        self._loop.echo = on
        return {}

    def _grain(self, ms: float, to: str = "server") -> dict[str, Any]:
        for number in _towards(to):
            for pacer, _ in self._loop.directions[number].pacers:
                pacer.grain = ms / 1000.0
        return {}

    def _stall(self, seconds: float) -> dict[str, Any]:
        self._loop.stall(seconds)
        return {}

    def _clear(self) -> dict[str, Any]:
        self._loop.echo = False
        self._loop.stall(0.0)
        for direction in self._loop.directions:
            direction.faults.clear()
            for pacer, _ in direction.pacers:
                pacer.grain = 0.0
        return {}

    def _end(self, name: str) -> PtyEnd:
        if name not in {"server", "client"}:
            raise ValueError(f"end {name!r}: server or client")
        return self._loop.server if name == "server" else self._loop.client


def _towards(name: str) -> tuple[int, ...]:
    if name not in _TOWARDS:
        raise ValueError(f"to {name!r}: {', '.join(_TOWARDS)}")
    return _TOWARDS[name]
