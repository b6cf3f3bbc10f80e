"""The queue of a service's wire events: threads append to it, the recorder takes everything from it later [core].

Each event, with its key and its bytes:

    in, out     line            bytes that were read from an RS485 port, and written to it
    forget      line            the bytes on the port were thrown away: the process had stalled
    connected   peer            the meter has opened a connection to push over
    closed      peer            the meter has closed it
    write       peer            function, unit, start (two bytes), register words
    poll        -               start and count (two bytes each) of a read sent to the meter
    answered    -               register words: the answer to the last poll
    refused     -               exception code: the answer to the last poll
    failed      -               why the last poll has no answer, as text
    held        block           start, registers: what the service held when the file was written
    note        word            text for people: a link or the service's state has changed
    session     -               the session of this publisher
    clock       meter           session, offset and uncertainty in seconds: the publisher's clock, from echoes
"""

from collections import deque
from typing import Final, NamedTuple

IN: Final = "in"
OUT: Final = "out"
FORGET: Final = "forget"
CONNECTED: Final = "connected"
CLOSED: Final = "closed"
WRITE: Final = "write"
POLL: Final = "poll"
ANSWERED: Final = "answered"
REFUSED: Final = "refused"
FAILED: Final = "failed"
HELD: Final = "held"
NOTE: Final = "note"
SESSION: Final = "session"
CLOCK: Final = "clock"

MOST_WAITING: Final = 131_072
"""Bytes that wait to be taken: far more than comes within a tick, and all that a flood can cost."""
_TUPLE: Final = 160
"""Bytes that an event costs beside its data, about."""
LONGEST_EVENT: Final = 4096
"""Bytes of one event at most."""


class WireEvent(NamedTuple):
    """One thing that happened, undecoded."""

    at: float
    """CLOCK_BOOTTIME of the service, in seconds."""
    what: str
    key: str
    """Its source: a line's name, a peer's address."""
    data: bytes


class EventQueue:
    """Takes events from any thread while it is `on`; callers check that first."""

    __slots__ = ("_fresh", "_waiting", "dropped", "on")

    def __init__(self) -> None:
        self.on = False
        self.dropped = 0
        """Events for which there was no room; the recorder reports them and sets this to 0."""
        self._fresh: deque[tuple[float, str, str, bytes]] = deque()
        self._waiting = 0

    def add(self, at: float, what: str, key: str, data: bytes) -> None:
        """Note an event. Counts are not exact where two threads are in here at once, and need not be."""
        size = len(data) + _TUPLE
        if self._waiting + size > MOST_WAITING:
            self.dropped += 1
            return
        self._waiting += size
        self._fresh.append((at, what, key, data))

    def note(self, at: float, word: str, text: str) -> None:
        """Add a text for people."""
        if self.on:
            self.add(at, NOTE, word, text.encode()[:LONGEST_EVENT])

    def take(self) -> list[WireEvent]:
        """The events since the last call, in their order."""
        fresh = self._fresh
        taken = [WireEvent(*fresh.popleft()) for _ in range(len(fresh))]
        self._waiting = 0
        return taken


OFF: Final = EventQueue()
"""Stands for a queue where nothing is recorded; it is never switched on."""
