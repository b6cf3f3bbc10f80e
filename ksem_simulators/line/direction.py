"""Models one direction of the line [core]: when which byte arrives, and what damages its frames."""

import math
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

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


KINDS: Final = {
    "noise": "bytes HEX arrive before byte AT of a frame (0: before the frame, -1: behind it)",
    "flip": "byte AT arrives with the bits of MASK changed",
    "truncate": "byte AT and all behind it are lost",
    "silence": "the line is silent for MS before byte AT",
    "drop": "byte AT is lost; with CHANCE each byte is lost with that probability",
}


@dataclass(slots=True)
class FrameFault:
    """A fault that hits the next `times` frames (None: until it is cleared)."""

    kind: str
    at: int = 0
    data: bytes = b""
    mask: int = 0x01
    seconds: float = 0.0
    chance: float = 0.0
    times: int | None = None

    @classmethod
    def of(cls, kind: str, parameters: dict[str, Any]) -> Self:
        """From a command. ValueError names what is wrong."""
        if kind not in KINDS:
            raise ValueError(f"fault {kind!r}: {', '.join(KINDS)}")
        allowed = {"at", "hex", "mask", "ms", "chance", "times"}
        if unknown := set(parameters) - allowed:
            raise ValueError(f"{', '.join(sorted(unknown))}: a fault takes {', '.join(sorted(allowed))}")
        times = parameters.get("times")
        fault = cls(
            kind,
            int(parameters.get("at", 0)),
            bytes.fromhex(parameters.get("hex", "")),
            int(parameters.get("mask", 1)),
            float(parameters.get("ms", 0.0)) / 1000.0,
            float(parameters.get("chance", 0.0)),
            None if times is None else int(times),
        )
        if kind == "noise" and not fault.data:
            raise ValueError("noise needs hex, the bytes that arrive")
        return fault


class FrameFaults:
    """The faults of one direction."""

    def __init__(self, seed: int = 1) -> None:
        self._faults: list[FrameFault] = []
        self._hitting: list[FrameFault] = []
        self._position = 0
        self._random = random.Random(seed)
        self.hits = 0
        """Frames that a fault has hit."""

    def add(self, fault: FrameFault) -> None:
        """From the next frame on."""
        self._faults.append(fault)

    def clear(self) -> None:
        """No more faults, from the next bytes on."""
        self._faults.clear()
        self._hitting.clear()

    def apply(self, data: bytes, *, new_frame: bool) -> list[int | float]:
        """What arrives of `data`: bytes and pauses (seconds, float)."""
        if new_frame:
            self._begin_frame()
        if not self._hitting:
            self._position += len(data)
            return list(data)
        arriving: list[int | float] = []
        for value in data:
            self._pass(value, arriving)
            self._position += 1
        for fault in self._hitting:
            if fault.kind == "noise" and fault.at < 0:
                arriving.extend(fault.data)
        return arriving

    def _begin_frame(self) -> None:
        self._position = 0
        self._hitting = [fault for fault in self._faults if fault.times != 0]
        self._faults = list(self._hitting)
        for fault in self._hitting:
            if fault.times is not None:
                fault.times -= 1
        self.hits += bool(self._hitting)

    def _pass(self, value: int, arriving: list[int | float]) -> None:
        for fault in self._hitting:
            here = self._position == fault.at
            if fault.kind == "noise" and here:
                arriving.extend(fault.data)
            elif fault.kind == "silence" and here:
                arriving.append(fault.seconds)
            elif fault.kind == "flip" and here:
                value ^= fault.mask
            elif self._is_lost(fault, here=here):
                return
        arriving.append(value)

    def _is_lost(self, fault: FrameFault, *, here: bool) -> bool:
        if fault.kind == "truncate":
            return self._position >= fault.at
        if fault.kind == "drop":
            return self._random.random() < fault.chance if fault.chance else here
        return False
