"""The meter's SunSpec models: their registers, and the walk that finds them step by step [core].

SunSpec: the marker `SunS`, then models, each an id, a length and as many registers, up to the id 0xFFFF. Firmware 2.6.0
moved the models: the common model grew from 65 to 66 registers, so before it all from 40070 on was one lower. The
registers here are those of 2.6.0 or later. Never rely on their addresses without walking the chain. Layout: SunSpec
models 1 and 203. A value that the meter does not measure holds 0x8000, or 0x80000000 in two registers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ksem_contract.blocks import SUNSPEC, SUNSPEC_START
from ksem_contract.message_fields import SunspecError
from ksem_contract.registers import Register, RegisterRange, RegisterType

_PHASES: Final = (("_ph_a", "phase A"), ("_ph_b", "phase B"), ("_ph_c", "phase C"))
_LINES: Final = (("_ab", "AB"), ("_bc", "BC"), ("_ca", "CA"))


def _group(
    address: int,
    kind: RegisterType,
    unit: str,
    scale_at: int,
    key: str,
    name: str,
    first: str,
    parts: Sequence[tuple[str, str]] = _PHASES,
) -> Iterator[Register]:
    """A value and its three parts, one behind the other."""
    count = 2 if kind == "acc32" else 1
    for index, (suffix, part) in enumerate((("", first), *parts)):
        yield Register(address + index * count, count, kind, unit, None, key + suffix, f"{name} {part}", scale_at)


def _factor(address: int, key: str, name: str) -> Register:
    return Register(address, 1, "sunssf", "", None, key, f"{name} scale factor")


SUNSPEC_COMMON: Final = (
    Register(40000, 2, "uint32", "", None, "ss_sunspec_id", "SunS marker 0x53756e53"),
    Register(40002, 1, "uint16", "", None, "ss_c_did", "Common model ID = 1"),
    Register(40003, 1, "uint16", "", None, "ss_c_len", "Common model length"),
    Register(40004, 16, "string", "", None, "ss_mn", "Manufacturer"),
    Register(40020, 16, "string", "", None, "ss_md", "Model"),
    Register(40036, 8, "string", "", None, "ss_opt", "Options"),
    Register(40044, 8, "string", "", None, "ss_vr", "Version"),
    Register(40052, 16, "string", "", None, "ss_sn", "Serial number"),
    Register(40068, 1, "uint16", "", None, "ss_da", "Device address"),
    Register(40069, 1, "pad", "", None, "ss_pad", "Pad register"),
)
"""Model 1: the manufacturer. The pad came with firmware 2.6.0: length 66, before 65."""

SUNSPEC_METER: Final = (
    Register(40070, 1, "uint16", "", None, "ss_m_did", "Meter model ID = 203"),
    Register(40071, 1, "uint16", "", None, "ss_m_len", "Meter model length = 105"),
    *_group(40072, "int16", "A", 40076, "ss_a", "Current", "sum of phases"),
    _factor(40076, "ss_a_sf", "Current"),
    *_group(40077, "int16", "V", 40085, "ss_phv", "Voltage L-N", "average"),
    *_group(40081, "int16", "V", 40085, "ss_ppv", "Voltage L-L", "average", _LINES),
    _factor(40085, "ss_v_sf", "Voltage"),
    Register(40086, 1, "int16", "Hz", None, "ss_hz", "Frequency", 40087),
    _factor(40087, "ss_hz_sf", "Frequency"),
    *_group(40088, "int16", "W", 40092, "ss_w", "Active power", "total"),
    _factor(40092, "ss_w_sf", "Active power"),
    *_group(40093, "int16", "VA", 40097, "ss_va", "Apparent power", "total"),
    _factor(40097, "ss_va_sf", "Apparent power"),
    *_group(40098, "int16", "var", 40102, "ss_var", "Reactive power", "total"),
    _factor(40102, "ss_var_sf", "Reactive power"),
    *_group(40103, "int16", "", 40107, "ss_pf", "Power factor", "total"),
    _factor(40107, "ss_pf_sf", "Power factor"),
    *_group(40108, "acc32", "Wh", 40124, "ss_tot_wh_exp", "Exported energy", "total"),
    *_group(40116, "acc32", "Wh", 40124, "ss_tot_wh_imp", "Imported energy", "total"),
    _factor(40124, "ss_tot_wh_sf", "Energy"),
    *_group(40125, "acc32", "VAh", 40141, "ss_tot_vah_exp", "Exported apparent energy", "total"),
    *_group(40133, "acc32", "VAh", 40141, "ss_tot_vah_imp", "Imported apparent energy", "total"),
    _factor(40141, "ss_tot_vah_sf", "Apparent energy"),
    *_group(40142, "acc32", "varh", 40174, "ss_tot_varh_imp_q1", "Reactive energy Q1", "total"),
    *_group(40150, "acc32", "varh", 40174, "ss_tot_varh_imp_q2", "Reactive energy Q2", "total"),
    *_group(40158, "acc32", "varh", 40174, "ss_tot_varh_exp_q3", "Reactive energy Q3", "total"),
    *_group(40166, "acc32", "varh", 40174, "ss_tot_varh_exp_q4", "Reactive energy Q4", "total"),
    _factor(40174, "ss_tot_varh_sf", "Reactive energy"),
    Register(40175, 2, "bitfield32", "", None, "ss_evt", "Event flags"),
)
"""Model 203: three-phase meter, whole numbers with scale registers. Power: + is import. Resolution of W is 10 W."""

SUNSPEC_END: Final = (
    Register(40177, 1, "uint16", "", None, "ss_end_did", "End model ID 0xFFFF"),
    Register(40178, 1, "uint16", "", None, "ss_end_len", "End model length 0"),
)
"""The end of the chain."""

_MARKER: Final = (0x5375, 0x6E53)
_END: Final = 0xFFFF
_HEAD: Final = 2
"""Registers of a model's id and length."""


