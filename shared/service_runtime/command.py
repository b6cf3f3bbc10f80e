"""The command line of a service: --config, --check, --log-level, --version; signals; exit codes [shell]."""

import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

if TYPE_CHECKING:
    import asyncio  # at run time only where a service uses it: it costs 8 MB

S = TypeVar("S")


@attrs.frozen(kw_only=True)
class Command(Generic[S]):
    """What a service's command is called, says about itself and reads."""

    name: str
    summary: str
    settings_class: type[S]
    default_path: Path
    examples: Sequence[str] = ()


def run(
    command: Command[S], serve: Callable[[S, threading.Event], int | None], argv: Sequence[str] | None = None
) -> int:
    """Run a service made of threads; `serve` returns soon after the event is set. Returns the exit code."""
    raise NotImplementedError


def run_async(
    command: Command[S],
    serve: "Callable[[S, asyncio.Event], Coroutine[Any, Any, int | None]]",
    argv: Sequence[str] | None = None,
) -> int:
    """Run a service made of coroutines; as `run`."""
    raise NotImplementedError
