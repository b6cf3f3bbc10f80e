"""Damages frames on the line [core]: noise, flipped bits, cuts, silence, lost bytes."""

import random
from dataclasses import dataclass
from typing import Any, Final, Self

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