@dataclass(frozen=True, slots=True)
class SunspecModel:
    """A model in the chain: `address` is that of its id, `length` the number of registers behind id and length."""

    did: int
    address: int
    length: int


class SunspecChain:
    """A walk along the chain.

    While `wanted` is a range, read it from the meter and pass its registers to `take`. When it is None, `models` has
    all models, and `found` the range from the marker to the chain's end: at most 40000-40200.
    """

    __slots__ = ("_models", "_wanted", "found")

    def __init__(self) -> None:
        self._wanted: RegisterRange | None = RegisterRange(SUNSPEC_START, len(_MARKER) + _HEAD)
        self._models: list[SunspecModel] = []
        self.found: RegisterRange | None = None

    @property
    def wanted(self) -> RegisterRange | None:
        """What to read next."""
        return self._wanted

    @property
    def models(self) -> tuple[SunspecModel, ...]:
        """The models so far, without the end."""
        return tuple(self._models)

    def take(self, registers: Sequence[int]) -> None:
        """The registers of `wanted`. SunspecError if they are no SunSpec, or the chain leads out of 40000-40200.

        After an error the walk is over. ValueError for a wrong number of registers.
        """
        requested = self._wanted
        if requested is None or len(registers) != requested.count:
            raise ValueError(f"{len(registers)} words for {requested}")
        self._wanted = None
        if requested.start == SUNSPEC_START and tuple(registers[: len(_MARKER)]) != _MARKER:
            raise SunspecError(f"40000 holds {registers[0]:04x} {registers[1]:04x}, not the SunSpec marker 5375 6e53")
        did, length = registers[-_HEAD], registers[-1]
        address = requested.stop - _HEAD
        if did == _END:
            self._finish(requested, length)
            return
        if length == 0:
            raise SunspecError(f"model {did} at {address} has the length 0")
        # Behind the model there must be room for the end's two registers.
        if address + _HEAD + length + _HEAD > SUNSPEC.stop:
            raise SunspecError(f"model {did} at {address} has the length {length}, which leads beyond {SUNSPEC.last}")
        self._models.append(SunspecModel(did, address, length))
        self._wanted = RegisterRange(address + _HEAD + length, _HEAD)

    def _finish(self, requested: RegisterRange, length: int) -> None:
        if length != 0:
            raise SunspecError(f"the end of the chain at {requested.stop - _HEAD} has the length {length}, not 0")
        if not self._models:
            raise SunspecError("the chain from 40000 ends without a model")
        self.found = RegisterRange(SUNSPEC_START, requested.stop - SUNSPEC_START)
