"""The whole screen, for any size from 80x24 on [core]."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from airbridge.demo.chain_section import chain_section
from airbridge.demo.events_section import events_section, keys_line
from airbridge.demo.figures import blocks_section, inverter_section, meter_section
from airbridge.demo.links import chain
from airbridge.demo.picture import Picture

WIDE = 120
"""From here on the three sections stand side by side."""
CHAIN_LINES = 4
SECTION_LINES = 7
BLOCK_LINES = 5


def screen(
    picture: Picture, now: float, *, width: int, height: int, broker: str, can_pull: dict[str, bool], left: float | None
) -> RenderableType:
    """Everything. `left`: seconds until it ends by itself."""
    parts, links = chain(picture, now, broker)
    title = _title(picture, now, broker, left)
    top = [title, chain_section(parts, links, width)]
    used = 1 + CHAIN_LINES
    if width >= WIDE:
        third = (width - 4) // 3
        top.append(_beside(meter_section(picture), inverter_section(picture, now), blocks_section(picture, now, third)))
        used += SECTION_LINES
    else:
        top += [_beside(meter_section(picture), inverter_section(picture, now)), blocks_section(picture, now, width)]
        used += SECTION_LINES + BLOCK_LINES
    rest = max(0, height - used - 1)
    return Group(*top, *events_section(picture.events, rest, width), keys_line(picture.pulled, can_pull))


def _title(picture: Picture, now: float, broker: str, left: float | None) -> Text:
    line = Text("KSEM AirBridge demo", "bold", no_wrap=True, overflow="ellipsis")
    line.append(f"  broker: {broker}", "dim")
    if picture.ready_at is None:
        line.append(f"  starting for {now - picture.started:.0f} s", "yellow")
    else:
        line.append(f"  {now - picture.ready_at:.0f} s since the first good answers", "")
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
