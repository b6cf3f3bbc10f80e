"""Delivers notifications in a thread of its own, by apprise [shell].

apprise is an extra of the distribution and is imported when the first message is delivered: it costs some megabytes.
An address holds a password or a token, so it is never logged or shown: a receiver is named by its line and its kind.
"""

import importlib.util
import logging
import queue
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ksem_dashboard.notification_text import Message
from service_runtime.threads import WatchedThread

HANGS_AFTER: Final = 180.0
"""Seconds for one delivery: a mail server may take its time over each of several steps."""
_MAX_ERROR: Final = 160

Deliver = Callable[[str, Message], str]
"""Delivers a message to an address; returns what went wrong, or nothing."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """One line of the file of addresses."""

    name: str
    """As it may be shown: `line 2 (mailto)`."""
    url: str


def read_receivers(path: Path) -> list[Receiver]:
    """The receivers of a file: an address of apprise a line; empty lines and those that begin with # are left out.

    ValueError where a line is no address or none is there, OSError where the file can't be read.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        kind, separator, rest = text.partition("://")
        if not separator or not rest or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", kind):
            raise ValueError(f"line {number} is no address like mailto://user:password@mail.example")
        found.append(Receiver(f"line {number} ({kind.lower()})", text))
    if not found:
        raise ValueError("it holds no address: write one of apprise's a line, as ntfy://ntfy.example/my-topic")
    return found


def has_apprise() -> bool:
    """Whether the library is installed."""
    return importlib.util.find_spec("apprise") is not None


def deliver_by_apprise(url: str, message: Message) -> str:
    """Deliver to one address; return what went wrong, empty where it arrived."""
    try:
        import apprise  # noqa: PLC0415  (an extra, and heavy: only where it is used)
    except ImportError as error:
        return f"the library apprise can't be loaded: {error}"
    errors = _LastError()
    log = logging.getLogger("apprise")
    log.addHandler(errors)
    propagated, log.propagate = log.propagate, False
    try:
        sender = apprise.Apprise()
        if not sender.add(url):
            return "apprise knows no such address: see its list of services, and write special characters as %40"
        arrived = sender.notify(body=message.body, title=message.title)
    except Exception as error:  # noqa: BLE001  (a plugin of a service that we don't know: its receiver is reported)
        return type(error).__name__
    finally:
        log.propagate = propagated
        log.removeHandler(errors)
    return "" if arrived else errors.text or "the service did not take it"


class _LastError(logging.Handler):
    """Keeps the last warning of apprise."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = re.sub(r"\S+://\S+", "(an address)", record.getMessage())
        self.text = " ".join(text.split()).rstrip(".")[:_MAX_ERROR]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a message."""

    receiver: int
    error: str
    """Empty where it arrived."""


class DeliveryThread:
    """Takes messages, delivers one after another, keeps the results until they are fetched."""

    def __init__(self, receivers: Sequence[Receiver], deliver: Deliver = deliver_by_apprise) -> None:
        self._receivers = receivers
        self._deliver = deliver
        self._jobs: queue.SimpleQueue[tuple[int, Message]] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._doing: int | None = None
        self.thread = WatchedThread("notify", self._work, HANGS_AFTER)
        self.thread.on_restart = self._on_restart

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        self.thread.start()

    def send(self, receiver: int, message: Message) -> None:
        """Have a message delivered to the receiver of this number."""
        self._jobs.put((receiver, message))

    def results(self) -> list[Result]:
        """What became of messages since the last call."""
        found = []
        while not self._results.empty():
            found.append(self._results.get())
        return found

    def _work(self) -> None:
        while self.thread.turned():
            try:
                receiver, message = self._jobs.get(timeout=1.0)
            except queue.Empty:
                continue
            self._doing = receiver
            error = self._deliver(self._receivers[receiver].url, message)
            if not self.thread.turned():
                return  # it hung, and was reported as failed
            self._doing = None
            self._results.put(Result(receiver, error))

    def _on_restart(self, fault: str) -> None:
        if self._doing is not None:
            self._results.put(Result(self._doing, f"the delivery {fault}"))
            self._doing = None


def send_trial(receivers: Sequence[Receiver], message: Message, deliver: Deliver = deliver_by_apprise) -> list[Any]:
    """Deliver a trial message to each receiver; return pairs of its name and what went wrong."""
    return [(receiver.name, deliver(receiver.url, message)) for receiver in receivers]
