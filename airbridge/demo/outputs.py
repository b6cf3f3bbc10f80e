"""Shows a run in lines of text, on the whole terminal, or as a picture for documents [shell]."""

import io
import re
from pathlib import Path
from typing import Final, Protocol

from rich.console import Console
from rich.live import Live

from airbridge.demo.picture import BridgeState
from airbridge.demo.plain import status_line
from airbridge.demo.view import screen
from airbridge.demo.watch import Watch
from service_runtime.clock import boottime

DRAW_EVERY: Final = 0.25
PLAIN_EVERY: Final = 5.0


class View(Protocol):
    """How a run is shown."""

    def show(self, watch: Watch, now: float, left: float | None) -> None:
        """Show how it is now."""


class PlainView:
    """Lines of text: a status every few seconds, and what happens between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._due = 0.0
        self._reported = 0

    def show(self, watch: Watch, now: float, left: float | None) -> None:
        """Print what is new."""
        _ = left
        events = watch.state.events
        new = watch.state.happened - self._reported
        self._reported = watch.state.happened
        for event in list(events)[len(events) - min(new, len(events)) :]:
            self._print(f"  {event.time} {event.who}: {event.text}")
        if now >= self._due:
            self._due = now + PLAIN_EVERY
            self._print(status_line(watch.state, now))

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class ScreenView:
    """The whole terminal."""

    def __init__(self, live: Live, broker: str, can_pull: dict[str, bool]) -> None:
        self._live = live
        self._broker = broker
        self._can_pull = can_pull
        self._due = 0.0

    def show(self, watch: Watch, now: float, left: float | None) -> None:
        """Draw it anew, not too often."""
        if now < self._due:
            return
        self._due = now + DRAW_EVERY
        width, height = self._live.console.size
        drawn = screen(
            watch.state,
            now,
            width=width,
            height=height,
            broker=self._broker,
            can_pull=self._can_pull,
            left=left,
        )
        self._live.update(drawn, refresh=True)


SIZE: Final = (104, 30)
_font_faces = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def write_svg(path: Path, state: BridgeState, broker: str, can_pull: dict[str, bool]) -> None:
    """Write the screen as it is now. It loads nothing from elsewhere: the reader's own monospace font is used."""
    width, height = SIZE
    console = Console(
        record=True, width=width, height=height, file=io.StringIO(), force_terminal=True, color_system="standard"
    )
    drawn = screen(
        state,
        boottime(),
        width=width,
        height=height,
        broker=broker,
        can_pull=can_pull,
        left=None,
    )
    console.print(drawn)
    text = console.export_svg(title="airbridge demo")
    text = _font_faces.sub("", text).replace("Fira Code, monospace", "monospace")
    text = text.replace("<svg ", '<svg xml:space="preserve" ', 1)  # else some viewers eat the spaces at an edge
    path.write_text(text, encoding="utf-8")
