"""Renders the figures of meter, inverter and blocks, and the line above each part of the screen [core].

Only the terminal's own colours are used, and dim, so that it reads on light and on dark ground.
"""

from collections.abc import Iterable
from typing import Final

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from airbridge.demo.events import BAD, GOOD
from airbridge.demo.picture import BlockView, BridgeState
from ksem_contract.health import Percentiles

LIMITS: Final = {"live": 1_500, "energy": 60_000, "sunspec": 60_000, "device": None}
LATELY: Final = 15_000
"""A request sent within so many ms counts as current; the list of requests comes every 10 s."""
_BARS: Final = "▁▂▃▄▅▆▇█"


def meter_section(state: BridgeState) -> RenderableType:
    """What the meter measures; six lines, and the last minute as a curve."""
    values = state.values
    table = Table.grid(padding=(0, 1), expand=True)
    for justify in ("left", "right", "right", "right"):
        table.add_column(justify=justify, no_wrap=True)
    table.add_row("total", _value(values, "power", "W", 1), _value(values, "frequency", "Hz", 2), "")
    for phase in ("l1", "l2", "l3"):
        table.add_row(
            phase.upper(),
            _value(values, f"power_{phase}", "W", 1),
            _value(values, f"voltage_{phase}", "V", 1),
            _value(values, f"current_{phase}", "A", 2),
        )
    table.add_row(
        "import", _value(values, "energy_import", "kWh", 1), "export", _value(values, "energy_export", "kWh", 1)
    )
    return Group(heading("Meter", _curve(state.powers)), table)


def inverter_section(state: BridgeState, now: float) -> RenderableType:
    """What the inverter requests, gets and believes; seven lines."""
    counts = state.counts
    good = Text.assemble("good ", (f"{counts.good}", "bold green" if counts.good else "dim"))
    for name in BAD[:3]:
        good.append_text(_count(name, counts.bad.get(name, 0), "bold red"))
    late = Text("  ").join(_count(name, counts.bad.get(name, 0), "bold red", first=True) for name in BAD[3:])
    gets = _count("timeouts", counts.timeouts, "bold yellow", first=True)
    gets.append_text(_count("refused", counts.refused, "bold yellow"))
    gets.append(" (no fresh data)" if counts.refused else "", "dim")
    for line in (good, late, gets):
        line.no_wrap, line.overflow = True, "ellipsis"
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    for _ in range(3):
        table.add_column(justify="right", no_wrap=True)
    table.add_row("turnaround", *_figures(state.turnaround_ms, 1))
    table.add_row("age of data", *_figures(state.age_ms, 0))
    return Group(heading("Inverter", _lately(state, now)), good, late, gets, table, _requested(state))


def blocks_section(state: BridgeState, now: float, width: int) -> RenderableType:
    """How old each block is; five lines."""
    table = Table.grid(padding=(0, 1), expand=True)
    for justify in ("left", "left", "right", "left", "right"):
        table.add_column(justify=justify, no_wrap=True)
    cells = max(8, min(30, width - 46))
    for name, limit in LIMITS.items():
        block = state.blocks.get(name)
        if block is None:
            table.add_row(name, Text("not yet", "dim"), "", "", "")
        else:
            table.add_row(name, *_block(block, limit, now, cells))
    return Group(heading("Blocks on the broker", "age, and its limit"), table)


def _value(values: dict[str, float], key: str, unit: str, decimals: int) -> Text:
    if key not in values:
        return Text("-", "dim")
    sign = "+" if key.startswith("power") else ""
    return Text.assemble(f"{values[key]:{sign}.{decimals}f}", (f" {unit}", "dim"))


def _curve(powers: Iterable[float], width: int = 20) -> str:
    shown = list(powers)
    step = max(1, len(shown) // width)
    shown = shown[::step][-width:]
    if len(shown) < 2:
        return ""
    low, high = min(shown), max(shown)
    return "".join(_BARS[int((value - low) / (high - low) * (len(_BARS) - 1)) if high > low else 0] for value in shown)


def _count(name: str, count: int, style: str, *, first: bool = False) -> Text:
    return Text.assemble(
        "" if first else "  ", (f"{name} ", "" if count else "dim"), (str(count), style if count else "dim")
    )


def _figures(times: Percentiles, decimals: int) -> tuple[Text, ...]:
    if times.p50 is None or times.p99 is None or times.max is None:
        return (Text("-", "dim"),) * 3
    figures = (("p50 ", times.p50, ""), ("p99 ", times.p99, ""), ("max ", times.max, " ms"))
    return tuple(Text.assemble((name, "dim"), f"{time:.{decimals}f}", (unit, "dim")) for name, time, unit in figures)


def _lately(state: BridgeState, now: float) -> str:
    """What it got last; what it believes while that is data."""
    if state.lately in GOOD and (words := state.believed.summary(now)):
        return words
    return "" if state.lately is None else f"gets {state.lately}"


def _requested(state: BridgeState) -> Text:
    line = Text("polls ", "dim", no_wrap=True, overflow="ellipsis")
    entries = state.requests.requests if state.requests else ()
    # A server's log shows the first requests of a real one; here stand those that it repeats.
    for index, entry in enumerate(
        sorted((one for one in entries if one.last_ago_ms < LATELY), key=lambda one: one.start)
    ):
        line.append(", " if index else "", "dim")
        line.append(
            f"{entry.start}-{entry.start + entry.count - 1}" if entry.count > 1 else f"{entry.start}", "not dim"
        )
    return line


def _block(block: BlockView, limit: int | None, now: float, cells: int) -> tuple[RenderableType, ...]:
    age = block.age_ms(now)
    share = 0.0 if limit is None else min(1.0, age / limit)
    colour = "green" if share < 0.6 else "yellow" if share < 1 else "red"
    filled = max(1, round(share * cells)) if limit else 0
    bar = Text.assemble(("━" * filled, colour), ("─" * (cells - filled), "dim"))
    shown = f"{age} ms" if age < 10_000 else f"{age / 1000:.0f} s"
    allowed = "any age" if limit is None else f"of {limit / 1000:g} s"
    source = block.message.source
    return (
        Text(source, "green" if source == "push" else ""),
        Text.assemble((shown, colour if limit else ""), (f" {allowed}", "dim")),
        bar,
        Text(f"{block.all_per_s(now):.1f}/s", "dim"),
    )


def heading(title: str, right: str = "") -> RenderableType:
    """A line with a title in it."""
    text = Text.assemble((title, "bold"), (f"  {right}" if right else "", "dim"))
    return Rule(text, align="left", style="dim", characters="─")
