"""One inverter [core]: takes reads, failures and measurements; returns what to read next and what to publish."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from inverter_reader.comparison import Comparison
from inverter_reader.registers import (
    BYTE_ORDER,
    KIND,
    KINDS,
    KSEM,
    METER,
    STATE,
    Believed,
    ByteOrder,
    decode_meter,
    decode_state,
    frequency,
    order_by_evidence,
    order_by_setting,
)
from ksem_contract.health import HealthCondition
from ksem_contract.inverter_health import Delay
from ksem_contract.reasons import Reason
from ksem_contract.registers import RegisterRange

Failure = Literal["not-reached", "modbus-off", "busy", "no-answer", "refuses"]
SLOW: Final = 10.0
"""Seconds between two reads of registers that seldom change."""
_CODES: Final[dict[Failure, str]] = {
    "not-reached": "inverter-not-reached",
    "modbus-off": "inverter-modbus-off",
    "busy": "inverter-busy",
    "no-answer": "inverter-no-answer",
    "refuses": "inverter-refuses",
}
FAILURES: Final = 3
"""Failed reads in a row from which on the inverter counts as lost; one alone happens."""
MEASURED_WITHIN: Final = 5.0
"""Seconds without a measurement after which there is nothing to compare with."""
AGREES: Final = "inverter-agrees"
_WARNINGS: Final = frozenset({"inverter-no-comparison", "inverter-lags", "inverter-meter-kind"})
"""Reasons that don't stop the values, though something should be better."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The inverter's state and its reasons."""

    state: HealthCondition
    reasons: tuple[Reason, ...]


class Inverter:
    """`order`: the setting, `auto` goes by what the inverter sends. Times in seconds of CLOCK_BOOTTIME."""

    def __init__(self, meter: str, order: Literal["auto", "little", "big"], where: str) -> None:
        self.meter = meter
        self.where = where
        self.comparison = Comparison()
        self.reads = 0
        self.failures = 0
        self.order: ByteOrder | None = None if order == "auto" else order
        self.kind: int | None = None
        self._state: tuple[int, ...] | None = None
        self.believed: Believed | None = None
        self._setting = order
        self._announced_order: ByteOrder | None = None
        self._in_a_row = 0
        self._failure: Reason | None = None
        self._unusable: Reason | None = None
        self._slow_due: dict[RegisterRange, float] = dict.fromkeys((BYTE_ORDER, KIND, STATE), float("-inf"))
        self._started: float | None = None

    # ---- reading

    def reads_due(self, now: float) -> list[RegisterRange]:
        """What to read now, one after the other: registers that seldom change when due, then the meter's values."""
        if self._started is None:
            self._started = now
        return [*(span for span, due in self._slow_due.items() if now >= due), METER]

    def on_read(self, span: RegisterRange, registers: tuple[int, ...], sent: float, received: float) -> None:
        """An answer came."""
        self.reads += 1
        self._in_a_row, self._failure = 0, None
        if span in self._slow_due:
            self._slow_due[span] = received + SLOW
        if span == BYTE_ORDER:
            self._announced_order = order_by_setting(registers)
        elif span == KIND:
            self.kind = registers[0] & 0xFF
        elif span == STATE:
            self._state = registers
        else:
            self._on_meter(registers, sent, received)

    def on_refused(self, span: RegisterRange, error: str, now: float) -> None:
        """The inverter refused one range. Without the meter's values the read is lost; other ranges are left out."""
        if span == METER:
            self.on_failure("refuses", error)
        else:
            self._slow_due[span] = now + 60.0

    def on_failure(self, failure: Failure, error: str) -> None:
        """No answer came."""
        self.failures += 1
        self._in_a_row += 1
        code = _CODES.get(failure, "inverter-no-answer")
        params = {"where": self.where, "error": error}
        self._failure = Reason.of(code, **params)
        if self.is_lost:
            self.believed = None
            self.comparison.interrupted()

    def _on_meter(self, registers: tuple[int, ...], sent: float, received: float) -> None:
        self.believed, self._unusable = None, None
        evidence = order_by_evidence(registers)
        if self._setting == "auto":
            self.order = evidence or self._announced_order or self.order or "little"
        order = self.order or "little"
        if evidence is not None and evidence != order:
            self._unusable = Reason.of("inverter-byte-order", found=evidence, expected=order)
            return
        try:
            values = decode_meter(registers, order)
        except ValueError as error:
            self._unusable = Reason.of("inverter-implausible", frequency=str(error))
            return
        if any(registers) and evidence is None:
            self._unusable = Reason.of("inverter-implausible", frequency=f"{frequency(registers, order):g}")
            return
        self.believed = Believed(sent, received, registers, values)
        self.comparison.add(self.believed)

    def on_measured(self, values: Mapping[str, float], measured: float) -> None:
        """The meter's publisher published `values`, measured at `measured`."""
        self.comparison.served.add(values, measured)

    # ---- reporting

    @property
    def is_lost(self) -> bool:
        """Whether the inverter is no longer read."""
        return self._in_a_row >= FAILURES or (self._failure is not None and self.reads == 0)

    @property
    def is_read(self) -> bool:
        """Whether its values are read and make sense: its status."""
        return self.believed is not None and not self.is_lost

    @property
    def delay(self) -> Delay:
        """How far it is behind the meter."""
        return self.comparison.delay

    @property
    def served_w(self) -> float | None:
        """The power that was measured last, W."""
        newest = self.comparison.served.newest
        return None if newest is None else newest.power

    def values(self) -> dict[str, float]:
        """What it believes, by key; empty while it is not read."""
        if self.believed is None:
            return {}
        own: dict[str, float] = {} if self.kind is None else {"meter_kind": float(self.kind)}
        if self._state is not None and self.order is not None:
            manager, limit = decode_state(self._state, self.order)
            own |= {"energy_manager": float(manager)} | ({"power_limit": limit} if 0 <= limit <= 100 else {})
        return {**self.believed.values, **own}

    def condition(self, now: float) -> Condition:
        """Its state now; the reasons name what is wrong, and what to do."""
        if self.is_lost and self._failure is not None:
            return Condition("down", (self._failure,))
        if self._unusable is not None:
            return Condition("down", (self._unusable,))
        if self.believed is None:
            return Condition("down", (Reason.of("inverter-starting"),))
        wrong = [*self._kind_reasons(), *self.comparison.reasons()]
        if not wrong and self._nothing_measured(now):
            wrong = [Reason.of("inverter-no-comparison", meter=self.meter)]
        if not wrong:
            known = self.comparison.has_begun
            return Condition("ok", (Reason.of(AGREES if known else "inverter-comparing"),))
        soft = all(reason.code in _WARNINGS for reason in wrong)
        return Condition("degraded" if soft else "down", tuple(wrong))

    def _kind_reasons(self) -> list[Reason]:
        if self.kind in (None, KSEM):
            return []
        return [Reason.of("inverter-meter-kind", kind=KINDS.get(self.kind or 0, f"kind {self.kind}"))]

    def _nothing_measured(self, now: float) -> bool:
        newest, started = self.comparison.served.newest, self._started or now
        return now - (newest.at if newest is not None else started) > MEASURED_WITHIN
