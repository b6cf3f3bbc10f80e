"""Checks of a KSEM's values [core]: what it can't have measured is refused, what is strange becomes an anomaly.

Refused are: a frequency no grid has (a meter that boots, another device), a total active power no house has, values
that stand still for many cycles (a frozen meter), and an information block that is no KSEM's. All else is an
anomaly.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ksem_contract.blocks import DEVICE, ENERGY, FREQUENCY, MEASURING_INTERVAL
from ksem_contract.reasons import Reason
from ksem_contract.register_map import ENERGY_PHASES, ENERGY_TOTAL, PHASES, TOTAL
from ksem_contract.values import decode_texts
from ksem_publisher.snapshot import MOST_POWER, VALUES, Registers, phases_fit_total, power_gap

FREQUENCY_LIMITS = (40, 70)
VOLTAGE_LIMITS = (160.0, 290.0)
INTERVAL_LIMITS = (10, 60_000)
"""ms; 200 and 500 are documented."""
_TEXTS = ((8196, 16), (8212, 16), (8228, 16))

_PAUSE = 3.0
"""Seconds without a cycle after which the check for unchanged values starts over."""
_LOOK_EVERY = 1.0
"""Seconds between two checks for anomalies; while there is one, each cycle is checked."""
_REPORT_AFTER = 3
"""Cycles in a row that make an anomaly."""
_REPORT_FOR = 60.0
"""Seconds for which a counter's step backwards is reported: one check sees it, and health is published less often."""
_COUNTERS = tuple(one.range.start for one in (*ENERGY_TOTAL, *ENERGY_PHASES))
"""The registers between them are no counters and may go down."""
_NO_VALUE = {
    one.range: {0x8000_0000, 0xFFFF_FFFF} if one.type == "uint32" else {0x8000_0000} for one in (*TOTAL, *PHASES)
}
"""What the meter sends where it has no value."""
_MEASURED = tuple((part.start, part.stop) for part in VALUES)
"""The registers that stand still in a frozen meter."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something about the meter's values."""

    name: str
    """Distinguishes several of one code, as `voltage-l1`; it stays the same while the anomaly lasts."""
    reason: Reason


class LiveChecks:
    """Judges the snapshots of one meter from one source, in the order of their measuring."""

    def __init__(self, *, plausible: bool, frozen_after: float, outage: bool = False) -> None:
        self.other_source: LiveChecks | None = None
        """The checks of the other source: values that stood still there have stood still."""
        self._plausible = plausible
        self._outage = outage
        self._frozen_after = frozen_after
        self._measured: tuple[Registers, ...] = ()
        self._same_since = self._last = self._remarked = float("-inf")
        self._counts: dict[str, int] = {}
        self._anomalies: tuple[Anomaly, ...] = ()

    @property
    def anomalies(self) -> tuple[Anomaly, ...]:
        """Anomalies of the newest snapshots."""
        return self._anomalies

    def rejection(self, registers: Registers, now: float) -> Anomaly | None:
        """Why these registers of `live`, which arrived at `now`, must not be served; None if they may."""
        frozen = self._is_frozen(registers, now)
        if self._counts or now - self._remarked >= _LOOK_EVERY:
            self._remarked = now
            self._anomaly(registers)
        frequency = _frequency(registers)
        grid_is_away = self._outage and not frequency
        if self._plausible and not grid_is_away and not FREQUENCY_LIMITS[0] <= frequency <= FREQUENCY_LIMITS[1]:
            low, high = FREQUENCY_LIMITS
            measured = f"{frequency:.1f}"
            return Anomaly("frequency", Reason.of("frequency-impossible", frequency=measured, low=low, high=high))
        for at in (0, 2) if self._plausible else ():
            power = _pair(registers, at)
            if power > MOST_POWER:
                span = f"{at} to {at + 1}"
                return Anomaly("power", Reason.of("power-impossible", registers=span, value=f"{power:#010x}"))
        if frozen and not grid_is_away:  # nothing is measured then
            return Anomaly("frozen", Reason.of("values-frozen", seconds=f"{self._frozen_after:g}"))
        return None

    def _is_frozen(self, registers: Registers, now: float) -> bool:
        measured = tuple([registers[start:stop] for start, stop in _MEASURED])
        if self.still_since(measured, now) == now:
            self._same_since = self.other_source.still_since(measured, now) if self.other_source else now
            self._measured = measured
        self._last = now
        return bool(self._frozen_after) and now - self._same_since >= self._frozen_after

    def still_since(self, measured: tuple[Registers, ...], now: float) -> float:
        """Since when these registers have stood still, as far as is known here."""
        return self._same_since if measured == self._measured and now - self._last <= _PAUSE else now

    def _anomaly(self, registers: Registers) -> None:
        found = {anomaly.name: anomaly for anomaly in _strange(registers)}
        if not found and not self._counts:
            return
        self._counts = {name: self._counts.get(name, 0) + 1 for name in found}
        self._anomalies = tuple(found[name] for name, count in self._counts.items() if count >= _REPORT_AFTER)


