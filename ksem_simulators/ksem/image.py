"""Encodes the meter's registers as bytes [core]: big-endian words, high word first.

Nobody has published what a KSEM's gap words hold. Here each holds `0xC000 | address`, never 0: so an answer in which a
word was filled up with zero is seen at once. 146-147 holds a constant too.

The SunSpec chain is the marker, common model 1, meter model 203, and the end. From firmware 2.6.0 on the common model
has a pad word, so everything behind it stands one higher; before, the maker's name was shorter. The current's sum,
line-to-line voltages and reactive energies are "not supported", as on a KSEM. `foreign_registers` are another device's.
"""

import struct
from typing import Final

from ksem_contract.blocks import DEVICE, ENERGY, LIVE
from ksem_contract.registers import RegisterRange
from ksem_simulators.ksem.measurement import Channel, Counters, Measurement

_MIN_ACTIVE_POWER: Final = 1503
"""146-147, "minimum active power+", 0.1 W: meaning unclear, so a constant."""
_HEAD: Final = struct.Struct(">IIII")
_APPARENT: Final = struct.Struct(">II")
_TOTAL_TAIL: Final = struct.Struct(">iI")
_PHASE_TAIL: Final = struct.Struct(">IIIIi")
_ACTIVE_ENERGY: Final = struct.Struct(">QQQQ")
_APPARENT_ENERGY: Final = struct.Struct(">QQ")
_PHASES_AT: Final = (40, 80, 120)
_ENERGIES_AT: Final = (512, 592, 672, 752)


def gap_word(address: int) -> int:
    """What a word without meaning holds."""
    return 0xC000 | address


def gaps(block: RegisterRange) -> bytes:
    """A block in which every word is a gap."""
    return struct.pack(f">{block.count}H", *(gap_word(address) for address in range(block.start, block.stop)))


_LIVE_GAPS: Final = gaps(LIVE)
_ENERGY_GAPS: Final = gaps(ENERGY)


def live_words(measurement: Measurement) -> bytes:
    """Registers 0-147."""
    registers = bytearray(_LIVE_GAPS)
    total = measurement.total
    _put_powers(registers, 0, total)
    _TOTAL_TAIL.pack_into(registers, 2 * 24, total.power_factor, measurement.frequency)
    for start, phase in zip(_PHASES_AT, measurement.phases, strict=True):
        apparent = _put_powers(registers, start, phase)
        _PHASE_TAIL.pack_into(registers, 2 * (start + 16), *apparent, phase.current, phase.voltage, phase.power_factor)
    struct.pack_into(">I", registers, 2 * 146, _MIN_ACTIVE_POWER)
    return bytes(registers)


def _put_powers(registers: bytearray, start: int, channel: Channel) -> tuple[int, int]:
    active, reactive, apparent = channel.active, channel.reactive, channel.apparent
    _HEAD.pack_into(registers, 2 * start, max(active, 0), max(-active, 0), max(reactive, 0), max(-reactive, 0))
    both = (apparent, 0) if active >= 0 else (0, apparent)
    _APPARENT.pack_into(registers, 2 * (start + 16), *both)
    return both


def energy_registers(counters: tuple[Counters, ...]) -> bytes:
    """Registers 512-791."""
    registers = bytearray(_ENERGY_GAPS)
    for start, values in zip(_ENERGIES_AT, counters, strict=True):
        at = 2 * (start - ENERGY.start)
        _ACTIVE_ENERGY.pack_into(registers, at, *values[:4])
        _APPARENT_ENERGY.pack_into(registers, at + 2 * 32, *values[4:])
    return bytes(registers)


def device_registers(*, firmware: int, interval_ms: int, unix_ms: int) -> bytes:
    """Registers 8192-8249. The manufacturer id is not published; 0x5233 is made up."""
    registers = struct.pack(
        ">4H32s32s32sHQH",
        0x5233,
        0x4852,
        0x0100,
        firmware,
        b"KOSTAL Solar Electric GmbH",
        b"KOSTAL Smart Energy Meter G2",
        b"00000000SIMULATED",
        interval_ms,
        unix_ms,
        7,
    )
    if len(registers) != 2 * DEVICE.count:
        raise AssertionError(f"{len(registers)} bytes for {DEVICE}")
    return registers


def energy_flow_registers(load: float, pv: float, battery: float, charge: float, grid: float) -> bytes:
    """Registers 40972-41012, seen on meters that know of an inverter, a battery or a wallbox."""
    registers = bytearray(gaps(RegisterRange(40972, 41)))
    struct.pack_into(">iii", registers, 0, round(grid), round(pv - battery), round(pv))
    struct.pack_into(">iiH", registers, 2 * 10, round(load), round(battery), round(100 * charge))
    return bytes(registers)


_NO_INT: Final = 0x8000
_NO_COUNT: Final = 0x8000_0000
_METER_MODEL: Final = 203
_METER_LENGTH: Final = 105


def sunspec_registers(
    measurement: Measurement, counters: tuple[Counters, Counters, Counters, Counters], *, padded: bool, version: str
) -> bytes:
    """Registers from 40000 on: 179 of them when `padded` (firmware 2.6.0 and later), 178 else."""
    maker = b"KOSTAL Solar Electric GmbH" if padded else b"KOSTAL"
    common = struct.pack(
        ">4sHH32s32s16s16s32sH",
        b"SunS",
        1,
        66 if padded else 65,
        maker,
        b"KOSTAL Smart Energy Meter G2",
        b"",
        version.encode(),
        b"00000000SIMULATED",
        1,
    )
    pad = b"\x80\x00" if padded else b""
    meter = struct.pack(">HH", _METER_MODEL, _METER_LENGTH) + _meter(measurement, counters)
    return common + pad + meter + struct.pack(">HH", 0xFFFF, 0)


def _meter(measurement: Measurement, counters: tuple[Counters, Counters, Counters, Counters]) -> bytes:
    phases = measurement.phases
    channels = (measurement.total, *phases)
    registers: list[int] = [_NO_INT, *(phase.current // 10 for phase in phases), -2]
    registers += [sum(phase.voltage for phase in phases) // 30, *(phase.voltage // 10 for phase in phases)]
    registers += [_NO_INT] * 4 + [-2, measurement.frequency // 10, -2]
    registers += [*(channel.active // 100 for channel in channels), 1]
    registers += [*(channel.apparent // 100 for channel in channels), 1]
    registers += [*(channel.reactive // 100 for channel in channels), 1]
    registers += [*(channel.power_factor for channel in channels), -3]
    body = struct.pack(f">{len(registers)}H", *(word & 0xFFFF for word in registers))
    body += struct.pack(">8Ih", *(c[1] // 10 for c in counters), *(c[0] // 10 for c in counters), 0)
    body += struct.pack(">8Ih", *(c[5] // 10 for c in counters), *(c[4] // 10 for c in counters), 0)
    body += struct.pack(">16Ih", *([_NO_COUNT] * 16), 0)
    return body + struct.pack(">I", 0)


def foreign_registers(span: RegisterRange, seconds: float) -> bytes:
    """Registers of a made-up inverter: floats with the low word first, as a Plenticore has them, moving with time."""
    registers = []
    for address in range(span.start, span.stop):
        high, low = struct.unpack(">HH", struct.pack(">f", 231.4 + address // 2 + seconds % 10.0))
        registers.append(low if address % 2 == 0 else high)
    return struct.pack(f">{len(registers)}H", *registers)
