"""The meter's register map [core]: instantaneous values, energy counters, identity, and data of other devices.

KOSTAL's whole document is not public: this is what ten independent implementations agree on
(`tests/data/ksem-registers.csv` names them). These addresses did not move with firmware 2.6.0.
"""

from typing import Final

from ksem_contract.registers import Register, RegisterType
from ksem_contract.sunspec import SUNSPEC_COMMON, SUNSPEC_END, SUNSPEC_METER

_Row = tuple[int, RegisterType, str, float, str, str, str]
"""Offset, type, unit, scale, key, name and OBIS code of a value, within the total or a phase."""


def _each_phase(start: int, step: int, count: int, rows: tuple[_Row, ...]) -> tuple[Register, ...]:
    """The same values for L1, L2 and L3."""
    return tuple(
        Register(
            start + step * index + offset,
            count,
            kind,
            unit,
            scale,
            f"{key}_{phase}",
            f"{name} {phase.upper()}, OBIS 1-0:{20 * (index + 1) + int(group)}.{rest}",
        )
        for index, phase in enumerate(("l1", "l2", "l3"))
        for offset, kind, unit, scale, key, name, code in rows
        for group, rest in [code.split(".", 1)]
    )


_ADDITIONS: Final = {"active_power_plus": " (import)", "active_power_minus": " (export)"}
"""What KOSTAL's names of totals have beside those of the phases."""


def _total(start: int, count: int, rows: tuple[_Row, ...]) -> tuple[Register, ...]:
    """The same values for the three phases together."""
    return tuple(
        Register(
            start + offset, count, kind, unit, scale, key, f"{name} total{_ADDITIONS.get(key, '')}, OBIS 1-0:{code}"
        )
        for offset, kind, unit, scale, key, name, code in rows
    )


_POWERS: Final[tuple[_Row, ...]] = (
    (0, "uint32", "W", 0.1, "active_power_plus", "Active power+", "1.4.0"),
    (2, "uint32", "W", 0.1, "active_power_minus", "Active power-", "2.4.0"),
    (4, "uint32", "var", 0.1, "reactive_power_plus", "Reactive power+", "3.4.0"),
    (6, "uint32", "var", 0.1, "reactive_power_minus", "Reactive power-", "4.4.0"),
    (16, "uint32", "VA", 0.1, "apparent_power_plus", "Apparent power+", "9.4.0"),
    (18, "uint32", "VA", 0.1, "apparent_power_minus", "Apparent power-", "10.4.0"),
)
_POWER_FACTOR: Final[_Row] = (24, "int32", "", 0.001, "power_factor", "Power factor", "13.4.0")

TOTAL: Final = (
    *_total(0, 2, (*_POWERS, _POWER_FACTOR)),
    Register(26, 2, "uint32", "Hz", 0.001, "frequency", "Supply frequency, OBIS 1-0:14.4.0"),
)
"""Instantaneous values, the three phases together. Plus is import from the grid, minus is export."""

PHASES: Final = _each_phase(
    40,
    40,
    2,
    (
        *_POWERS,
        (20, "uint32", "A", 0.001, "current", "Current", "11.4.0"),
        (22, "uint32", "V", 0.001, "voltage", "Voltage (L-N)", "12.4.0"),
        _POWER_FACTOR,
    ),
)
"""The same for each phase, with current (without a sign) and voltage."""

EXTRA: Final = (Register(146, 2, "uint32", "W", 0.1, "min_active_power_plus", "Minimum active power+"),)
"""In the block `live`, but in none of the groups that a KSEM pushes; what it means is not known."""

