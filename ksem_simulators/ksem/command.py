"""Defines the meter's command line [shell]."""

import argparse
import asyncio
import ipaddress
import signal
import ssl
from pathlib import Path
from typing import Any, Final

from ksem_contract.blocks import PUSH_GROUPS
from ksem_simulators.ksem.meter import FIRMWARE_WORDS, Meter, MeterSettings
from ksem_simulators.ksem.push_plan import ENERGY_SPLITS, SPLITS, PushSettings
from ksem_simulators.ksem.pusher import Pusher
from ksem_simulators.ksem.replay import ReplayMeter, ReplayPusher, ReplayService
from ksem_simulators.ksem.server import FAULTS, MeterServer
from ksem_simulators.ksem.service import KsemService
from ksem_simulators.process import (
    ControlServer,
    add_common,
    add_replay,
    announce,
    exact_sleep,
    follow_parent,
    summarise,
)
from ksem_simulators.recording import Recording
from ksem_simulators.truth import TruthWriter
from service_runtime.clock import boottime

_COMMANDS: Final = """\
commands on --control (JSON lines); of several meters "meter":N names one, else all obey and the first answers:
  {"do":"status"}                               what it measures, its counters, CPU seconds
  {"do":"push","enabled":false}                 any push setting: enabled silent groups split energy_split interval gap
                                                second_half jitter offset order pipeline unit connections reconnect
  {"do":"poll","open":false}                    connections to the Modbus port are refused
  {"do":"fault","name":"late","seconds":3}      reads go wrong; "only":"512-791" and "times":1 limit it
  {"do":"reboot","gone":2,"zero":3}             off, then up with 0 Hz, then well
  {"do":"freeze","on":true}                     cycles go on with the same values
  {"do":"counters-back","counts":10000}         energy counters step back (0.1 Wh)
  {"do":"firmware","version":"2.5.0"}           8195 and the SunSpec layout change
  {"do":"kettle","seconds":60}                  2 kW on L2
  {"do":"drop-connections"}                     all TCP connections are cut
  {"do":"clear"}                                faults of polling and freezing end
  {"do":"replay","at":1234.5}                   with --replay-waits: begin at this moment of CLOCK_BOOTTIME
faults:
""" + "\n".join(f"  {name:18} {what}" for name, what in FAULTS.items())


def run(arguments: list[str]) -> int:
    """Parses the command line and runs the meter until a signal or a command ends it."""
    options = _parser().parse_args(arguments)
    try:
        settings = PushSettings(
            groups=tuple(options.groups.split(",")),
            split=options.split,
            energy_split=options.energy_split,
            interval=options.interval,
            gap=options.gap / 1000.0,
            second_half=options.second_half / 1000.0,
            jitter=options.jitter / 1000.0,
            offset=options.offset / 1000.0,
            order=options.order,
            pipeline=options.pipeline,
            unit=options.unit,
            connections=options.connections,
            reconnect=options.reconnect,
        )
    except ValueError as error:
        _parser().error(str(error))
    return asyncio.run(_run(options, settings))


async def _run(options: argparse.Namespace, push: PushSettings) -> int:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    services: list[KsemService] | list[ReplayService]
    if options.replay is not None:
        try:
            services = [_replay_service(options)]
        except (OSError, ValueError) as error:
            _parser().error(str(error))
    else:
        services = [_service(options, push, index) for index in range(options.count)]
    if not options.closed:
        for service in services:
            await service.server.open()

    def handle(do: str, parameters: dict[str, Any]) -> dict[str, Any]:
        chosen = services[int(parameters.pop("meter"))] if "meter" in parameters else None
        answers = [
            asyncio.run_coroutine_threadsafe(service.command(do, parameters), loop).result(20.0)
            for service in ([chosen] if chosen else services)
        ]
        return answers[0]

    control = ControlServer(options.control, handle) if options.control else None
    if control:
        control.start()
    if options.with_parent:
        follow_parent(signal.SIGTERM)
    announce(host=options.host, port=services[0].server.port, truth=str(options.truth))
    await asyncio.gather(*(service.run(stop) for service in services))
    if control:
        control.close()
    summarise(await services[0].command("status", {}))
    return 0


