"""Counts the time in which an inverter got no data, by reason code: since the start, today and for 30 days [core].

What counts, from the inverter's view. Between two answers with data lies a pause. It counts as a whole, from the one
answer to the next, if it is longer than

- `SERVED_WITHIN` (1 s), and a request in it got no data, or the port was not listened to (gone, or this process stood
  still), so that requests in it can't be known of;
- `REQUESTED_WITHIN` (5 s), whatever else is so: the inverter requests nothing.

With several units a second counts once, if at least one enabled unit's inverter got no data in it. Durations are those
of CLOCK_BOOTTIME; the wall clock only names the day that they belong to.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from math import inf
from typing import Final, NamedTuple

from ksem_contract.health import NoData, Outage
from ksem_contract.message_fields import (
    Fields,
    InvalidMessage,
    JsonObject,
    check_reason_code,
    read_versioned,
    write_object,
)
from ksem_contract.reasons import Reason
from rtu_server.counters import Gap
from rtu_server.health import REQUESTED_WITHIN, SERVED_WITHIN

DAYS: Final = 30
"""Days that are summed, today among them."""
MAX_DAYS: Final = 40
"""Days that are kept: those that a wrong wall clock named must not push out the others at once."""
MAX_CODES: Final = 32
"""Reason codes kept apart; the catalogue has some 20 that a unit can have."""
WRITE_EVERY: Final = 60.0
"""Seconds between two copies of the totals in a file: what a crash loses at most."""
UNNAMED: Final = Reason.of("inverter-unserved").code
"""The reason where nothing else was seen: the data came back before anybody looked."""
STOPPED: Final = Reason.of("node-stopped").code
OTHER: Final = "other"
"""Where all the codes that are kept apart are in use."""
DAY: Final = 86400.0

Totals = dict[str, float]
"""Seconds by reason code."""


class DataFlow(NamedTuple):
    """What is known at one moment about the data that one unit's inverter gets. Times in seconds of CLOCK_BOOTTIME."""

    gaps: Iterable[Gap]
    """The last pauses between two answers with data, older ones too."""
    last_data: float | None
    is_refused: bool
    """A request since then got no data."""
    listening_since: float
    port_up: bool

    def missing(self, begun: float, now: float) -> Iterator[tuple[float, float, str]]:
        """Return the times without data since `begun`: from, until, and the reason where no other was seen."""
        for last, until, is_refused in self.gaps:
            since = max(last, begun)
            deaf = since < self.listening_since <= until
            if _counts(until - since, is_refused or deaf):
                yield since, until, STOPPED if deaf else UNNAMED
        if self._is_missing(begun, now):
            since = self._since(begun)
            yield since, now, STOPPED if self.listening_since > since else UNNAMED

    def known_until(self, begun: float, now: float) -> float:
        """Return until when it is known whether data was missing."""
        return now if self._is_missing(begun, now) else self._since(begun)

    def _since(self, begun: float) -> float:
        return begun if self.last_data is None else max(self.last_data, begun)

    def _is_missing(self, begun: float, now: float) -> bool:
        since = self._since(begun)
        deaf = not self.port_up or self.listening_since > since
        return _counts(now - since, self.is_refused or deaf)


def _counts(seconds: float, unserved: bool) -> bool:
    return seconds > (SERVED_WITHIN if unserved else REQUESTED_WITHIN)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the file holds."""

    until: float
    """Until when it counts: seconds of the wall clock since 1970."""
    ended: bool
    """Written at the service's end; else its end is not known."""
    days: Mapping[date, Mapping[str, float]]

    def encode(self) -> bytes:
        """The file's content."""
        days = {day.isoformat(): _rounded(totals) for day, totals in sorted(self.days.items())}
        return write_object({"v": 1, "until": round(self.until, 3), "ended": self.ended, "days": days})

    @classmethod
    def decode(cls, content: bytes) -> "Kept":
        """Read a file's content. Raises InvalidMessage (a field's name, what it held), and nothing else."""
        fields = Fields(read_versioned(content))
        days = fields.part("days")
        if len(days.names()) > MAX_DAYS:
            raise InvalidMessage(f"days: {len(days.names())} of them, at most {MAX_DAYS} are allowed")
        found = {_day(name): _totals(days.part(name)) for name in days.names()}
        return cls(fields.number("until"), fields.truth("ended"), found)


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
        self._begun = self._counted_until = begun
        self._reason, self._reason_at = "", -inf
        self._start: Totals = {}
        self._days: dict[date, Totals] = {}

    def resume(self, kept: Kept, now: float, local: datetime) -> None:
        """Go on with an earlier run's totals. The time between is counted, too: nobody answered the inverter.

        Without a proper end, it may have lasted for as long after the file was written as the next copy was due in.
        """
        self._days = {day: dict(totals) for day, totals in kept.days.items()}
        until = kept.until + (0.0 if kept.ended else WRITE_EVERY)
        begun = local - timedelta(seconds=now - self._begun)
        self._add_days(STOPPED, min(max(0.0, begun.timestamp() - until), DAYS * DAY), begun)

    def look(self, flows: Sequence[DataFlow], reason: str, now: float, local: datetime) -> None:
        """Count what has become known. `reason`: the code why a unit is not served now, empty where all are.

        `local`: the wall clock now, in local time.
        """
        if reason:
            self._reason, self._reason_at = reason, now
        begun = self._begun
        known_until = max(self._counted_until, min((flow.known_until(begun, now) for flow in flows), default=now))
        missing = sorted(span for flow in flows for span in flow.missing(begun, now))
        for begin, end, unnamed in missing:
            since, until = max(begin, self._counted_until), min(end, known_until)
            if until > since:
                code = self._reason if self._reason_at >= since else unnamed
                _add(self._start, code, until - since)
                self._add_days(code, until - since, local - timedelta(seconds=now - until))
                self._counted_until = until
        self._counted_until = known_until

    def kept(self, now: float, local: datetime, *, ended: bool) -> Kept:
        """Return what belongs into the file."""
        return Kept(local.timestamp() - (now - self._counted_until), ended, self._days)

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


def _add(totals: Totals, code: str, seconds: float) -> None:
    if code not in totals and len(totals) >= MAX_CODES:
        code = OTHER
    totals[code] = totals.get(code, 0.0) + seconds


def _outage(totals: Mapping[str, float]) -> Outage:
    return Outage(round(sum(totals.values()), 3), _rounded(totals))


def _rounded(totals: Mapping[str, float]) -> JsonObject:
    return {code: round(seconds, 3) for code, seconds in sorted(totals.items())}
