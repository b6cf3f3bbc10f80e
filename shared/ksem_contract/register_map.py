"""All registers of the meter that are known, in order of their addresses."""

from typing import Final

from ksem_contract.meter_registers import (
    ENERGY_FLOW,
    ENERGY_PHASES,
    ENERGY_TOTAL,
    EXTRA,
    INFO,
    PHASES,
    TOTAL,
    WALLBOX,
)
from ksem_contract.register import Register
from ksem_contract.sunspec_registers import SUNSPEC_COMMON, SUNSPEC_END, SUNSPEC_METER

REGISTERS: Final[tuple[Register, ...]] = (
    *TOTAL,
    *PHASES,
    *EXTRA,
    *ENERGY_TOTAL,
    *ENERGY_PHASES,
    *INFO,
    *SUNSPEC_COMMON,
    *SUNSPEC_METER,
    *SUNSPEC_END,
    *ENERGY_FLOW,
    *WALLBOX,
)

BY_KEY: Final[dict[str, Register]] = {register.key: register for register in REGISTERS}


def register_at(address: int) -> Register | None:
    """The value that the register at `address` is part of; None in a gap."""
    return _AT.get(address)


_AT: Final[dict[int, Register]] = {
    address: register
    for register in REGISTERS
    for address in range(register.address, register.address + register.count)
}
