"""Counts the time in which an inverter got no data, by reason code: since the start, today and for 30 days [core].

`data_flow` has what counts. With several units a second counts once, if at least one enabled unit's inverter got no
data in it. Durations are those of CLOCK_BOOTTIME; the wall clock only names the day that they belong to, and measures
the time between two runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from math import inf
from typing import Final

from ksem_contract.health import NoData, Outage
from ksem_contract.message_fields import (
    Fields,
    InvalidMessage,
    JsonObject,
    check_reason_code,
    read_versioned,
    write_object,
)
from rtu_server.data_flow import SILENT, STOPPED, UNREADABLE, DataFlow, Missing, Span, UnitTimeline, without

DAYS: Final = 30
"""Days that are summed, today among them."""
MAX_DAYS: Final = 40
"""Days that are kept: those that a wrong wall clock named must not push out the others at once."""
MAX_CODES: Final = 32
"""Reason codes kept apart; the catalogue has some 20 that a unit can have."""
WRITE_EVERY: Final = 60.0
"""Seconds between two copies of the totals in a file: what a crash loses at most."""
AWAITED: Final = "inverter-awaited"
"""No reason why data is missing: the port is open again, and no request has come yet."""
MAX_COUNTED: Final = 64
"""Times without data that are remembered until all units are known for them."""
OTHER: Final = "other"
"""Where all the codes that are kept apart are in use."""
DAY: Final = 86400.0

Totals = dict[str, float]
"""Seconds by reason code."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the file holds."""

    until: float
    """Until when it counts: seconds of the wall clock since 1970."""
    ended: bool
    """Written at the service's end; else its end is not known."""
    days: Mapping[date, Mapping[str, float]]
    asleep: bool = False
    """No inverter requested anything at that time: the time until the next start may belong to its sleep."""

    def encode(self) -> bytes:
        """The file's content."""
        days = {day.isoformat(): _rounded(totals) for day, totals in sorted(self.days.items())}
        return write_object(
            {"v": 1, "until": round(self.until, 3), "ended": self.ended, "asleep": self.asleep, "days": days}
        )

    @classmethod
    def decode(cls, content: bytes) -> "Kept":
        """Read a file's content. Raises InvalidMessage (a field's name, what it held), and nothing else."""
        fields = Fields(read_versioned(content))
        days = fields.part("days")
        if len(days.names()) > MAX_DAYS:
            raise InvalidMessage(f"days: {len(days.names())} of them, at most {MAX_DAYS} are allowed")
        asleep = "asleep" in fields.names() and fields.truth("asleep")  # files of early builds have none
        found = {_day(name): _totals(days.part(name)) for name in days.names()}
        return cls(fields.number("until"), fields.truth("ended"), found, asleep)


def _day(name: str) -> date:
    try:
        return date.fromisoformat(name)
    except ValueError:
        raise InvalidMessage(f"days {name!r:.60}: a date is expected, as 2026-11-22") from None


def _totals(fields: Fields) -> Totals:
    codes = fields.names()
    if len(codes) > MAX_CODES + 1:
        raise InvalidMessage(f"{fields.path('')}: {len(codes)} codes, at most {MAX_CODES + 1} are allowed")
    return {check_reason_code("code", code): fields.number(code) for code in codes}


