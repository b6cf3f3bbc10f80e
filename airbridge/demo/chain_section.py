"""The chain from the meter to the inverter, drawn [core]."""

from collections.abc import Sequence
from typing import Final

from rich.align import Align
from rich.box import ROUNDED
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from airbridge.demo.links import Condition, Part

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
