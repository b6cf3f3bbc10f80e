"""Renders the bridge's state for a terminal, from 80 columns on [core]."""

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from airbridge.demo.figures import heading
from airbridge.demo.view import Part, chain_section
from ksem_contract.health import NoData, Percentiles, UnitHealth
from ksem_dashboard.chain import Chain, chains
from ksem_dashboard.faults import find_faults, judge
from ksem_dashboard.history import slot_of
from ksem_dashboard.picture import BridgeState
from ksem_dashboard.views import MeterView, NodeView

_TONES: Final = {"ok": "green", "warn": "yellow", "bad": "red"}
_BARS: Final = "▁▂▃▄▅▆▇█"
_MOST_RANGES: Final = 5
WIDE: Final = 110
ROOMY: Final = 150


def printable(text: str) -> str:
    """What came over MQTT, without anything that a terminal would obey."""
    return "".join(one if one.isprintable() else "?" for one in text)


def screen(state: BridgeState, now: float, *, width: int, broker: str) -> RenderableType:
    """Everything, for a terminal this wide."""
    faults = find_faults(state, now)
    verdict = judge(state, faults)
    tone = _TONES[verdict.state]
    lines: list[RenderableType] = [
        Text.assemble(
            *((f" {printable(verdict.text)} ", f"bold {tone} reverse"), (f"  {broker}", "dim")),
            no_wrap=True,
            overflow="ellipsis",
        )
    ]
    for fault in faults:
        lines.append(
            Text.assemble((f"{fault.where}: ", "dim"), (printable(fault.text), "bold " + _TONES[fault.severity]))
        )
        lines.append(Text(f"  {printable(fault.remedy)}", "dim"))
        lines += [Text(f"  {printable(one)}", "dim") for one in fault.details]
    for meter in sorted(state.meters.values(), key=lambda view: view.meter):
        lines += [_chain(chain, width) for chain in chains(state, meter, now)]
        lines += _inverters(state, meter.meter, now)
        nodes = [node for node in state.nodes.values() if meter.meter in node.meters]
        lines += _beside(
            width,
            _meter(meter, now),
            [
                *(_node(node, meter.meter, now) for node in nodes),
                *_tcp_servers(state, meter.meter, now),
                _blocks(meter, now),
            ],
        )
    return Group(*lines)


def _chain(chain: Chain, width: int) -> RenderableType:
    parts = [Part(part.id or part.name, part.condition, part.text) for part in chain.parts]
    if width < ROOMY:  # between two boxes is room for a word
        links = [Part(link.name, link.condition, link.rate or link.age.replace(" ", "")) for link in chain.links]
    else:
        links = [Part(f"{link.name} {link.rate}".strip(), link.condition, link.age) for link in chain.links]
    return chain_section(parts, links, width)


def _inverters(state: BridgeState, meter: str, now: float) -> Iterator[RenderableType]:
    """What inverters that get this meter's values believe."""
    for name, view in sorted(state.inverters.items()):
        words = view.summary(now)
        if words and view.health is not None and view.health.meter == meter:
            yield Text.assemble((f"inverter {name}: ", "dim"), words)


def _beside(width: int, left: RenderableType, right: list[RenderableType]) -> Iterator[RenderableType]:
    if width < WIDE:
        yield left
        yield from right
        return
    grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
    for _ in range(2):
        grid.add_column(ratio=1)
    grid.add_row(left, Group(*right))
    yield grid


def _meter(view: MeterView, now: float) -> RenderableType:
    fresh = view.is_live(now)
    values = view.values if fresh else {}
    age = view.age("live", now)
    state = Text("live", "green") if fresh else Text("no data" if age is None else f"old, {age:.1f} s", "bold red")
    table = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "right", "right"):
        table.add_column(justify=justify, no_wrap=True)
    power = values.get("power")
    flow = "" if power is None else "into the grid" if power < 0 else "from the grid"
    table.add_row("total", _value(values, "power", "W", 1, "bold"), _value(values, "frequency", "Hz", 2), flow)
    for phase in ("l1", "l2", "l3"):
        table.add_row(
            phase.upper(),
            _value(values, f"power_{phase}", "W", 1),
            _value(values, f"voltage_{phase}", "V", 1),
            _value(values, f"current_{phase}", "A", 2),
        )
    today = view.today.energy
    since = "" if today is None else "today" if today.since == "00:00" else f"since {today.since}"
    figures = ("-", "-") if today is None else (f"{today.imported:.2f} kWh in", f"{today.exported:.2f} kWh out")
    table.add_row("energy", *figures, Text(since, "dim"))
    counters = [_value(view.counters, f"energy_{way}", "kWh", 1) for way in ("import", "export")]
    table.add_row("in all", *counters, "")
    curve = Text.assemble(("hour   ", ""), _curve(view, now), no_wrap=True)
    return Group(heading(f"Meter {view.meter}"), state, table, curve)


