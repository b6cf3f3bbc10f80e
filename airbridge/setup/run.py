"""Carries out the wizard's steps; shows texts and takes answers, in a terminal or from defaults [shell]."""

from collections.abc import Callable
from typing import Any, Final, Protocol

from rich.console import Console
from rich.prompt import Confirm as YesNo
from rich.prompt import IntPrompt, Prompt
from rich.text import Text as Styled

from airbridge.doctor.gather_meter import gather_meter
from airbridge.setup import network, save, serial_ports, services
from airbridge.setup.network import log_in, wait_for_push
from airbridge.setup.serial_ports import listen_to_line
from airbridge.setup.steps import (
    BrokerAnswer,
    Choose,
    Confirm,
    Enter,
    FindAnnounced,
    LineAnswer,
    ListAdapters,
    ListenToLine,
    ListNetworks,
    LookAtMeter,
    PushAnswer,
    Restart,
    RunDoctor,
    Save,
    ScanNetworks,
    Show,
    Step,
    Steps,
    Text,
    TryBroker,
    WaitForPush,
    text,
)
from airbridge.setup.texts import OPTIONS, render
from airbridge.setup.wizard_input import Existing

_STYLES: Final = {
    "title": ("", "bold"),
    "good": ("✓ ", "green"),
    "note": ("  ", ""),
    "bad": ("✗ ", "red"),
    "todo": ("→ ", "yellow"),
}


class Unanswered(Exception):
    """A question without a default came up where nobody can answer; the text names the option."""


class Answers(Protocol):
    """Where answers come from."""

    def confirm(self, step: Confirm) -> bool: ...
    def choose(self, step: Choose) -> str: ...
    def enter(self, step: Enter) -> str: ...


class Screen:
    """Prints."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def show(self, step: Show) -> None:
        """One text, marked by its kind."""
        mark, style = _STYLES[step.kind]
        shown = render(step.text).replace("\n", "\n" + " " * len(mark))
        self.console.print(Styled(f"{mark}{shown}", style), soft_wrap=True)


class TerminalAnswers:
    """A person answers."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def confirm(self, step: Confirm) -> bool:
        """By y or n."""
        return YesNo.ask(Styled(render(step.text)), console=self._console, default=step.default)

    def choose(self, step: Choose) -> str:
        """By a number."""
        self._console.print(Styled(render(step.text), "bold"))
        values = [option.value for option in step.options]
        for number, option in enumerate(step.options, 1):
            self._console.print(Styled(f"  {number}  {render(option.text)}"), soft_wrap=True)
        numbers = [str(number) for number in range(1, len(values) + 1)]
        label = render(text("answer number"))
        if step.default is None:
            return values[IntPrompt.ask(label, console=self._console, choices=numbers) - 1]
        default = values.index(step.default) + 1
        return values[IntPrompt.ask(label, console=self._console, choices=numbers, default=default) - 1]

    def enter(self, step: Enter) -> str:
        """By a line; a secret one is not shown."""
        label = Styled(render(step.text))
        if step.default is None:
            return Prompt.ask(
                label, console=self._console, password=step.secret, default="", show_default=False
            ).strip()
        return Prompt.ask(label, console=self._console, password=step.secret, default=step.default).strip()


class DefaultAnswers:
    """Without prompts (`--yes`): each question's default counts, and one without a default ends the run."""

    def confirm(self, step: Confirm) -> bool:
        """Yes or no, as the question proposes; what failed its test is not written."""
        if step.key == "untested":
            raise _unanswered(step.key, step.text)
        return step.default

    def choose(self, step: Choose) -> str:
        """The proposed one."""
        if step.default is None:
            raise _unanswered(step.key, step.text)
        return step.default

    def enter(self, step: Enter) -> str:
        """The proposed one, which has failed where it is the settings' own: so there is none."""
        raise _unanswered(step.key, step.text)


def _unanswered(key: str, question: Text) -> Unanswered:
    return Unanswered(render(text("unanswered", question=render(question), option=OPTIONS[key])))


class Runner:
    """Drives one wizard to its end."""

    def __init__(self, screen: Screen, answers: Answers, existing: Existing) -> None:
        self._screen = screen
        folder = existing.folder
        self._ways: dict[type[Step[Any]], Callable[[Any], Any]] = {
            Show: screen.show,
            Confirm: answers.confirm,
            Choose: answers.choose,
            Enter: answers.enter,
            FindAnnounced: lambda _: self._busy(network.find_announced),
            ListNetworks: lambda _: network.own_networks(),
            ScanNetworks: lambda step: self._busy(lambda: network.scan(step.networks)),
            LookAtMeter: lambda step: self._busy(lambda: gather_meter(step.place)),
            ListAdapters: lambda _: serial_ports.list_adapters(),
            TryBroker: self._try_broker,
            ListenToLine: self._listen,
            WaitForPush: self._wait_for_push,
            Save: lambda step: save.save(folder, step.files),
            Restart: lambda step: services.restart(step.services, folder),
            RunDoctor: lambda _: services.run_doctor(folder),
        }

    def run(self, wizard: Steps[int]) -> int:
        """Carry out one step after the other; returns the exit code."""
        try:
            step = next(wizard)
            while True:
                step = wizard.send(self._ways[type(step)](step))
        except StopIteration as end:
            return int(end.value)

    def _busy(self, work: Callable[[], Any]) -> Any:
        with self._screen.console.status("..."):
            return work()

    def _try_broker(self, step: TryBroker) -> BrokerAnswer:
        answer: BrokerAnswer = self._busy(lambda: log_in(step.mqtt))
        return answer

    def _listen(self, step: ListenToLine) -> LineAnswer:
        """Ctrl-C ends the wait alone."""
        try:
            answer: LineAnswer = self._busy(lambda: listen_to_line(step))
        except KeyboardInterrupt:
            return LineAnswer("silent", step.mode)
        return answer

    def _wait_for_push(self, step: WaitForPush) -> PushAnswer:
        """Ctrl-C ends the wait alone."""
        try:
            answer: PushAnswer = self._busy(lambda: wait_for_push(step))
        except KeyboardInterrupt:
            return PushAnswer("nothing")
        return answer