_ENERGIES: Final[tuple[_Row, ...]] = (
    (0, "uint64", "Wh", 0.1, "active_energy_plus", "Active energy+", "1.8.0"),
    (4, "uint64", "Wh", 0.1, "active_energy_minus", "Active energy-", "2.8.0"),
    (8, "uint64", "varh", 0.1, "reactive_energy_plus", "Reactive energy+", "3.8.0"),
    (12, "uint64", "varh", 0.1, "reactive_energy_minus", "Reactive energy-", "4.8.0"),
    (32, "uint64", "VAh", 0.1, "apparent_energy_plus", "Apparent energy+", "9.8.0"),
    (36, "uint64", "VAh", 0.1, "apparent_energy_minus", "Apparent energy-", "10.8.0"),
)

ENERGY_TOTAL: Final = _total(512, 4, _ENERGIES)
"""Counters of the three phases together."""

ENERGY_PHASES: Final = _each_phase(592, 80, 4, _ENERGIES)
"""Counters of the phases."""

INFO: Final = (
    Register(8192, 1, "uint16", "", 1, "manufacturer_id", "Manufacturer ID"),
    Register(8193, 1, "uint16", "", 1, "device_id", "Device/product ID"),
    Register(8194, 1, "uint16", "", 1, "product_version", "Product"),
    Register(8195, 1, "uint16", "", 1, "firmware_version", "Firmware version"),
    Register(8196, 16, "string", "", None, "vendor_name", "Vendor name, 32 bytes"),
    Register(8212, 16, "string", "", None, "product_name", "Product name, 32 bytes"),
    Register(8228, 16, "string", "", None, "serial_number", "Serial number, 32 bytes"),
    Register(8244, 1, "uint16", "ms", 1, "measuring_interval", "Measuring interval"),
    Register(8245, 4, "uint64", "ms", 1, "unix_time", "Unix time in milliseconds"),
    Register(8249, 1, "uint16", "", 1, "modbus_spec_version", "Modbus specification version"),
)
"""Who the meter is, and how it measures."""

ENERGY_FLOW: Final = (
    Register(40972, 2, "int32", "W", 1, "grid_power", "Grid power total"),
    Register(40974, 2, "int32", "W", 1, "sum_inverter_ac", "Sum inverter output AC"),
    Register(40976, 2, "int32", "W", 1, "sum_pv_dc", "Sum PV power DC"),
    Register(40982, 2, "int32", "W", 1, "home_consumption", "Home consumption"),
    Register(40984, 2, "int32", "W", 1, "sum_battery_dc", "Sum battery charge/discharge DC"),
    Register(40986, 1, "uint16", "%", 1, "system_soc", "System state of charge"),
    Register(40988, 2, "uint32", "W", 1, "home_from_pv", "Home consumption from PV"),
    Register(40990, 2, "uint32", "W", 1, "home_from_battery", "Home consumption from battery"),
    Register(40992, 2, "uint32", "W", 1, "home_from_grid", "Home consumption from grid"),
    Register(40994, 1, "uint16", "", 1, "charge_mode", "Active charge mode"),
    Register(40996, 2, "uint32", "W", 1, "wallbox_total", "Sum wallbox power"),
    Register(40998, 2, "uint32", "W", 1, "wallbox_pv", "Sum wallbox power from PV"),
    Register(41000, 2, "uint32", "W", 1, "wallbox_battery", "Sum wallbox power from battery"),
    Register(41002, 2, "uint32", "W", 1, "wallbox_grid", "Sum wallbox power from grid"),
    Register(41010, 2, "uint32", "W", 1, "inverter_control", "Sum inverter control values"),
    Register(41012, 1, "uint16", "", 1, "curtailment_active", "Curtailment active"),
)
"""Other devices, as far as they are set up in the KSEM. One source only."""

WALLBOX: Final = (
    Register(49206, 4, "uint64", "", 1, "enector_status", "Enector wallbox status"),
    Register(49218, 2, "uint32", "A", 0.001, "enector_current_l1", "Enector wallbox current L1"),
    Register(49246, 4, "uint64", "W", 0.001, "enector_power", "Enector charging power"),
    Register(49254, 4, "uint64", "Wh", 0.001, "enector_energy", "Enector charged energy"),
)
"""An Enector wallbox; exception 2 where none is set up. One source only."""

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
