"""Shows the bridge's state until a signal stops it: on the whole terminal, as lines, once, or as JSON [shell]."""

import json
import sys
from dataclasses import dataclass
from typing import Final, Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from airbridge.demo.keys import Keys
from airbridge.monitor.listener import Listener
from airbridge.monitor.screen import printable, screen
from ksem_contract.topics import Topics
from ksem_dashboard.faults import GRACE
from ksem_dashboard.picture import BridgeState
from ksem_dashboard.report import health_verdict, report
from service_runtime.clock import boottime
from service_runtime.common_settings import MqttSettings

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
