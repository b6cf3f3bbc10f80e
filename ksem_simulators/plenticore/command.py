"""Defines the inverter's command line, and carries out commands from its control socket [shell]."""

import argparse
import contextlib
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from ksem_simulators.line.wire_log import TO_CLIENT, TO_SERVER
from ksem_simulators.plenticore.answer import bursts
from ksem_simulators.plenticore.belief import BeliefPlan
from ksem_simulators.plenticore.exchange import LineClient, PortGone, RtuPort
from ksem_simulators.plenticore.inverter import Inverter
from ksem_simulators.plenticore.modbus_server import InverterServer
from ksem_simulators.plenticore.plan import LIMITS, Plan, parse_limits
from ksem_simulators.plenticore.replay import ReplayInverter
from ksem_simulators.process import (
    ControlServer,
    add_common,
    add_replay,
    announce,
    cpu_seconds,
    exact_sleep,
    follow_parent,
    summarise,
)
from ksem_simulators.recording import Recording
from modbus_codec.crc import append_crc
from service_runtime.clock import boottime

_COMMANDS: Final = """\
commands on --control (JSON lines):
  {"do":"status"}                                        all counts and times so far
  {"do":"reset"}                                         the same, then counts from zero
  {"do":"await","outcome":"good","count":3,"seconds":5}  answers when that many more came, with the time it took
  {"do":"plan","ranges":"512-611","period":0}            unit function ranges period gap timeout detect limits
  {"do":"pause"}  {"do":"resume"}                        no requests, requests again
  {"do":"raw","frames":[{"hex":"0103...","gap_ms":2}],"listen_ms":300,"crc":true}
                                                         sends exactly this, returns what came back and when
  {"do":"replay","at":1234.5}                            with --replay-waits: begin at this CLOCK_BOOTTIME
  {"do":"words"}                                         the registers last received, by range
  {"do":"believe","factor":1.05}                         what it makes of them: delay wrong_sign swapped_phases frozen
                                                         factor deadband kind energy_manager power_limit
  {"do":"modbus","on":false}                             its Modbus TCP server: on order one_client answer_after
outcomes: good wrong torn stale late foreign broken timeout exception-N; data where no --truth is given
"""


def run(arguments: list[str]) -> int:
    """Parses the command line and polls until it is ended. Exit code 1: an answer was wrong, torn, stale or late."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        plan = Plan(
            unit=options.unit,
            period=options.period,
            gap=options.gap,
            timeout=options.timeout,
            detect=not options.no_detect,
        ).changed({"ranges": options.ranges, "limits": parse_limits(options.limit)})
    except ValueError as error:
        parser.error(str(error))
    log = options.log.open("w", encoding="ascii", buffering=1) if options.log else None
    inverter = _inverter(options, plan, log, parser)
    inverter.paused = options.paused

    def stop(*_: object) -> None:
        inverter.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    exact_sleep()
    server = _modbus_server(options, inverter, parser)
    commands = Commands(inverter, boottime(), server)
    control = ControlServer(options.control, commands.handle) if options.control else None
    if control:
        control.start()
    if options.with_parent:
        follow_parent(signal.SIGTERM)
    if options.seconds:
        timer = threading.Timer(options.seconds, inverter.stop)
        timer.daemon = True
        timer.start()
    announce(port=options.port, **({"modbus_port": server.port} if server else {}))
    inverter.run()
    if control:
        control.close()
    if log:
        log.close()
    summary = commands.status()
    summarise(summary)
    return int(
        any(summary["outcomes"].get(bad) for bad in ("wrong", "torn", "stale", "late", "foreign"))
        or summary["late_frames"] > 0
    )


def _inverter(
    options: argparse.Namespace, plan: Plan, log: IO[str] | None, parser: argparse.ArgumentParser
) -> Inverter:
    rest = (lambda: RtuPort(options.port, options.baudrate), options.baudrate, options.truth, options.wire_log, log)
    if options.replay is None:
        return Inverter(plan, *rest)
    try:
        requests = Recording.load(options.replay).requests
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if not requests:
        parser.error(f"{options.replay}: it holds no request of an inverter")
    inverter = ReplayInverter(requests, plan, *rest)
    if not options.replay_waits:
        inverter.begin(boottime())
    return inverter


def _modbus_server(
    options: argparse.Namespace, inverter: Inverter, parser: argparse.ArgumentParser
) -> InverterServer | None:
    """The inverter's own Modbus TCP server, where --modbus-port is given."""
    try:
        inverter.belief.plan = BeliefPlan(
            delay=options.believes_after,
            wrong_sign="wrong-sign" in options.believes,
            swapped_phases="swapped-phases" in options.believes,
            frozen="frozen" in options.believes,
            factor=options.believes_factor,
            deadband=options.believes_beyond,
            kind=options.meter_kind,
        )
    except ValueError as error:
        parser.error(str(error))
    if options.modbus_port is None:
        return None
    server = InverterServer(
        inverter.belief,
        options.modbus_host,
        options.modbus_port,
        order=options.byte_order,
        answer_after=(options.answer_after[0], options.answer_after[1]),
        one_client=options.one_client,
    )
    server.switch_on()
    if options.modbus_off:
        server.switch_off()
    return server