class CountersCheck:
    """Judges the energy counters that come from one meter, in the order of their measuring."""

    def __init__(self) -> None:
        self._before: Registers | None = None
        self._reported_at = float("-inf")
        self.anomaly: Anomaly | None = None
        """The newest step backwards, for a minute."""

    def look(self, registers: Registers, now: float) -> None:
        """Check the registers of `energy` that arrived at `now`."""
        anomaly = None if self._before is None else counters_backwards(self._before, registers)
        self._before = registers
        if anomaly is not None:
            self.anomaly, self._reported_at = anomaly, now
        elif now - self._reported_at >= _REPORT_FOR:
            self.anomaly = None


def foreign_device(registers: Sequence[int | None]) -> str | None:
    """Why the registers of `device` can't be a KSEM's; None if they can.

    The clock does not count: a KSEM without a time service shows 1970.
    """
    interval = registers[MEASURING_INTERVAL - DEVICE.start]
    low, high = INTERVAL_LIMITS
    if interval is None or not low <= interval <= high:
        return f"its measuring interval (register {MEASURING_INTERVAL}) is {interval} ms, {low} to {high} is possible"
    for start, count in _TEXTS:
        raw = b"".join((word or 0).to_bytes(2, "big") for word in registers[start - DEVICE.start :][:count])
        if not _is_text(raw):
            return f"registers {start} to {start + count - 1} hold no text"
    return None


def other_meter(registers: Sequence[int | None], serial: str) -> str | None:
    """Why the registers of `device` are not those of the meter with this serial number; None if they are."""
    found = decode_texts(registers).get("serial_number")
    if found == serial:
        return None
    if found is None:
        return "it reports no serial number, and [[meter]] serial requires one"
    return (
        f"its serial number {masked(found)} is not that of [[meter]] serial {masked(serial)}: check the meter's"
        " address, or correct serial"
    )


def masked(serial: str) -> str:
    """A serial number's last characters, for logs and health, which others read."""
    return f"...{serial[-4:]}" if len(serial) > 4 else "..."


def counters_backwards(before: Registers, after: Registers) -> Anomaly | None:
    """An anomaly where one of the energy counters (4 registers each) went down. Both arguments hold `energy`."""
    for at in (start - ENERGY.start for start in _COUNTERS):
        if _count(after, at) < _count(before, at):
            return Anomaly("counters", Reason.of("counter-backwards", register=ENERGY.start + at))
    return None


def _strange(registers: Registers) -> Iterable[Anomaly]:
    if not phases_fit_total(registers):
        gap = (power_gap(registers) or 0) / 10
        yield Anomaly("phases", Reason.of("phases-differ", gap=f"{gap:.1f}"))
    if missing := [str(place) for place, odd in _NO_VALUE.items() if _pair(registers, place.start) in odd]:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        yield Anomaly("no-value", Reason.of("values-missing", registers=", ".join(missing[:3]) + more))
    for phase, at in (("L1", 40), ("L2", 80), ("L3", 120)):
        # "No value" is more than that, and reported above.
        tenths = max(_pair(registers, at), _pair(registers, at + 2))
        if MOST_POWER < tenths < 0x8000_0000:
            reason = Reason.of("phase-power-strange", phase=phase, power=f"{tenths / 10:.0f}")
            yield Anomaly(f"power-{phase.lower()}", reason)
        volts = _pair(registers, at + 22) / 1000
        if volts and not VOLTAGE_LIMITS[0] <= volts <= VOLTAGE_LIMITS[1] and volts < 0x8000_0000 / 1000:
            reason = Reason.of("phase-voltage-strange", phase=phase, voltage=f"{volts:.0f}")
            yield Anomaly(f"voltage-{phase.lower()}", reason)


def _frequency(registers: Registers) -> float:
    return _pair(registers, FREQUENCY) / 1000


def _pair(registers: Registers, at: int) -> int:
    high, low = registers[at], registers[at + 1]
    return 0 if high is None or low is None else high << 16 | low


def _count(registers: Registers, at: int) -> int:
    count = 0
    for word in registers[at : at + 4]:
        count = count << 16 | (word or 0)
    return count


def _is_text(raw: bytes) -> bool:
    """Whether these are characters of UTF-8 or Latin-1. Filler of FF passes, numbers in place of text rarely do."""
    raw = raw.partition(b"\0")[0]
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return not any((char < " " and char not in "\t\r\n") or "\x7f" <= char <= "\x9f" for char in text)
