"""The value topics [core]: the message that carries all values, its writer, and a guard for energy counters.

A dashboard counts a counter that goes down as a new meter, and one that leaps as a month's use in a second; neither
can be undone there. So such a value is withheld and reported, and nothing replaces it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ksem_contract.message_fields import Fields, InvalidMessage, check_time, check_whole, read_object, write_object
from ksem_contract.topics import is_name
from ksem_contract.values import VALUE_KEYS

_KNOWN: Final = frozenset(key.key for key in VALUE_KEYS)
_OWN_FIELDS: Final = frozenset(("time", "age_ms"))


@dataclass(frozen=True, slots=True)
class ValuesMessage:
    """All live values of one measuring cycle and the newest counters, in one flat object.

    A value that is not known is left out, and so are counters read more than a minute ago.

    Topic `ksem/<meter>/values`, not retained, QoS 0. To see it: `mosquitto_sub -t 'ksem/+/values'`

        {"time":"2026-11-22T10:00:00.123Z","age_ms":3,"power":-1234.5,"power_l1":-400.1,"energy_import":1234.5678}
    """

    time: str
    """Wall clock of the publisher; RFC 3339, UTC."""
    age_ms: int
    """How old the oldest of the live ones was when this was published."""
    values: Mapping[str, float]
    """By key; `docs/values.md` lists them with their units."""

    def __post_init__(self) -> None:
        check_time("time", self.time)
        check_whole("age_ms", self.age_ms)
        for key in self.values.keys() - _KNOWN:
            if not is_name(key) or key in _OWN_FIELDS:
                raise InvalidMessage(f"{key!r:.60} is no key of a value")
        if not all(map(math.isfinite, self.values.values())):
            key, value = next(item for item in self.values.items() if not math.isfinite(item[1]))
            raise InvalidMessage(f"{key} is {value}, a number is expected")

    def encode(self) -> bytes:
        """The payload."""
        return write_object({"time": self.time, "age_ms": self.age_ms, **self.values})

    @classmethod
    def decode(cls, payload: bytes) -> "ValuesMessage":
        """The message in `payload`; fields that are no numbers are ignored. Raises InvalidMessage, and nothing else."""
        found = read_object(payload)
        fields = Fields(found)
        return cls(
            time=fields.time("time"),
            age_ms=fields.whole("age_ms"),
            values={
                key: value
                for key, value in found.items()
                if key not in _OWN_FIELDS and is_name(key) and type(value) in {int, float}
            },
        )


class ValuesWriter:
    """Gives the bytes that `ValuesMessage.encode` gives, for a fraction of the work: the keys are checked once."""

    __slots__ = ("_keys", "_template")

    def __init__(self) -> None:
        self._keys: tuple[str, ...] = ()
        self._template = ""

    def write(self, *, time: str, age_ms: int, values: Mapping[str, float]) -> bytes:
        """The payload. Fields as in ValuesMessage; the values are not checked: finite floats.

        InvalidMessage where a key breaks the contract.
        """
        keys = tuple(values)
        if keys != self._keys or not self._template:
            ValuesMessage(time=time, age_ms=age_ms, values=values)
            # Keys hold nothing that JSON or this template escapes: the message has checked them.
            members = "".join(f',"{key}":%r' for key in keys)
            self._keys, self._template = keys, f'{{"time":"%s","age_ms":%d{members}}}'
        return (self._template % (time, age_ms, *values.values())).encode("ascii")


MOST_POWER: Final = 1000.0
"""kW: no counter grows faster. A KSEM measures 63 A directly, or through transformers far beyond a house."""
ALLOWANCE: Final = 1.0
"""kWh: a counter may grow by this at once."""
MOST_ENERGY: Final = 1e9
"""kWh: no counter goes beyond."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """A counter's value that was withheld, and the last that passed (None before the first)."""

    key: str
    value: float
    last: float | None


class CounterGuard:
    """Remembers each counter's last value that passed.

    A lower value is withheld as long as it stays lower, however often it is read again; so is one that grew faster than
    1 MW allows, until the time since makes it possible. A meter that was replaced starts lower on purpose: by its new
    serial number the publisher knows it, and takes a new guard.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, float]] = {}

    def check(self, counters: Mapping[str, float], now: float) -> tuple[dict[str, float], tuple[Withheld, ...]]:
        """The counters (kWh) read at `now` (s) that may be published, and those withheld."""
        passed: dict[str, float] = {}
        withheld: list[Withheld] = []
        for key, value in counters.items():
            last, at = self._last.get(key, (None, now))
            if self._is_believable(value, last, now - at):
                self._last[key] = (value, now)
                passed[key] = value
            else:
                withheld.append(Withheld(key, value, last))
        return passed, tuple(withheld)

    @staticmethod
    def _is_believable(value: float, last: float | None, elapsed: float) -> bool:
        if not 0 <= value <= MOST_ENERGY:
            return False
        if last is None:
            return True
        return last <= value <= last + ALLOWANCE + MOST_POWER * max(0.0, elapsed) / 3600
