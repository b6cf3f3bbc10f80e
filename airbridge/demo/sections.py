"""The parts of the screen [core]: facts in, renderables of rich out.

Only the terminal's own colours are used, and dim, so that it reads on light and on dark ground.
"""

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Final

from rich.align import Align
from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from airbridge.demo.events import Event
from airbridge.demo.links import Condition, Part
from airbridge.demo.picture import BlockView, Picture
from airbridge.demo.verdict import BAD
from ksem_contract.health import Percentiles

COLOURS: Final[dict[Condition, str]] = {"up": "green", "warned": "yellow", "down": "red", "unknown": "dim"}
LIMITS: Final = {"live": 1_500, "energy": 60_000, "sunspec": 60_000, "device": None}
LATELY: Final = 15_000
"""ms within which a request counts as being asked; the list of them comes every 10 s."""
KEYS: Final = (("p", "push", "push"), ("b", "broker", "broker"), ("r", "RS485 plug", "plug"), ("m", "meter", "meter"))
EVENT_LINES: Final = 3
_MARGIN: Final = " " * len("00:00:00 rtu-server ")
_BARS: Final = "▁▂▃▄▅▆▇█"


def heading(title: str, right: str = "") -> RenderableType:
    """A line with a title in it."""
    text = Text.assemble((title, "bold"), (f"  {right}" if right else "", "dim"))
    return Rule(text, align="left", style="dim", characters="─")


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


def meter_section(picture: Picture) -> RenderableType:
    """What the meter measures; six lines, and the last minute as a curve."""
    values = picture.values
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
    return Group(heading("Meter", _curve(picture.powers)), table)


def inverter_section(picture: Picture) -> RenderableType:
    """What the inverter asks and gets; seven lines."""
    counts = picture.counts
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
    table.add_row("turnaround", *_figures(picture.turnaround_ms, 1))
    table.add_row("age of data", *_figures(picture.age_ms, 0))
    return Group(heading("Inverter", _lately(picture)), good, late, gets, table, _asked(picture))


def blocks_section(picture: Picture, now: float, width: int) -> RenderableType:
    """How old each block is; five lines."""
    table = Table.grid(padding=(0, 1), expand=True)
    for justify in ("left", "left", "right", "left", "right"):
        table.add_column(justify=justify, no_wrap=True)
    cells = max(8, min(30, width - 46))
    for name, limit in LIMITS.items():
        block = picture.blocks.get(name)
        if block is None:
            table.add_row(name, Text("not yet", "dim"), "", "", "")
        else:
            table.add_row(name, *_block(block, limit, now, cells))
    return Group(heading("Blocks on the broker", "age, and its limit"), table)


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


def _lately(picture: Picture) -> str:
    return "" if picture.lately is None else f"gets {picture.lately}"


def _asked(picture: Picture) -> Text:
    line = Text("asks ", "dim", no_wrap=True, overflow="ellipsis")
    entries = picture.requests.requests if picture.requests else ()
    # A real one's start is told in its log; here it is what it goes on asking for.
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
