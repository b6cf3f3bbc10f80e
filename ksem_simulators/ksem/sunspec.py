"""The meter's SunSpec chain [core]: marker, common model 1, meter model 203, end.

From firmware 2.6.0 on the common model has a pad word, so everything behind it stands one higher; before, the maker's
name was shorter. The current's sum, line-to-line voltages and reactive energies are "not supported", as on a KSEM.
"""

import struct
from typing import Final

from ksem_simulators.ksem.energies import Counters
from ksem_simulators.ksem.measurement import Measurement

_NO_INT: Final = 0x8000
_NO_COUNT: Final = 0x8000_0000
_METER_MODEL: Final = 203
_METER_LENGTH: Final = 105


def sunspec_words(
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
    words: list[int] = [_NO_INT, *(phase.current // 10 for phase in phases), -2]
    words += [sum(phase.voltage for phase in phases) // 30, *(phase.voltage // 10 for phase in phases)]
    words += [_NO_INT] * 4 + [-2, measurement.frequency // 10, -2]
    words += [*(channel.active // 100 for channel in channels), 1]
    words += [*(channel.apparent // 100 for channel in channels), 1]
    words += [*(channel.reactive // 100 for channel in channels), 1]
    words += [*(channel.power_factor for channel in channels), -3]
    body = struct.pack(f">{len(words)}H", *(word & 0xFFFF for word in words))
    body += struct.pack(">8Ih", *(c[1] // 10 for c in counters), *(c[0] // 10 for c in counters), 0)
    body += struct.pack(">8Ih", *(c[5] // 10 for c in counters), *(c[4] // 10 for c in counters), 0)
    body += struct.pack(">16Ih", *([_NO_COUNT] * 16), 0)
    return body + struct.pack(">I", 0)
