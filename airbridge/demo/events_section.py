"""What happened, and which keys do what [core]."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from airbridge.demo.events import Event
from airbridge.demo.heading import heading

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
