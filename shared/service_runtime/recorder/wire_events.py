"""The wire events of a service [core]: a queue that threads append to, and the newest minutes of them, packed.

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

import marshal
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
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


MOST_KEPT: Final = 131_072
"""Bytes: some minutes, since a meter's data differs little from cycle to cycle."""
_TOGETHER: Final = 128
"""Events that are packed together: some seconds."""

AFTERMATH: Final = 5.0
"""Seconds from a fault to the file, so that it also shows what followed."""
PAUSE: Final = 300.0
"""Seconds between two files at least: a link that flaps shall not fill the disk."""


class KeptEvents:
    """Keeps the newest events, in the order in which they come."""

    def __init__(self, most_bytes: int = MOST_KEPT) -> None:
        self._most = most_bytes
        self._fresh: list[tuple[float, str, str, bytes]] = []
        self._packed: deque[bytes] = deque()
        self._size = 0

    def keep(self, events: Iterable[WireEvent]) -> None:
        """Keep these, and drop the oldest ones."""
        self._fresh.extend((one.at, one.what, one.key, one.data) for one in events)
        if len(self._fresh) < _TOGETHER:
            return
        packed = _pack(self._fresh)
        self._fresh.clear()
        self._packed.append(packed)
        self._size += len(packed)
        while self._size > self._most and len(self._packed) > 1:
            self._size -= len(self._packed.popleft())

    def copy(self, more: Iterable[WireEvent] = ()) -> list[bytes]:
        """The events, packed for `unpacked`, with `more` behind them."""
        return [*self._packed, _pack(self._fresh), _pack([(one.at, one.what, one.key, one.data) for one in more])]


def _pack(events: list[tuple[float, str, str, bytes]]) -> bytes:
    return zlib.compress(marshal.dumps(events), 1)


def unpacked(chunks: Iterable[bytes]) -> Iterator[WireEvent]:
    """The events of some chunks."""
    for chunk in chunks:
        for event in marshal.loads(zlib.decompress(chunk)):  # noqa: S302  our own, from this process's memory
            yield WireEvent(*event)


class FlightRecorder(KeptEvents):
    """Also decides when to write: some seconds after a fault began, once a fault, not too often."""

    def __init__(self) -> None:
        super().__init__()
        self._was_well = False
        self._due: float | None = None
        self._why = ""
        self._not_before = float("-inf")

    def look(self, trouble: str, now: float) -> str | None:
        """`trouble`: what is wrong; empty: nothing. Returns why to write now; None: nothing is to be written."""
        if trouble and self._was_well and self._due is None and now >= self._not_before:
            self._due, self._why = now + AFTERMATH, trouble
        self._was_well = not trouble
        if self._due is None or now < self._due:
            return None
        self._due, self._not_before = None, now + PAUSE
        return self._why
