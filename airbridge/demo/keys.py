"""Reads single keys from the terminal, without Enter [shell]. It restores the terminal's modes, whatever happens."""

import os
import select
import sys
import termios
import tty
from types import TracebackType
from typing import Any, Self


class Keys:
    """Use with `with`. Where standard input is no terminal there are no keys."""

    def __init__(self) -> None:
        self._fd = sys.stdin.fileno() if _is_ours() else None
        self._before: Any = None

    def wait(self, patience: float) -> str:
        """The keys pressed, after waiting at most `patience` seconds for the first; empty where none was."""
        watched = [] if self._fd is None else [self._fd]
        ready, _, _ = select.select(watched, [], [], patience)
        if not ready or self._fd is None:
            return ""
        pressed = os.read(self._fd, 64)
        if not pressed:
            self._fd = None  # the terminal is gone
        return pressed.decode("utf-8", "ignore")

    def __enter__(self) -> Self:
        if self._fd is not None:
            self._before = termios.tcgetattr(self._fd)
            tty.setcbreak(self._fd)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._fd is not None and self._before is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)


def _is_ours() -> bool:
    """Whether there is a terminal to read from. One that belongs to another job would stop this process."""
    try:
        if not sys.stdin.isatty():
            return False
    except (AttributeError, ValueError):
        return False  # standard input is closed
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return True  # it is nobody's controlling terminal, so there are no jobs on it
