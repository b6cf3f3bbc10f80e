"""Shows a run in lines of text, on the whole terminal, or as a picture for documents [shell]."""

import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Protocol

from rich.console import Console
from rich.live import Live

from airbridge.demo.events import Counts, faults
from airbridge.demo.picture import BridgeState
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


def status_line(state: BridgeState, now: float) -> str:
    """One line about everything."""
    parts = []
    if state.ready_at is None:
        parts.append(f"{now - state.started:4.0f} s starting")
    else:
        parts.append(f"{now - state.ready_at:4.0f} s")
    parts.append(f"meter {state.values['power']:+.0f} W" if "power" in state.values else "meter -")
    live = state.blocks.get("live")
    if live is None:
        parts.append("live: not yet")
    else:
        source = live.message.source
        parts.append(f"{source} {live.per_s(source, now):.1f}/s, live {live.age_ms(now)} ms old")
    parts.append(f"inverter: {state.counts}")
    if words := state.believed.summary(now):
        parts.append(words)
    times = _times(state)
    return "; ".join([*parts, times] if times else parts)


def summary_lines(state: BridgeState, seconds: float, expected_good: int, troubles: Iterable[str]) -> list[str]:
    """The end of a run: what came of it, and whether that was good."""
    counts = state.counts
    lines = []
    if state.ready_at is None:
        lines.append(f"start: no good answers within {seconds:.1f} s")
    else:
        began = state.ready_at - state.started
        before = state.start_counts or Counts()
        lines.append(
            f"start: good answers after {began:.1f} s; before them {before.timeouts} timeouts, {before.refused} refused"
        )
    lines.append(f"answers in {seconds:.1f} s: {counts}")
    times = _times(state, longest=True)
    if times:
        lines.append(times)
    for name, part in (state.inverter.get("ranges") or {}).items():
        lines.append(f"  {name}: {Counts.of(part['outcomes'])}")
    problems = [*troubles, *faults(counts, expected_good)]
    lines.append(
        "result: "
        + (
            "FAILED: " + "; ".join(problems)
            if problems
            else f"good (at least {expected_good} good answers were expected)"
        )
    )
    return lines


def _times(state: BridgeState, *, longest: bool = False) -> str:
    reported = []
    for label, times in (("turnaround", state.turnaround_ms), ("age at the inverter", state.age_ms)):
        if times.p50 is not None and times.p99 is not None and times.max is not None:
            most = f", longest {times.max:.1f}" if longest else ""
            reported.append(f"{label} p50 {times.p50:.1f}, p99 {times.p99:.1f}{most} ms")
    return "; ".join(reported)