def _node(view: NodeView, meter: str, now: float) -> RenderableType:
    lines: list[RenderableType] = [heading(f"Inverter at {view.node}")]
    if not view.runs(now):
        seen = "" if view.last_seen is None else f", last seen {now - view.last_seen:.0f} s ago"
        return Group(*lines, Text(f"the RTU server does not report{seen}", "dim"))
    requested = [entry for entry in view.requests if entry.meter == meter and entry.per_s > 0]
    for entry in requested[:_MOST_RANGES]:
        tone = "green" if entry.last == "data" else "yellow"
        lines.append(
            Text.assemble(
                f"polls {entry.start}-{entry.start + entry.count - 1}  {entry.per_s:.1f}/s  gets ", (entry.last, tone)
            )
        )
    if not requested:
        lines.append(Text("no requests at the moment", "dim"))
    for unit in view.health.units if view.health else ():
        if unit.meter == meter:
            lines += _answers(unit)
    if view.health and view.health.no_data:
        lines.append(_without_data(view.health.no_data))
    return Group(*lines)


def _without_data(no_data: NoData) -> Text:
    """How long an inverter of this node got no data, and mostly why."""
    today, days = _duration(no_data.today.seconds), _duration(no_data.days.seconds)
    line = f"without data for {today} today, {days} in 30 days"
    if days_by_reason := no_data.days.reasons:
        line += f", mostly {max(days_by_reason, key=lambda code: days_by_reason[code])}"
    return Text(printable(line), "dim")


def _duration(seconds: float) -> str:
    """Return seconds as people write them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


def _tcp_servers(state: BridgeState, meter: str, now: float) -> Iterator[RenderableType]:
    """Who else reads this meter's registers, over Modbus TCP."""
    for node in state.nodes.values():
        servers = [tcp for tcp in (node.health.tcp if node.health and node.runs(now) else ()) if tcp.meter == meter]
        if servers:
            yield heading(f"Modbus TCP servers at {node.node}")
        for tcp in servers:
            if tcp.port.state != "up":
                yield Text(printable(f"{tcp.line}: {tcp.port.why}"), "yellow")
            else:
                yield Group(*_answers(tcp))
                yield from (Text(printable(str(reason)), "yellow") for reason in tcp.reasons if tcp.state != "ok")


def _answers(unit: UnitHealth) -> Iterator[RenderableType]:
    """What one unit's requests got, and how fast; a unit without requests gets one line."""
    refused = "".join(f", {count} {reason}" for reason, count in unit.refused.items())
    yield Text(printable(f"unit {unit.unit} on {unit.line}: {unit.data} of {unit.requests} got data{refused}"))
    if unit.requests:
        yield _times("turnaround", unit.turnaround_ms, 1)
        yield _times("age of data", unit.age_ms, 0)


def _blocks(view: MeterView, now: float) -> RenderableType:
    line = Text("blocks  ", "dim")
    for name in view.blocks:
        age = view.age(name, now)
        line.append(f"{name} ")
        line.append("?  " if age is None else f"{1000 * age:.0f} ms  " if age < 1 else f"{age:.0f} s  ", "dim")
    return line


def _value(values: dict[str, float], key: str, unit: str, decimals: int, style: str = "") -> Text:
    if key not in values:
        return Text("-", "dim")
    sign = "+" if key.startswith("power") else ""
    return Text.assemble((f"{values[key]:{sign}.{decimals}f}", style), (f" {unit}", "dim"))


def _times(name: str, times: Percentiles, decimals: int) -> Text:
    if times.p50 is None or times.p99 is None or times.max is None:
        return Text(f"{name}  -", "dim")
    return Text(
        f"{name:<12}p50 {times.p50:.{decimals}f}  p99 {times.p99:.{decimals}f}  max {times.max:.{decimals}f} ms"
    )


def _curve(view: MeterView, now: float, cells: int = 36) -> str:
    """The hour in so many means; a blank where there was no data."""
    points = [view.history.point(slot) for slot in range(slot_of(now) - 360, slot_of(now) + 1)]
    size = len(points) // cells
    means: list[float | None] = []
    for at in range(len(points) - cells * size, len(points), size):
        known = [point[1] for point in points[at : at + size] if point]
        means.append(sum(known) / len(known) if known else None)
    there = [mean for mean in means if mean is not None]
    if not there:
        return ""
    low, span = min(there), max(there) - min(there)
    top = len(_BARS) - 1
    drawn = "".join(" " if mean is None else _BARS[round((mean - low) / span * top) if span else 0] for mean in means)
    return f"{drawn.lstrip()}  {min(there):+.0f} to {max(there):+.0f} W"
