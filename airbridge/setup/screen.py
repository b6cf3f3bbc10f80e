"""Shows texts and takes answers, in a terminal or from defaults [shell]."""

from typing import Final, Protocol

from rich.console import Console
from rich.prompt import Confirm as YesNo
from rich.prompt import IntPrompt, Prompt
from rich.text import Text as Styled

from airbridge.setup.steps import Choose, Confirm, Enter, Show, Text, text
from airbridge.setup.texts import OPTIONS, render

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
