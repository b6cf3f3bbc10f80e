"""Models one direction of the line [core]: when which byte arrives."""

import math
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

BITS: Final = 11
"""Bits of a character: start, 8 data, 2 stop (8N2)."""
NEVER: Final = math.inf
FRAME_GAP: Final = 0.00175
"""Silence that ends a frame: 3.5 characters, fixed at this above 19200 baud (Modbus serial line specification)."""


def character_time(baudrate: int) -> float:
    """Seconds a character takes on the wire; 0 for baudrate 0: as fast as it goes."""
    return BITS / baudrate if baudrate else 0.0


class Travelling(NamedTuple):
    """A byte on its way."""

    value: int
    due: float
    """When its last stop bit ends."""
    owed: float
    """When it is to be handed over: `due`, or later where an adapter collects bytes."""


class Pacer:
    """Paces bytes on an absolute schedule: a late hand-over does not delay those behind it."""

    def __init__(self, character: float) -> None:
        self.character = character
        self.grain = 0.0
        """Bytes are handed over in ticks of so many seconds, as USB adapters do; 0: each when it is due."""
        self.batch = 1
        """So many bytes are handed over together, when the last of them is due: fewer wake-ups of this process."""
        self.free_at = 0.0
        """When the wire falls silent."""
        self.next_owed = NEVER
        """When bytes are to be handed over next."""
        self._travelling: deque[Travelling] = deque()

    def is_new_frame(self, now: float) -> bool:
        """Whether a byte that begins now begins a frame."""
        return now - self.free_at >= FRAME_GAP

    def send(self, items: Iterable[int | float], now: float) -> None:
        """Puts bytes (int) and pauses in seconds (float) on the wire, behind what is there."""
        free_at = max(self.free_at, now)
        for item in items:
            if isinstance(item, float):
                free_at += item
                continue
            free_at += self.character
            self._travelling.append(Travelling(item, free_at, self._owed(free_at)))
        self.free_at = free_at
        self._plan()

    def take(self, now: float) -> list[Travelling]:
        """The bytes that are owed by now."""
        travelling, owed = self._travelling, []
        while self.next_owed <= now:
            if self.batch == 1:
                owed.append(travelling.popleft())
            else:
                moment = self.next_owed
                together = [travelling.popleft() for _ in range(min(self.batch, len(travelling)))]
                owed.extend(byte._replace(owed=moment) for byte in together)
            self._plan()
        return owed

    def clear(self) -> None:
        """What was on its way is lost."""
        self._travelling.clear()
        self.free_at = 0.0
        self._plan()

    def _plan(self) -> None:
        travelling = self._travelling
        self.next_owed = travelling[min(self.batch, len(travelling)) - 1].owed if travelling else NEVER

    def _owed(self, due: float) -> float:
        return due if not self.grain else (int(due / self.grain) + 1) * self.grain
