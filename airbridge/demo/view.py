"""Renders the whole screen, for any size from 80x24 on [core]: the chain, the figures, the events and the keys.

It judges each part and link of the chain, too, by the demo's state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Final, Literal

from rich.align import Align
from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from airbridge.demo.events import Event
from airbridge.demo.figures import blocks_section, heading, inverter_section, meter_section
from airbridge.demo.picture import BridgeState

OLD_MS: Final = 1_500
"""Live data older than this does not flow; the RTU server's limit by default."""

Condition = Literal["up", "warned", "down", "unknown"]


@dataclass(frozen=True, slots=True)
class Part:
    """A device, a service or a link between two."""

    name: str
    condition: Condition
    text: str
    """A figure or a word that belongs to it."""


def chain(bridge: BridgeState, now: float, broker: str) -> tuple[list[Part], list[Part]]:
    """The five parts and the four links between them, from the meter to the inverter."""
    parts = [_meter(bridge), _publisher(bridge), _broker(bridge, broker, now), _rtu_server(bridge)]
    parts.append(_inverter(bridge, now))
    links = [_push_or_poll(bridge, now), _published(bridge, now), _delivered(bridge), _rs485(bridge, now)]
    return parts, links


def _meter(bridge: BridgeState) -> Part:
    name = "KSEM"
    if "meter" in bridge.pulled:
        return Part(name, "down", "unplugged")
    power = bridge.ksem.get("power_w", bridge.values.get("power"))
    if power is None:
        return Part(name, "unknown", "")
    return Part(name, "up", f"{power:+.0f} W")


def _publisher(bridge: BridgeState) -> Part:
    name = "publisher"
    if not bridge.link_up or bridge.meter_status is None:
        return Part(name, "unknown", "?")
    if bridge.meter_status == "online":
        state = bridge.meter_health.state if bridge.meter_health else "ok"
        return Part(name, "up" if state == "ok" else "warned", "online")
    return Part(name, "down", bridge.meter_status)


def _broker(bridge: BridgeState, name: str, now: float) -> Part:
    name = name.partition(" ")[0]
    if "broker" in bridge.pulled:
        return Part(name, "down", "pulled")
    if not bridge.link_up:
        return Part(name, "unknown" if bridge.link_up is None else "down", "away" if bridge.link_up is False else "")
    return Part(name, "up", f"{bridge.messages.per_s(now):.0f} msg/s")


def _rtu_server(bridge: BridgeState) -> Part:
    name = "rtu-server"
    if not bridge.link_up or bridge.node_status is None:
        return Part(name, "unknown", "?")
    state = bridge.node_health.state if bridge.node_health else "down"
    condition: Condition = "up" if state == "ok" else "warned" if state == "degraded" else "down"
    return Part(name, condition, bridge.node_status)


def _inverter(bridge: BridgeState, now: float) -> Part:
    name = "Plenticore" if bridge.inverter else "inverter"
    if not bridge.inverter:
        served = bridge.node_status == "online"
        return Part(name, "up" if served else "unknown", "gets data" if served else "")
    if not bridge.requested.per_s(now):
        return Part(name, "unknown", "waits")
    last = bridge.lately
    if last in (None, "data"):
        return Part(name, "up", "gets data")
    # A refusal is what should happen while there is no fresh data, silence is not.
    return Part(name, "warned" if last.startswith("exception") else "down", "no data")


def _push_or_poll(bridge: BridgeState, now: float) -> Part:
    live = bridge.blocks.get("live")
    if "meter" in bridge.pulled:
        return Part("push", "down", "")
    if live is None or not bridge.link_up:
        return Part("push", "unknown", "")
    # A block that has stopped: its rate sinks slower than one wants to see it.
    if live.age_ms(now) < OLD_MS:
        pushed, polled = live.per_s("push", now), live.per_s("poll", now)
        if live.message.source == "push":
            return Part("push", "up", _rate(pushed))
        return Part("poll", "warned", _rate(polled))
    return Part("push", "down", "0/s")


def _published(bridge: BridgeState, now: float) -> Part:
    if not bridge.link_up:
        return Part("MQTT", "unknown" if bridge.link_up is None else "down", "")
    live = bridge.blocks.get("live")
    if live is None:
        return Part("MQTT", "unknown", "")
    # The link stands though nothing goes over it: the meter may be gone.
    return Part("MQTT", "up" if live.age_ms(now) < OLD_MS else "warned", _rate(live.all_per_s(now)))


def _delivered(bridge: BridgeState) -> Part:
    if not bridge.link_up:
        return Part("MQTT", "unknown" if bridge.link_up is None else "down", "")
    health = bridge.node_health
    if health is None or bridge.node_status is None:
        return Part("MQTT", "unknown", "")
    trips = [transit.rtt_ms for transit in health.transit.values() if transit.rtt_ms is not None]
    return Part("MQTT", "up" if health.broker.state == "up" else "down", f"{trips[0]:.0f} ms" if trips else "")


def _rs485(bridge: BridgeState, now: float) -> Part:
    name = "RS485"
    if "plug" in bridge.pulled:
        return Part(name, "down", "")
    if bridge.inverter:
        rate = bridge.requested.per_s(now)
        return Part(name, "up" if rate else "unknown", _rate(rate))
    requests = bridge.requests.requests if bridge.requests else ()
    rate = sum(one.per_s for one in requests)
    return Part(name, "up" if rate else "unknown", _rate(rate))


def _rate(per_s: float) -> str:
    return f"{per_s:.0f}/s" if per_s >= 10 else f"{per_s:.1f}/s"


