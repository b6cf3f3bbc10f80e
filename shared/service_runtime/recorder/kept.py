"""Keeps the newest minutes of wire events, packed, in bounded memory; decides when to write a file [core]."""

import marshal
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from service_runtime.recorder.wire_events import WireEvent

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