def _add_modbus(parser: argparse.ArgumentParser) -> None:
    """Options of the inverter's own Modbus TCP server, and of what it shows there."""
    group = parser.add_argument_group("the inverter's own Modbus TCP server (unit 71)")
    group.add_argument("--modbus-port", type=int, metavar="PORT", help="serve there; 0 chooses one (default: none)")
    group.add_argument("--modbus-host", default="127.0.0.1", metavar="ADDRESS", help="default %(default)s")
    group.add_argument("--modbus-off", action="store_true", help="refuse until switched on by --control")
    group.add_argument("--byte-order", choices=("little", "big"), default="little", help="default %(default)s")
    group.add_argument("--one-client", action="store_true", help="turn a second client away")
    group.add_argument(
        "--answer-after", type=float, nargs=2, default=(0.02, 0.06), metavar="S", help="shortest and longest time"
    )
    faults = ("wrong-sign", "swapped-phases", "frozen")
    group.add_argument("--believes", action="append", choices=faults, default=[], help="a fault; more than once")
    group.add_argument("--believes-factor", type=float, default=1.0, metavar="X", help="1.05: 5 %% too much power")
    group.add_argument(
        "--believes-beyond",
        type=float,
        default=0.0,
        metavar="W",
        help="show new values only once a power has changed by so much",
    )
    group.add_argument("--believes-after", type=float, default=0.4, metavar="S", help="its own delay (default 0.4)")
    group.add_argument("--meter-kind", type=int, default=3, metavar="N", help="register 1082 (default 3, a KSEM)")


def _parser() -> argparse.ArgumentParser:
    default: Any = Plan()
    parser = argparse.ArgumentParser(
        prog="python -m ksem_simulators plenticore",
        description="A simulated Plenticore: reads 8244 until it is answered, then the live values in cycles.",
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", required=True, metavar="PATH", help="serial port")
    parser.add_argument("--baudrate", type=int, default=38400, help="as the line's (default %(default)s); 0 = unpaced")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="what the simulated meter sent; without, not judged")
    parser.add_argument("--wire-log", type=Path, metavar="FILE", help="the line's log: exact times")
    parser.add_argument("--log", type=Path, metavar="FILE", help="a JSON line for each request")
    parser.add_argument("--unit", type=int, default=default.unit)
    parser.add_argument("--ranges", default="0-27,40-145", help="polled in each cycle (default %(default)s)")
    parser.add_argument("--period", type=float, default=default.period, metavar="S", help="of a cycle (0: no pause)")
    parser.add_argument("--gap", type=float, default=default.gap, metavar="S", help="silence between requests")
    parser.add_argument("--timeout", type=float, default=default.timeout, metavar="S", help="for an answer's begin")
    parser.add_argument("--limit", default="", metavar="NAME=S,...", help=f"oldest allowed (default {LIMITS})")
    add_replay(parser)
    parser.add_argument("--no-detect", action="store_true", help="do not poll 8244 first")
    parser.add_argument("--paused", action="store_true", help="poll nothing until a command resumes it")
    parser.add_argument("--seconds", type=float, default=0.0, help="end by itself")
    _add_modbus(parser)
    add_common(parser)
    return parser