WIDE = 120
"""From here on the three sections stand side by side."""
CHAIN_LINES = 4
SECTION_LINES = 7
BLOCK_LINES = 5


def screen(
    state: BridgeState,
    now: float,
    *,
    width: int,
    height: int,
    broker: str,
    can_pull: dict[str, bool],
    left: float | None,
) -> RenderableType:
    """Everything. `left`: seconds until it ends by itself."""
    parts, links = chain(state, now, broker)
    title = _title(state, now, broker, left)
    top = [title, chain_section(parts, links, width)]
    used = 1 + CHAIN_LINES
    if width >= WIDE:
        third = (width - 4) // 3
        top.append(_beside(meter_section(state), inverter_section(state, now), blocks_section(state, now, third)))
        used += SECTION_LINES
    else:
        top += [_beside(meter_section(state), inverter_section(state, now)), blocks_section(state, now, width)]
        used += SECTION_LINES + BLOCK_LINES
    rest = max(0, height - used - 1)
    return Group(*top, *events_section(state.events, rest, width), keys_line(state.pulled, can_pull))


def _title(state: BridgeState, now: float, broker: str, left: float | None) -> Text:
    line = Text("KSEM AirBridge demo", "bold", no_wrap=True, overflow="ellipsis")
    line.append(f"  broker: {broker}", "dim")
    if state.ready_at is None:
        line.append(f"  starting for {now - state.started:.0f} s", "yellow")
    else:
        line.append(f"  {now - state.ready_at:.0f} s since the first good answers", "")
    if left is not None:
        line.append(f"  ends in {max(0.0, left):.0f} s", "dim")
    return line


def _beside(*sections: RenderableType) -> RenderableType:
    grid = Table.grid(expand=True, padding=0)
    for _ in sections:
        grid.add_column(ratio=1)
    padded = [Padding(one, (0, 2 if index < len(sections) - 1 else 0, 0, 0)) for index, one in enumerate(sections)]
    grid.add_row(*padded)
    return grid


COLOURS: Final[dict[Condition, str]] = {"up": "green", "warned": "yellow", "down": "red", "unknown": "dim"}


def chain_section(parts: Sequence[Part], links: Sequence[Part], width: int) -> RenderableType:
    """The chain from the meter to the inverter; five lines."""
    box = min(18, max(12, width // 7))
    gap = max(5, (width - len(parts) * box) // len(links))
    grid = Table.grid(padding=0)
    cells: list[RenderableType] = []
    for index, part in enumerate(parts):
        grid.add_column(width=box)
        cells.append(_box(part, box))
        if index < len(links):
            grid.add_column(width=gap)
            cells.append(_arrow(links[index], gap))
    grid.add_row(*cells)
    return grid


def _box(part: Part, width: int) -> RenderableType:
    colour = COLOURS[part.condition]
    name = Text(part.name, "bold", no_wrap=True, overflow="ellipsis", justify="center")
    text = Text(part.text or " ", colour, no_wrap=True, overflow="ellipsis", justify="center")
    return Panel(Group(name, text), box=ROUNDED, border_style=colour, width=width, padding=0)


def _arrow(link: Part, width: int) -> RenderableType:
    colour = COLOURS[link.condition]
    if link.condition == "down":
        half = (width - 1) // 2
        drawn = "╌" * half + "✕" + "╌" * (width - 1 - half)
    else:
        drawn = "━" * (width - 1) + "▶" if link.condition != "unknown" else "╌" * width
    return Group(
        Align.center(Text(link.name, colour)), Text(drawn, colour), Align.center(Text(link.text or " ", colour))
    )


KEYS: Final = (("p", "push", "push"), ("b", "broker", "broker"), ("r", "RS485 plug", "plug"), ("m", "meter", "meter"))
EVENT_LINES: Final = 3
_MARGIN: Final = " " * len("00:00:00 rtu-server ")


def events_section(events: Sequence[Event], lines: int, width: int) -> list[RenderableType]:
    """What happened last, in exactly so many lines: long texts go on below, for their end is the remedy."""
    if lines < 1:
        return []
    shown: list[Text] = []
    for event in reversed(events):
        rows = _event(event, width)
        if len(shown) + len(rows) > lines - 1:
            break
        shown = rows + shown
    return [heading("What happens"), *shown, *[Text("")] * (lines - 1 - len(shown))]


def keys_line(pulled: set[str], can_pull: dict[str, bool]) -> Text:
    """Which keys do what, and what is pulled."""
    line = Text.assemble((" q ", "reverse"), " quit ", ("  pull:", "dim"), no_wrap=True, overflow="ellipsis")
    for key, label, what in KEYS:
        if what in pulled:
            line.append_text(Text.assemble(" ", (f" {key} ", "bold reverse red"), (f" put {label} back", "bold red")))
        elif can_pull.get(what):
            line.append_text(Text.assemble(" ", (f" {key} ", "reverse"), f" {label}"))
    return line


def _event(event: Event, width: int) -> list[Text]:
    style = {"warning": "yellow", "error": "red"}.get(event.level, "")
    rows = wrap(event.text, max(20, width - len(_MARGIN)), max_lines=EVENT_LINES, placeholder=" ...") or [""]
    first = Text.assemble((f"{event.time} ", "dim"), (f"{event.who:10} ", "cyan"), (rows[0], style), no_wrap=True)
    return [first, *(Text(_MARGIN + row, style, no_wrap=True) for row in rows[1:])]
