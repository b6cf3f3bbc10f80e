"""How a running capture shows that it lives: one line that renews itself, or a line every few seconds [shell]."""

from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.status import Status

from service_runtime.clock import boottime

RENEW: Final = 0.5
PLAIN_EVERY: Final = 5.0


class Progress:
    """Show a line of text now and then; on a terminal in place, else line by line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = Status("", console=console, spinner="dots") if console.is_terminal else None
        self._next = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time for a new line."""
        return boottime() >= self._next

    def show(self, text: str) -> None:
        """Show the line."""
        self._next = boottime() + (RENEW if self._status else PLAIN_EVERY)
        if self._status:
            self._status.update(text)
        else:
            self._console.print(text, highlight=False, markup=False)

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._status:
            self._status.stop()