class Commands:
    """The commands of one inverter."""

    def __init__(self, inverter: Inverter, started: float, server: InverterServer | None = None) -> None:
        self._inverter = inverter
        self._server = server
        self._started = started
        self._known: dict[str, Callable[..., dict[str, Any]]] = {
            "status": self.status,
            "reset": self._reset,
            "await": self._await,
            "plan": self._plan,
            "pause": self._pause,
            "resume": self._resume,
            "raw": self._raw,
            "words": self._words,
            "replay": self._replay,
            "believe": self._believe,
            "modbus": self._modbus,
        }

    def handle(self, do: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Carries out a command; ValueError or TypeError names what is wrong with it."""
        if do not in self._known:
            raise ValueError(f"command {do!r}: {', '.join(self._known)}")
        return self._known[do](**parameters)

    def status(self) -> dict[str, Any]:
        """All counts and times."""
        inverter = self._inverter
        first = inverter.first_good
        with inverter.changed:
            tally = inverter.tally.as_dict()
        return tally | {
            "recognised": inverter.recognised,
            "first_good_s": None if first is None else round(first - self._started, 3),
            "late_frames": inverter.late_frames,
            "noise_bytes": inverter.noise_bytes,
            "without_wire_times": inverter.without_wire_times,
            "port": {"opened": inverter.port_opened, "lost": inverter.port_lost},
            "cpu_s": cpu_seconds(),
        }

    def _reset(self) -> dict[str, Any]:
        status = self.status()
        with self._inverter.changed:
            self._inverter.reset()
        return status

    def _await(self, outcome: str = "good", count: int = 1, seconds: float = 10.0) -> dict[str, Any]:
        """Waits until so many more transactions had this outcome; returns what came meanwhile, and whether it is so."""
        inverter, begun = self._inverter, boottime()
        seen: Counter[str] = Counter()
        with inverter.changed:
            number = inverter.number
            while seen[outcome] < count and (left := begun + seconds - boottime()) > 0:
                inverter.changed.wait(left)
                for one in inverter.recent:
                    if one.number > number:
                        seen[one.outcome] += 1
                number = inverter.number
        return {"reached": seen[outcome] >= count, "after_s": round(boottime() - begun, 3), "outcomes": dict(seen)}

    def _plan(self, **changes: Any) -> dict[str, Any]:
        self._inverter.plan = self._inverter.plan.changed(changes)
        return {"ranges": [str(span) for span in self._inverter.plan.ranges]}

    def _pause(self) -> dict[str, Any]:
        self._inverter.paused = True
        return self._when_idle()

    def _resume(self) -> dict[str, Any]:
        self._inverter.paused = False
        return self._when_idle()

    def _when_idle(self) -> dict[str, Any]:
        with contextlib.suppress(PortGone):
            self._inverter.between_requests(lambda _: {}).result(10.0)
        return {}

    def _replay(self, at: float) -> dict[str, Any]:
        self._inverter.begin(float(at))
        return {}

    def _words(self) -> dict[str, Any]:
        return {"words": {name: list(registers) for name, registers in self._inverter.registers.items()}}

    def _believe(self, **changes: Any) -> dict[str, Any]:
        belief = self._inverter.belief
        belief.plan = belief.plan.changed(changes)
        return {"values": belief.values(boottime())}

    def _modbus(self, **changes: Any) -> dict[str, Any]:
        server = self._server
        if server is None:
            raise ValueError("modbus: it was started without --modbus-port")
        if unknown := changes.keys() - {"on", "order", "one_client", "answer_after"}:
            raise ValueError(f"{', '.join(sorted(unknown))}: known are on, order, one_client, answer_after")
        on = changes.pop("on", None)
        for name, value in changes.items():
            setattr(server, name, value)
        if on is not None:
            (server.switch_on if on else server.switch_off)()
        return server.status()

    def _raw(self, frames: list[dict[str, Any]], listen_ms: float = 300.0, *, crc: bool = False) -> dict[str, Any]:
        plain = []
        for frame in frames:
            data = bytes.fromhex(frame["hex"])
            plain.append((append_crc(data) if crc else data, float(frame.get("gap_ms", 0.0)) / 1000.0))
        waiting = self._inverter.between_requests(lambda client: _send(client, plain, listen_ms / 1000.0))
        try:
            return waiting.result(10.0 + listen_ms / 1000.0 + sum(gap for _, gap in plain))
        except PortGone as error:
            raise ValueError(f"the port went away: {error}") from None


def _send(client: LineClient, frames: list[tuple[bytes, float]], listen: float) -> dict[str, Any]:
    """`heard`: what the server sent, with begin and end in ms since the first byte began; `after_ms`: since the end of
    what the client had sent before it. `held_up_ms`: by how much the line handed a byte to the server late.
    """
    sent, received, on_wire = client.send(frames, listen)
    requested = bursts(on_wire, TO_SERVER, client.character)
    answers = bursts(on_wire, TO_CLIENT, client.character)
    begin = requested[0].start if requested else sent
    held_up = max((byte.delivered - byte.owed for byte in on_wire if byte.direction == TO_SERVER), default=0.0)
    return {
        "held_up_ms": _ms(held_up),
        "received": received.hex(),
        "asked": [
            {"hex": one.data.hex(), "start_ms": _ms(one.start - begin), "end_ms": _ms(one.end - begin)}
            for one in requested
        ],
        "heard": [
            {
                "hex": one.data.hex(),
                "start_ms": _ms(one.start - begin),
                "end_ms": _ms(one.end - begin),
                "after_ms": _ms(one.start - max((a.end for a in requested if a.end <= one.start), default=begin)),
            }
            for one in answers
        ],
    }


def _ms(seconds: float) -> float:
    return round(1000.0 * seconds, 3)
