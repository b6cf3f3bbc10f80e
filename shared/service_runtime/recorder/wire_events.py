"""Where a service notes what goes over its wires: an append where it happens, everything else later and elsewhere.

What is noted, with its key and its bytes:

    in, out     line            what was read from an RS485 port, and written to it
    forget      line            what lay on the port was thrown away: the process had stood still
    connected   peer            the meter has opened a connection to push over
    closed      peer            it is gone
    write       peer            function, unit, start (two bytes), register words
    poll        -               start and count (two bytes each) of a read sent to the meter
    answered    -               register words: the answer to the last poll
    refused     -               exception code: the answer to the last poll
    failed      -               why the last poll has no answer, in words
    held        block           start, register words: what the service held when the file was written
    note        word            words for people: a link or the service's state has changed
    session     -               the session of this publisher
    clock       meter           session, offset and uncertainty in seconds: what echoes tell of the publisher's clock
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
    """Where: a line's name, a peer's address."""
    data: bytes


class EventQueue:
    """Takes events from any thread while it is `on`; whoever notes one asks that first."""

    __slots__ = ("_fresh", "_waiting", "dropped", "on")

    def __init__(self) -> None:
        self.on = False
        self.dropped = 0
        """Events for which there was no room; set to 0 by whoever tells of them."""
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
        """Note words for people."""
        if self.on:
            self.add(at, NOTE, word, text.encode()[:LONGEST_EVENT])

    def take(self) -> list[WireEvent]:
        """What was noted since the last time, in the order in which it was."""
        fresh = self._fresh
        taken = [WireEvent(*fresh.popleft()) for _ in range(len(fresh))]
        self._waiting = 0
        return taken


OFF: Final = EventQueue()
"""Stands where nobody records; it is never switched on."""
