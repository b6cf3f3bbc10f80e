"""The registers of a PLENTICORE's own Modbus TCP server that show its meter [core].

Addresses, formats and byte order: KOSTAL, "Interface description MODBUS (TCP) & SunSpec", PIKO IQ/PLENTICORE, register
table 3.2 and notes 3, 5 and 7; port 1502, unit 71, function 3 as there. Values are floats of two registers each.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ksem_contract.registers import RegisterRange

ByteOrder = Literal["little", "big"]
"""`little`: the low register first (CDAB), as the inverter is shipped; `big`: the high one first (ABCD)."""

BYTE_ORDER: Final = RegisterRange(5, 1)
"""0 little, 1 big."""
METER: Final = RegisterRange(218, 40)
"""All values of the meter, as the inverter believes them."""
STATE: Final = RegisterRange(104, 20)
"""State of the energy manager (104, a whole number) to the grid operator's power limit (122, in %)."""
KIND: Final = RegisterRange(1082, 1)
"""Kind of meter that is set."""

KSEM: Final = 3
KINDS: Final[Mapping[int, str]] = {
    0: "SDM 630 (B+G E-Tech)",
    1: "B-Control EM-300 LR (TQ Systems)",
    3: "KOSTAL Smart Energy Meter",
    255: "no energy meter",
}
ENERGY_MANAGER: Final[Mapping[int, str]] = {
    0: "idle",
    2: "emergency battery charge",
    8: "winter mode step 1",
    16: "winter mode step 2",
}

_PHASE: Final = ("current", "power", "reactive_power", "apparent_power", "voltage")
_METER_KEYS: Final = (
    "power_factor",
    "frequency",
    *(f"{name}_l{phase}" for phase in (1, 2, 3) for name in _PHASE),
    "power",
    "reactive_power",
    "apparent_power",
)
"""Keys of the floats from 218 on, as `ksem/<meter>/values` has them."""
_FREQUENCIES: Final = (40.0, 70.0)
"""Hz that a grid may have: a float in the wrong byte order is far below or beyond."""
_FREQUENCY_AT: Final = 2


@dataclass(frozen=True, slots=True)
class Believed:
    """What the inverter believes of its meter, read between `sent` and `received` (seconds of CLOCK_BOOTTIME)."""

    sent: float
    received: float
    registers: tuple[int, ...]
    values: Mapping[str, float]
    """W, var, VA, A, V, Hz by key; power: plus is import (sensor position 2, grid connection)."""

    @property
    def power(self) -> float:
        """W; plus is import."""
        return self.values["power"]

    @property
    def phases(self) -> tuple[float, float, float]:
        """W of L1, L2, L3."""
        return self.values["power_l1"], self.values["power_l2"], self.values["power_l3"]

    @property
    def is_empty(self) -> bool:
        """Whether all values are 0: the inverter has no data of a meter."""
        return not any(self.registers)


def decode_meter(registers: Sequence[int], order: ByteOrder) -> dict[str, float]:
    """The values of METER by key. ValueError for what is no number."""
    values = {key: _float(registers, 2 * place, order) for place, key in enumerate(_METER_KEYS)}
    for key, value in values.items():
        if value - value != 0:
            raise ValueError(f"{key} is {value}")
    return values


def decode_state(registers: Sequence[int], order: ByteOrder) -> tuple[int, float]:
    """State of the energy manager, and the grid operator's limit in %, of STATE."""
    # The state is below 65536: one of its two registers is 0, whatever the order.
    return registers[0] | registers[1], _float(registers, 18, order)


def order_by_setting(registers: Sequence[int]) -> ByteOrder:
    """The byte order that BYTE_ORDER holds."""
    return "big" if registers[0] else "little"


def order_by_evidence(registers: Sequence[int]) -> ByteOrder | None:
    """The byte order in which METER holds a grid's frequency; None where neither does, or there is no meter."""
    orders: tuple[ByteOrder, ...] = ("little", "big")
    fitting = [order for order in orders if _is_frequency(frequency(registers, order))]
    return fitting[0] if len(fitting) == 1 else None


def frequency(registers: Sequence[int], order: ByteOrder) -> float:
    """Frequency in METER, Hz, whatever it is."""
    return _float(registers, _FREQUENCY_AT, order)


def _is_frequency(value: float) -> bool:
    return _FREQUENCIES[0] <= value <= _FREQUENCIES[1]


def _float(registers: Sequence[int], place: int, order: ByteOrder) -> float:
    first, second = registers[place], registers[place + 1]
    high, low = (first, second) if order == "big" else (second, first)
    return float(struct.unpack(">f", struct.pack(">2H", high, low))[0])
