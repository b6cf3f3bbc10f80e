"""`airbridge drill`: withholds data from the inverter on purpose, and watches what comes of it [shell].

It finds the running rtu-server and sends it a signal ten times a second.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer
from rich.console import Console

from airbridge.broker_options import CaFile, PasswordFile, broker_settings
from airbridge.demo.options import Address
from airbridge.doctor.gather_host import PLACES, find_processes, settings_of_this_host, takes_signal
from airbridge.drill.report import Belief, Drilled, report
from airbridge.drill.watch import BrokerWatch
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings

if TYPE_CHECKING:
    from airbridge.drill.direct_watch import DirectWatch

_PATIENCE: Final = 10.0


class NoServer(Exception):
    """There is no rtu-server that can be drilled; the text has the remedy."""


class ServerProcess:
    """One process. It is held by a file descriptor, so that no other one can take its place."""

    def __init__(self, pid: int) -> None:
        try:
            self._fd = os.pidfd_open(pid)
        except OSError as error:
            raise NoServer(f"process {pid}: {error.strerror}") from None
        self.pid = pid
        if not takes_signal(pid, signal.SIGUSR2, "SigCgt"):
            raise NoServer(f"process {pid} is no rtu-server that knows drills: upgrade it, and start it again")

    def withhold(self) -> bool:
        """Withhold data for another second; False where the process has ended."""
        try:
            signal.pidfd_send_signal(self._fd, signal.SIGUSR2)
        except ProcessLookupError:
            return False
        except PermissionError:
            raise NoServer("only root and the user of rtu-server may do this: run it with sudo") from None
        return True


def find_server(pid: int | None) -> ServerProcess:
    """The rtu-server of this host. NoServer where there is none, or more than one."""
    if pid is not None:
        return ServerProcess(pid)
    pids = [unit] if (unit := _main_pid()) else list(find_processes(["rtu-server"]))
    if not pids:
        raise NoServer("no rtu-server runs on this host: run this where the inverter's RS485 port is")
    if len(pids) > 1:
        raise NoServer(f"several rtu-servers run here, give one of them as --pid: {', '.join(map(str, pids))}")
    return ServerProcess(pids[0])


def _main_pid() -> int:
    """The main process of the unit; 0 where there is none."""
    command = ["systemctl", "show", "--value", "--property", "MainPID", "rtu-server"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return int(ran.stdout) if ran.stdout.strip().isdigit() else 0


MOST: Final = 30.0
"""Seconds of a drill at most; rtu-server keeps to it, too."""
HOLD: Final = 1.0
"""Seconds that rtu-server withholds data after one signal."""
_STEP: Final = 0.1
"""Seconds between two signals."""
_AFTERWARDS: Final = 12.0
"""Seconds after the end that are watched: rtu-server reports its counts every 10 s."""
_BEFORE: Final = 2.0
INVERTER_PORT: Final = 1502

_QUESTION: Final = """\
For {seconds:g} s the inverter gets no data from rtu-server (process {pid}), as if its meter were gone.
Nobody has published what a PLENTICORE does then. Expect that it reports a fault of its meter, shows 0, or stops
feeding in or discharging for a while. Data flows again by itself, also if this command or its terminal dies.
Begin?"""


def drill(
    seconds: Annotated[float, typer.Option(min=1.0, max=MOST, help="How long data is withheld.")] = 5.0,
    inverter: Annotated[
        str | None,
        typer.Option(
            metavar="HOST[:PORT]",
            help="Read the inverter itself meanwhile (Modbus TCP); else what inverter-reader publishes.",
        ),
    ] = None,
    unit: Annotated[int, typer.Option(min=1, max=255, help="Its Modbus unit id, for --inverter.")] = 71,
    yes: Annotated[bool, typer.Option("--yes", help="Begin without a question.")] = False,
    pid: Annotated[int | None, typer.Option(help="Process of rtu-server (default: the one of this host).")] = None,
    node: Annotated[str | None, typer.Option(help="Its node name, where several run at one broker.")] = None,
    broker: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="The broker (default: rtu-server's settings).")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Name to log in with.")] = None,
    password_file: PasswordFile = None,
    ca_file: CaFile = None,
    prefix: Annotated[str | None, typer.Option(help="The first part of every topic.")] = None,
    config: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Settings of rtu-server, for broker and login.")
    ] = None,
) -> None:
    """Withhold data from the inverter for some seconds, and report what it does without its meter.

    Run it as root on the host of rtu-server. It waits for your yes. The drill ends by itself after its time,
    after 30 s at most, and a second after this command dies. The report has the inverter's requests, the power
    that it believed, its energy manager's state, and how long it took to be itself again.

    Exit code: 0 the drill took place, 1 it ended early, 2 it could not begin.
    """
    try:
        mqtt = _mqtt(broker, user, password_file, ca_file, prefix, config)
        place = Address.parse(inverter, INVERTER_PORT) if inverter else None
        server = find_server(pid)
    except (ValueError, OSError, NoServer) as error:
        _refuse(str(error))
    if not yes and not typer.confirm(_QUESTION.format(seconds=seconds, pid=server.pid)):
        raise typer.Exit(2)
    with ExitStack() as stack:
        watch = stack.enter_context(BrokerWatch(mqtt))
        seen = stack.enter_context(_direct_watch(place, unit)).seen if place else watch.seen
        try:
            drilled = _drill(server, seconds, watch, seen, node)
        except NoServer as error:
            _refuse(str(error))
    for line in report(drilled):
        print(line)
    raise typer.Exit(1 if drilled.ended_early else 0)


def _drill(
    server: ServerProcess, seconds: float, watch: BrokerWatch, seen: Sequence[Belief], node: str | None
) -> Drilled:
    before = watch.await_health(node, 0.0, _BEFORE)
    time.sleep(_BEFORE)  # so that there is something to compare with
    console = Console(stderr=True)
    begun = boottime()
    with console.status("the inverter gets no data ..."):
        last, ended_early = _withhold(server, begun, seconds)
    over = last + HOLD
    with console.status("data flows again; watching what the inverter does ..."):
        time.sleep(max(0.0, over - boottime()))
        after = watch.await_health(node, over + 1.0, _AFTERWARDS)
        time.sleep(max(0.0, over + _AFTERWARDS / 2 - boottime()))
    beliefs = [replace(one, at=one.at - begun) for one in seen]
    return Drilled(seconds, over - begun, ended_early, before, after, beliefs)


def _direct_watch(place: Address, unit: int) -> "DirectWatch":
    from airbridge.drill.direct_watch import DirectWatch  # noqa: PLC0415  it takes long to load

    return DirectWatch(place.host, place.port, unit)


def _withhold(server: ServerProcess, begun: float, seconds: float) -> tuple[float, str]:
    """Send signals until the last of them holds to the end; return when that was, and why it ended early."""
    last, end = begun, begun + seconds - HOLD
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            if not server.withhold():
                return boottime() - HOLD, "rtu-server has ended"
            last = boottime()
            if last >= end:
                return last, ""
            time.sleep(min(_STEP, max(0.0, end - last)))
    return last, "you stopped it"


def _mqtt(
    broker: str | None,
    user: str | None,
    password_file: Path | None,
    ca_file: Path | None,
    prefix: str | None,
    config: Path | None,
) -> MqttSettings:
    if not any((broker, user, password_file, ca_file, prefix)):
        settings = settings_of_this_host(config or PLACES["rtu-server"][1])
        if settings is not None:
            return settings
    return broker_settings(broker or "localhost", user, password_file, ca_file, prefix or "ksem")


def _refuse(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(2)