class Outages:
    """The totals of one node. `look` takes what is so now, about once a second; it never counts a second twice."""

    def __init__(self, begun: float) -> None:
        """`begun`: when the service started, in seconds of CLOCK_BOOTTIME."""
        self._begun = self._stopped_at = self._known_until = begun
        self._asleep = False
        self._units: list[UnitTimeline] = []
        self._counted: list[Span] = []
        """What was counted and some unit is not known for yet, in order."""
        self._reason, self._reason_at = "", -inf
        self._start: Totals = {}
        self._days: dict[date, Totals] = {}

    def resume(self, kept: Kept, now: float, local: datetime) -> None:
        """Go on with an earlier run's totals. From its end on nobody answered the inverter.

        Without a proper end, it may have lasted for as long after the file was written as the next copy was due in.
        """
        self._days = {day: dict(totals) for day, totals in kept.days.items()}
        self._asleep = kept.asleep
        until = kept.until + (0.0 if kept.ended else WRITE_EVERY)
        between = local.timestamp() - (now - self._begun) - until
        self._stopped_at = self._known_until = self._begun - min(max(0.0, between), DAYS * DAY)

    def look(self, flows: Sequence[DataFlow], reason: str, now: float, local: datetime) -> None:
        """Count what has become known. `reason`: the code why a unit is not served now, empty where all are.

        `flows`: of all enabled units, in the same order each time. `local`: the wall clock now, in local time.
        """
        if reason not in {"", AWAITED}:
            self._reason, self._reason_at = reason, now
        if not self._units:
            self._units = [UnitTimeline(self._stopped_at, asleep=self._asleep) for _ in flows]
        for unit, flow in zip(self._units, flows, strict=True):
            for missing in unit.look(flow, now):
                self._count(missing, unit, now, local)
        self._known_until = min((unit.known_until for unit in self._units), default=now)
        self._counted = [span for span in self._counted if span.until > self._known_until][-MAX_COUNTED:]

    def _count(self, missing: Missing, unit: UnitTimeline, now: float, local: datetime) -> None:
        """Count the part of it that no other unit's inverter lacked, too."""
        for part in list(without(missing.span, self._counted)):
            for span in _cut(part, self._begun):
                seconds = span.until - span.since
                code = self._code(span, missing.code, unit)
                if span.since >= self._begun:
                    _add(self._start, code, seconds)
                self._add_days(code, seconds, local - timedelta(seconds=now - span.until))
            if part.until > part.since:
                self._counted = sorted([*self._counted, part])

    def _code(self, span: Span, unnamed: str, unit: UnitTimeline) -> str:
        if span.until <= self._begun:
            return STOPPED
        code = self._reason if self._reason_at >= span.since else unnamed
        return UNREADABLE if code == SILENT and unit.has_noise_since(span.since) else code

    def kept(self, now: float, local: datetime, *, ended: bool) -> Kept:
        """Return what belongs into the file."""
        until = max([self._known_until, *(span.until for span in self._counted)])
        asleep = all(unit.is_asleep for unit in self._units) if self._units else self._asleep
        return Kept(local.timestamp() - (now - until), ended, self._days, asleep)

    def totals(self, today: date) -> NoData:
        """Return all totals for the health message."""
        month: Totals = {}
        for day, totals in self._days.items():
            if 0 <= (today - day).days < DAYS:
                for code, seconds in totals.items():
                    _add(month, code, seconds)
        return NoData(_outage(self._start), _outage(self._days.get(today, {})), _outage(month))

    def _add_days(self, code: str, seconds: float, end: datetime) -> None:
        """Share seconds that end at `end` out among the days that they lie in."""
        while seconds > 0:
            midnight = datetime.combine(end.date(), time(), end.tzinfo)
            part = min(seconds, (end - midnight).total_seconds())
            if part > 0:
                _add(self._days.setdefault(end.date(), {}), code, part)
            seconds -= part
            end = midnight - timedelta(microseconds=1)
        while len(self._days) > MAX_DAYS:
            del self._days[max(self._days, key=lambda day: abs(day - end.date()))]


def _cut(span: Span, at: float) -> list[Span]:
    """Return a span in two, where it lies on both sides of this moment."""
    if span.since < at < span.until:
        return [Span(span.since, at), Span(at, span.until)]
    return [span]


def _add(totals: Totals, code: str, seconds: float) -> None:
    if code not in totals and len(totals) >= MAX_CODES:
        code = OTHER
    totals[code] = totals.get(code, 0.0) + seconds


def _outage(totals: Mapping[str, float]) -> Outage:
    return Outage(round(sum(totals.values()), 3), _rounded(totals))


def _rounded(totals: Mapping[str, float]) -> JsonObject:
    return {code: round(seconds, 3) for code, seconds in sorted(totals.items())}
