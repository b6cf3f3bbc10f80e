"""Runs the demo from start to end [shell]."""

import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live

from airbridge.demo.chain import Chain, ChainBroken, Unplug
from airbridge.demo.events import faults
from airbridge.demo.keys import Keys
from airbridge.demo.options import Options
from airbridge.demo.outputs import PlainView, ScreenView, View, summary_lines, write_svg
from airbridge.demo.processes import NoBroker
from airbridge.demo.watch import Feed, Watch
from service_runtime.clock import boottime

START_WITHIN: Final = 45.0
"""Seconds until the first good answers, on a slow host too; then the demo gives up."""
TURN: Final = 0.1
KEYS: Final = {"p": "push", "b": "broker", "r": "plug", "m": "meter"}
WORDS: Final = {"push": "the push", "broker": "the broker", "plug": "the RS485 plug", "meter": "the meter"}


class BadRecording(Exception):
    """The file to replay can't be read, or holds nothing to replay."""


class Demo:
    """One run; `run` returns the exit code."""

    def __init__(self, options: Options, console: Console) -> None:
        self._options = options
        self._console = console
        self._stopped = False
        self._troubles: list[str] = []

    def run(self) -> int:
        """0: good; 1: an answer was bad, too few were good, or something broke."""
        with ExitStack() as ending:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                ending.callback(signal.signal, number, signal.signal(number, self._stop))
            folder = self._options.keep or Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="airbridge-")))
            folder.mkdir(parents=True, exist_ok=True)
            try:
                return self._run(folder)
            except (ChainBroken, NoBroker, BadRecording) as error:
                self._complain(str(error))
                return 1

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopped = True

    def _run(self, folder: Path) -> int:
        options = self._options
        with ExitStack() as ending:
            try:
                chain = Chain(options, folder, self._print)
            except (OSError, ValueError) as error:
                raise BadRecording(str(error)) from error
            feed = Feed(chain.mqtt)
            # Entered first, so left last: the services' farewells are over when their topics are cleared.
            ending.callback(lambda: feed.stop(clear=options.broker is not None))
            ending.enter_context(chain)
            chain.start()
            feed.start()
            watch = Watch(chain, feed, folder)
            unplug = Unplug(chain)
            try:
                with ExitStack() as shown:
                    keys = shown.enter_context(Keys())
                    view = self._view(chain.broker_name, unplug, shown)
                    self._loop(unplug, watch, keys, view, chain.replay_ends)
                watch.look(boottime())
            except ChainBroken as error:
                self._troubles.append("a process ended by itself")
                self._complain(str(error))
            else:
                self._log_again(watch)
            if options.export_svg:
                write_svg(options.export_svg, watch.state, chain.broker_name, unplug.possible)
                self._print(f"picture: {options.export_svg}")
            return self._sum_up(watch)

    def _view(self, broker: str, unplug: Unplug, shown: ExitStack) -> View:
        if self._options.plain or not self._console.is_terminal:
            return PlainView(self._console)
        live = Live(
            console=self._console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        shown.enter_context(live)
        return ScreenView(live, broker, unplug.possible)

    def _loop(self, unplug: Unplug, watch: Watch, keys: Keys, view: View, ends: float | None) -> None:
        """`ends`: when a recording is over; None: there is none."""
        state, seconds = watch.state, self._options.seconds
        while not self._stopped:
            watch.turn()
            now = boottime()
            left = None if seconds is None or state.ready_at is None else state.ready_at + seconds - now
            if ends is not None:
                left = min(ends - now, left if left is not None else ends)
            if left is not None and left <= 0:
                return
            if state.ready_at is None and now - state.started > START_WITHIN and self._is_bounded:
                self._troubles.append(f"no good answers within {START_WITHIN:.0f} s")
                return
            view.show(watch, now, left)
            for key in keys.wait(TURN):
                if key in {"q", "Q", "\x03", "\x04"}:
                    return
                self._pull(KEYS.get(key.lower()), unplug, watch)

    @property
    def _is_bounded(self) -> bool:
        """Whether the start must come to an end: who watches a real end may still be plugging it in."""
        options = self._options
        is_simulated = options.meter is None and options.serial is None and options.broker is None
        return is_simulated or options.seconds is not None

    def _pull(self, what: str | None, unplug: Unplug, watch: Watch) -> None:
        if what is None or not unplug.possible[what]:
            return
        is_pulled = unplug.toggle(what)
        watch.state.pulled = set(unplug.pulled)
        watch.add_event(
            "you", f"{'pulled' if is_pulled else 'put back'} {WORDS[what]}", "warning" if is_pulled else "info"
        )

    def _sum_up(self, watch: Watch) -> int:
        state, options = watch.state, self._options
        now = boottime()
        elapsed = now - (state.ready_at or state.started)
        # Ended early, by hand or by a fault: as many answers as there was time for.
        wanted = None if options.seconds is None else min(options.seconds, elapsed)
        expected = options.expected_good(wanted)
        if state.ready_at is None and not self._stopped:
            self._complain("The last lines of each part's log show where it got stuck:")
            self._print_events(watch, 12)
        if options.serial is not None:
            self._print("The inverter is real: its answers are counted as the RTU server does, every 10 s.")
        elif options.replay is not None:
            self._print("What was recorded is nobody's truth: answers were checked by their form alone.")
        elif options.meter is not None:
            self._print(
                "The meter is real: its registers are not known here, so answers were checked by their form alone."
            )
        for line in summary_lines(state, elapsed, expected, self._troubles):
            self._print(line)
        return 1 if self._troubles or faults(state.counts, expected) else 0

    def _log_again(self, watch: Watch) -> None:
        if not self._options.plain and self._console.is_terminal:
            self._print_events(watch, 5)  # the screen is gone, and what happened on it too

    def _print_events(self, watch: Watch, lines: int) -> None:
        for event in list(watch.state.events)[-lines:]:
            self._print(f"  {event.time} {event.who}: {event.text}")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _complain(self, text: str) -> None:
        self._console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)