def _service(options: argparse.Namespace, push: PushSettings, index: int) -> KsemService:
    """One meter; those after the first have the next addresses, seeds and truth files."""
    host = str(ipaddress.ip_address(options.host) + index) if index else options.host
    path = options.truth.with_name(f"{options.truth.name}.{index}") if index else options.truth
    settings = MeterSettings(
        seed=options.seed + index,
        cycle_ms=options.cycle,
        time_of_day=_time_of_day(options.time_of_day),
        speed=options.speed,
        firmware=options.firmware,
        energy_flow=options.energy_flow,
        constant_load=options.constant_load,
    )
    meter = Meter(settings, TruthWriter(path, cycles=options.truth_cycles), boottime())
    server = MeterServer(meter, host, options.port, _tls(options))
    pushers = [Pusher(meter, _host_port(text), host, push) for text in options.push]
    return KsemService(meter, server, pushers, later=options.cycle / 1000.0 * index / options.count)


def _replay_service(options: argparse.Namespace) -> ReplayService:
    """A meter that replays a recording. OSError or ValueError for a file that is none."""
    recording = Recording.load(options.replay)
    if not recording.registers:
        raise ValueError(f"{options.replay}: it holds no register of a meter")
    exact_sleep()
    meter = ReplayMeter(recording)
    server = MeterServer(meter, options.host, options.port, _tls(options))
    pushers = [ReplayPusher(meter, _host_port(text), options.host) for text in options.push]
    service = ReplayService(meter, server, pushers)
    if not options.replay_waits:
        service.begin(boottime())
    return service


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    if not options.tls:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.tls_cert, options.tls_key)
    return context


def _time_of_day(text: str) -> float:
    hours, _, minutes = text.partition(":")
    return int(hours) * 3600.0 + int(minutes or 0) * 60.0


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ksem_simulators ksem",
        description="A simulated KOSTAL Smart Energy Meter G2.",
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="own address, also of its pushes (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="Modbus TCP port, 0 = any free one (a real one has 502)")
    parser.add_argument("--closed", action="store_true", help="start with the Modbus port closed")
    parser.add_argument("--tls", action="store_true", help="TLS only, as a real one does on port 802")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE")
    parser.add_argument("--tls-key", type=Path, metavar="FILE")
    add_replay(parser)
    parser.add_argument("--truth", type=Path, required=True, metavar="FILE", help="records what was sent, and when")
    parser.add_argument("--truth-cycles", type=int, default=16_384, help="cycles kept in it (default %(default)s)")
    parser.add_argument(
        "--count",
        type=int,
        default=1,
        help="so many meters in one process, on addresses from --host on; FILE.1, FILE.2",
    )
    parser.add_argument("--seed", type=int, default=1, help="another household (default %(default)s)")
    parser.add_argument(
        "--cycle", type=int, default=200, metavar="MS", help="measuring cycle, 8244 (200; real: 200, 500)"
    )
    parser.add_argument(
        "--time-of-day", default="9:00", metavar="H:MM", help="when the day begins (default %(default)s)"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds a second (default %(default)s)")
    parser.add_argument(
        "--constant-load",
        type=float,
        metavar="W",
        help="take so much from the grid all the time, as at night; voltages and frequency still move",
    )
    parser.add_argument("--firmware", default="2.6.0", choices=tuple(FIRMWARE_WORDS))
    parser.add_argument("--energy-flow", action="store_true", help="registers 40972-41012 are there, too")
    push = parser.add_argument_group("pushing (Modbus TCP master mode)")
    push.add_argument("--push", action="append", default=[], metavar="HOST:PORT", help="a receiver; may be repeated")
    push.add_argument("--groups", default="total,phases", help=f"of {', '.join(PUSH_GROUPS)} (default %(default)s)")
    push.add_argument("--split", default="groups", help=f"{', '.join(SPLITS)}, or ranges like 0-27,40-145")
    push.add_argument("--energy-split", default="halves", help=f"{', '.join(ENERGY_SPLITS)}, or ranges")
    push.add_argument("--interval", type=float, default=0.0, metavar="S", help="0 = each cycle, or 0.02 to 60 s")
    push.add_argument("--gap", type=float, default=0.0, metavar="MS", help="between the writes of a cycle")
    push.add_argument("--second-half", type=float, default=0.0, metavar="MS", help="extra wait in a cycle's middle")
    push.add_argument("--jitter", type=float, default=0.0, metavar="MS", help="pushes begin up to so much later")
    push.add_argument("--offset", type=float, default=0.0, metavar="MS", help="pushes begin so long after the cycle")
    push.add_argument("--order", default="up", choices=("up", "down", "shuffled"))
    push.add_argument("--pipeline", action="store_true", help="do not wait for answers between writes")
    push.add_argument("--unit", type=int, default=1, help="unit id of the writes (1 or 255 are likely)")
    push.add_argument("--connections", type=int, default=1, help="writes take turns over so many connections")
    push.add_argument("--reconnect", action="store_true", help="a new connection for each cycle")
    add_common(parser)
    return parser
