"""`airbridge monitor`: shows the bridge until a signal stops it, on a terminal, in lines, once, or as JSON [shell]."""

import json
import logging
import secrets
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Annotated, Final, Literal, Self

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from airbridge.broker_options import CaFile, PasswordFile, broker_settings
from airbridge.demo.keys import Keys
from airbridge.doctor.gather_host import settings_of_this_host
from airbridge.monitor.screen import printable, screen
from ksem_contract.reasons import Reason
from ksem_contract.topics import Topics
from ksem_dashboard.faults import GRACE
from ksem_dashboard.picture import BridgeState
from ksem_dashboard.report import health_verdict, report
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink
from service_runtime.mqtt_session import Incoming

_log: Final = logging.getLogger("airbridge.monitor")


class Listener:
    """Fills `state` from the broker; `take_in` is called by whoever shows it."""

    def __init__(self, mqtt: MqttSettings, state: BridgeState) -> None:
        self._picture = state
        self._news: SimpleQueue[Incoming | tuple[bool, tuple[Reason, ...]]] = SimpleQueue()
        _log.addHandler(logging.NullHandler())
        _log.propagate = False  # the screen shows the link; log lines would tear it
        self._link = MqttLink(
            mqtt,
            client_id=f"airbridge-monitor-{secrets.token_hex(4)}",
            will=None,
            subscriptions=state.subscriptions,
            on_message=self._news.put,
            on_link=lambda up, reasons: self._news.put((up, reasons)),
            log=_log,
        )

    def __enter__(self) -> Self:
        self._link.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._link.stop()

    def take_in(self, patience: float) -> None:
        """Take in what has come; wait so long for the first of it."""
        until = boottime() + patience
        while True:
            try:
                one = self._news.get(timeout=max(0.0, until - boottime()))
            except Empty:
                return
            if isinstance(one, Incoming):
                self._picture.on_message(
                    one.topic,
                    one.payload,
                    retained=one.retained,
                    now=one.received,
                    local=datetime.now().astimezone(),
                )
            else:
                self._picture.on_link(*one, boottime())


def monitor(
    broker: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="The broker (default: this host's).")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Name to log in with; one that may read PREFIX/#.")] = None,
    password_file: PasswordFile = None,
    ca_file: CaFile = None,
    prefix: Annotated[str | None, typer.Option(help="The first part of every topic.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Take broker and login from this service's settings."),
    ] = None,
    meter: Annotated[list[str] | None, typer.Option(help="Show this meter only; may be repeated.")] = None,
    node: Annotated[list[str] | None, typer.Option(help="Show this RTU server only; may be repeated.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines of text, for a place without a terminal.")] = False,
    seconds: Annotated[float | None, typer.Option(min=1.0, help="End by itself after so long.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Once, as text; takes 5 s at most.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Once, as JSON.")] = False,
) -> None:
    """Watch the bridge from any host that reaches the broker: power, links with rate and age, what the inverter gets.

    It only reads MQTT and changes nothing. Without options it takes broker and login from the settings of a service on
    this host, best with sudo. The exit code is 0 if, at the end, fresh data of every meter flowed and
    every known inverter got it; else 1.
    """
    console = Console()
    view: View = "json" if as_json else "once" if once else "plain" if plain or not console.is_terminal else "screen"
    try:
        settings = None
        if not any((broker, user, password_file, ca_file, prefix)):
            settings = settings_of_this_host(config)
        settings = settings or broker_settings(broker or "localhost", user, password_file, ca_file, prefix or "ksem")
    except (ValueError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    sys.exit(Monitor(settings, tuple(meter or ()), tuple(node or ()), view, seconds).run(console))


View = Literal["screen", "plain", "once", "json"]

DRAW_EVERY: Final = 0.25
PLAIN_EVERY: Final = 5.0
LOOK_FOR: Final = GRACE + 2.0
"""Seconds that `--once` takes at most: by then every half that is there has reported."""


@dataclass(frozen=True, slots=True)
class Monitor:
    """What to listen to, and how to show it."""

    mqtt: MqttSettings
    meters: tuple[str, ...]
    nodes: tuple[str, ...]
    view: View
    seconds: float | None

    def run(self, console: Console) -> int:
        """0 if data flowed at the end, else 1."""
        state = BridgeState(Topics(self.mqtt.prefix), meters=self.meters, nodes=self.nodes)
        with Listener(self.mqtt, state) as listener:
            try:
                if self.view == "screen":
                    self._on_screen(console, listener, state)
                elif self.view == "plain":
                    self._in_lines(console, listener, state)
                else:
                    self._look_once(console, listener, state)
            except KeyboardInterrupt:
                pass
            return 0 if health_verdict(state, boottime())[0] else 1

    @property
    def _broker(self) -> str:
        return f"{self.mqtt.host}:{self.mqtt.port}, {self.mqtt.prefix}/#"

    def _on_screen(self, console: Console, listener: Listener, state: BridgeState) -> None:
        begun = boottime()
        with Keys() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
            while self.seconds is None or boottime() - begun < self.seconds:
                listener.take_in(DRAW_EVERY)
                if "q" in keys.wait(0.0).lower():
                    return
                live.update(
                    self._with_keys(screen(state, boottime(), width=console.width, broker=self._broker)), refresh=True
                )

    @staticmethod
    def _with_keys(drawn: RenderableType) -> RenderableType:
        return Group(Text("q ends", "dim"), drawn)

    def _in_lines(self, console: Console, listener: Listener, state: BridgeState) -> None:
        begun, due, reported = boottime(), 0.0, ""
        while self.seconds is None or boottime() - begun < self.seconds:
            listener.take_in(DRAW_EVERY)
            now = boottime()
            _, why = health_verdict(state, now)
            if why != reported or now >= due:
                reported, due = why, now + PLAIN_EVERY
                console.print(status_line(state, now), markup=False, highlight=False, soft_wrap=True)

    def _look_once(self, console: Console, listener: Listener, state: BridgeState) -> None:
        begun = boottime()
        while boottime() - begun < LOOK_FOR and not _is_complete(state, boottime()):
            listener.take_in(DRAW_EVERY)
        now = boottime()
        if self.view == "json":
            json.dump(report(state, now), sys.stdout, indent=1)
            print()
        else:
            console.print(screen(state, now, width=console.width, broker=self._broker))


def status_line(state: BridgeState, now: float) -> str:
    """One line of text: the verdict, each meter's power and each node's state."""
    parts = [health_verdict(state, now)[1]]
    for meter in state.meters.values():
        age, power = meter.age("live", now), meter.values.get("power")
        if meter.is_live(now) and power is not None and age is not None:
            parts.append(f"{meter.meter} {power:+.1f} W, {1000 * age:.0f} ms old, {meter.arrivals.per_s(now):.1f}/s")
        else:
            parts.append(f"{meter.meter} no fresh data")
    parts += [f"{node.node} {node.status or 'not seen'}" for node in state.nodes.values()]
    return printable("  |  ".join(parts))


def _is_complete(state: BridgeState, now: float) -> bool:
    """Whether `--once` may print: data flows, and its rate is known."""
    return health_verdict(state, now)[0] and all(meter.arrivals.per_s(now) > 0 for meter in state.meters.values())
