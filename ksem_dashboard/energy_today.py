"""What came in and went out since midnight [core]."""

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class Energy:
    """In kWh, since a local time of day."""

    imported: float
    exported: float
    since: str
    """`00:00`, or later if the first reading of the day came later."""


class EnergyToday:
    """Follows the meter's two counters from midnight on, or from the first reading that was seen."""

    __slots__ = ("_base", "_day", "_last", "_since")

    def __init__(self) -> None:
        self._day: date | None = None
        self._base = self._last = (0.0, 0.0)
        self._since = ""

    def note(self, imported: float, exported: float, local: datetime) -> None:
        """Take in a fresh reading of both counters (kWh) at this local time."""
        reading = (imported, exported)
        stepped_back = any(new < old for new, old in zip(reading, self._last, strict=True))
        if self._day is None or stepped_back:
            # The first reading, or another meter: what was before is not known.
            self._base, self._since = reading, f"{local:%H:%M}"
        elif local.date() != self._day:
            # The last reading of yesterday, unless it lies further back than the night.
            yesterday = (local.date() - self._day).days == 1
            self._base, self._since = (self._last, "00:00") if yesterday else (reading, f"{local:%H:%M}")
        self._day, self._last = local.date(), reading

    @property
    def energy(self) -> Energy | None:
        """None before the first reading."""
        if self._day is None:
            return None
        return Energy(self._last[0] - self._base[0], self._last[1] - self._base[1], self._since)
