"""Derives from the registers that the inverter read on RS485 what it believes [core], with faults by option.

Addresses and formats: KOSTAL, "Interface description MODBUS (TCP) & SunSpec", PIKO IQ/PLENTICORE, register table 3.2.
"""

import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self

from ksem_contract.blocks import LIVE
from ksem_contract.registers import RegisterRange
from ksem_contract.values import decode_live

KSEM: Final = 3
"""Sensor type in register 1082."""
LOST_AFTER: Final = 5.0
"""Seconds without data after which the inverter shows 0 for every meter value. How long a real one waits is unknown."""
_HISTORY: Final = 30.0
"""Seconds of readings that are kept: the longest delay."""

ByteOrder = Literal["little", "big"]

_METER_FLOATS: Final = (
    "power_factor",
    "frequency",
    *(f"{name}_l{phase}" for phase in (1, 2, 3) for name in ("current", "power", "reactive_power", "apparent_power",
                                                            "voltage")),
    "power",
    "reactive_power",
    "apparent_power",
)  # fmt: skip
"""The values from register 218 on, a float of two registers each."""
METER_START: Final = 218
_POWERS: Final = ("power", "power_l1", "power_l2", "power_l3")
_SWAPPED: Final = {"_l1": "_l2", "_l2": "_l3", "_l3": "_l1"}


@dataclass(frozen=True, slots=True)
class BeliefPlan:
    """How the inverter goes wrong. Times are seconds."""

    delay: float = 0.4
    """From reading a value on RS485 to showing it on Modbus TCP."""
    wrong_sign: bool = False
    swapped_phases: bool = False
    frozen: bool = False
    factor: float = 1.0
    """Of all powers: 1.05 believes 5 % too much."""
    deadband: float = 0.0
    """W by which a power must have changed before new values are shown: then nothing moves at a constant load."""
    kind: int = KSEM
    """Kind of the meter, register 1082: 0 SDM 630, 1 EM-300 LR, 3 KSEM, 255 none."""
    energy_manager: int = 0
    power_limit: float = 100.0
    """The grid operator's limit in %."""

    def __post_init__(self) -> None:
        if not 0 <= self.delay <= _HISTORY:
            raise ValueError(f"delay {self.delay:g}: 0 to {_HISTORY:g} s")

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """With these fields changed. ValueError for a field that there is not."""
        try:
            return replace(self, **changes)
        except TypeError as error:
            raise ValueError(str(error)) from None


class Belief:
    """Takes what was read on RS485, gives the registers that the inverter shows."""

    def __init__(self, plan: BeliefPlan) -> None:
        self.plan = plan
        self._newest: list[int | None] = [None] * LIVE.count
        self._readings: deque[tuple[float, dict[str, float]]] = deque()
        self._frozen_at: dict[str, float] | None = None
        self._shown: dict[str, float] = {}

    def read(self, span: RegisterRange, registers: tuple[int, ...], now: float) -> None:
        """Registers came on RS485 at `now`."""
        if span.start < LIVE.start or span.start + span.count > LIVE.start + LIVE.count:
            return
        self._newest[span.start : span.start + span.count] = registers
        self._readings.append((now, decode_live(self._newest)))
        while self._readings[0][0] < now - _HISTORY - LOST_AFTER:
            self._readings.popleft()

    def values(self, now: float) -> dict[str, float]:
        """The meter's values as the inverter believes them at `now`; 0 for all where it has no meter."""
        if self.plan.frozen and self._frozen_at is not None:
            return self._frozen_at
        believed = self._spoiled(self._beyond_deadband(self._as_read(now - self.plan.delay)))
        self._frozen_at = believed if self.plan.frozen else None
        return believed

    def _as_read(self, before: float) -> dict[str, float]:
        for at, values in reversed(self._readings):
            if at <= before:
                return values if before - at < LOST_AFTER else {}
        return {}

    def _beyond_deadband(self, values: dict[str, float]) -> dict[str, float]:
        changes = [abs(values.get(key, 0.0) - self._shown.get(key, 0.0)) for key in _POWERS]
        if not (values and self._shown) or max(changes) >= self.plan.deadband:
            self._shown = values
        return self._shown

    def _spoiled(self, values: dict[str, float]) -> dict[str, float]:
        plan = self.plan
        factor = -plan.factor if plan.wrong_sign else plan.factor
        shown = {key: factor * value if "power" in key and "factor" not in key else value
                 for key, value in values.items()}  # fmt: skip
        if not plan.swapped_phases:
            return shown
        return {key[:-3] + _SWAPPED[key[-3:]] if key[-3:] in _SWAPPED else key: value for key, value in shown.items()}

    def registers(self, now: float, order: ByteOrder, unit: int) -> dict[int, int]:
        """All registers that there are, by address."""
        plan, values = self.plan, self.values(now)
        own = values.get("power", 0.0)
        shown: dict[int, int] = {2: 1, 4: unit, 5: int(order == "big"), 1080: 0, 1081: 0, 1082: plan.kind}
        shown |= _text(14, 8, "90000SIMULATED")
        shown |= _text(384, 32, "scb")
        shown |= _text(768, 32, "PLENTICORE plus")
        shown |= _text(800, 32, "10")
        shown |= _number(56, 6, order) | _number(104, plan.energy_manager, order)
        floats = dict.fromkeys(range(106, 122, 2), 0.0) | {100: 0.0, 122: plan.power_limit, 152: 50.01, 172: -own}
        floats |= {METER_START + 2 * place: values.get(key, 0.0) for place, key in enumerate(_METER_FLOATS)}
        for address, value in floats.items():
            shown |= _float(address, value, order)
        return shown


def _float(address: int, value: float, order: ByteOrder) -> dict[int, int]:
    return _pair(address, struct.pack(">f", value), order)


def _number(address: int, value: int, order: ByteOrder) -> dict[int, int]:
    return _pair(address, value.to_bytes(4, "big"), order)


def _pair(address: int, raw: bytes, order: ByteOrder) -> dict[int, int]:
    """Two registers; `little` has the low one first (CDAB), as the inverter is shipped."""
    high, low = struct.unpack(">2H", raw)
    return {address: high, address + 1: low} if order == "big" else {address: low, address + 1: high}


def _text(address: int, count: int, text: str) -> dict[int, int]:
    raw = text.encode("ascii").ljust(2 * count, b"\0")
    return {address + place: word for place, word in enumerate(struct.unpack(f">{count}H", raw))}
