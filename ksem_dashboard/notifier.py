"""When which message goes to one receiver [core].

It keeps no queue of messages. It knows which outages its receiver knows of, and composes a message from what differs
at the moment of each attempt: so what arrives late is not out of date, and a night or an hour of trouble becomes one
message. Times `now` in seconds of CLOCK_BOOTTIME; `local` is the wall clock.
"""

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ksem_dashboard.notification_text import Events, Message, compose
from ksem_dashboard.outages import Outage

MOST_AN_HOUR: Final = 3
HOUR: Final = 3600.0
FIRST_RETRY: Final = 30.0
LAST_RETRY: Final = 1200.0
"""Seconds between two attempts at most: three an hour, since a receiver may show what it failed to confirm."""
_MOST_ENDED: Final = 50


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours of the day in which nothing is sent, as minutes since midnight; past midnight where the end is earlier."""

    begin: int
    end: int

    def holds(self, local: datetime) -> bool:
        """Whether `local` lies in them."""
        minute = 60 * local.hour + local.minute
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end


QUIET_PATTERN: Final = r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)"


def parse_quiet(text: str) -> Quiet | None:
    """`22:00-06:30` as Quiet; None for an empty text. ValueError for anything else, or hours without a length."""
    if not text:
        return None
    found = re.fullmatch(QUIET_PATTERN, text)
    if found is None:
        raise ValueError("hours are written as 22:00-06:30")
    begin_hour, begin_minute, end_hour, end_minute = map(int, found.groups())
    quiet = Quiet(60 * begin_hour + begin_minute, 60 * end_hour + end_minute)
    if quiet.begin == quiet.end:
        raise ValueError("begin and end are equal")
    return quiet


@dataclass(frozen=True, slots=True)
class Rules:
    """As the settings [notify] have it."""

    after: float = 60.0
    repeat: float = 0.0
    quiet: Quiet | None = None
    language: str = "en"


@dataclass(frozen=True, slots=True)
class _Reported:
    begun: float
    at: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """Attempts that failed since the last message that was delivered."""

    count: int
    since: datetime
    error: str


class Notifier:
    """Decides for one receiver. At most one message is under way."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._reported: dict[str, _Reported] = {}
        self._ended: list[Outage] = []
        self._sent: deque[float] = deque(maxlen=MOST_AN_HOUR)
        self._under_way: Events | None = None
        self._next_try = 0.0
        self.trouble: Trouble | None = None

    def on_finished(self, outages: Iterable[Outage]) -> None:
        """Note outages that are over: those that the receiver knows of, and those long enough to be reported."""
        for outage in outages:
            if outage.subject in self._reported or outage.down_s >= self._rules.after:
                self._ended = [*self._ended, outage][-_MOST_ENDED:]

    def due(self, current: Sequence[Outage], now: float, local: datetime) -> Message | None:
        """The message to deliver now, if any; then `delivered` or `failed` is to be called.

        `current`: the outages that are not over.
        """
        if self._under_way is not None:
            return None
        self._forget_given_up(current)
        if now < self._next_try or self._is_limited(now):
            return None
        if self._rules.quiet is not None and self._rules.quiet.holds(local):
            return None
        events = self._events(current, now)
        if not events:
            return None
        self._under_way = events
        return compose(events, local, self._rules.language)

    def delivered(self, now: float) -> None:
        """The message under way has arrived."""
        events, self._under_way = self._under_way, None
        self._sent.append(now)
        self._next_try, self.trouble = now, None
        if events is None:
            return
        for outage in events.ended:
            self._reported.pop(outage.subject, None)
        self._ended = [outage for outage in self._ended if outage not in events.ended]
        for outage in (*events.begun, *events.again):
            self._reported[outage.subject] = _Reported(outage.begun, now)

    def failed(self, error: str, now: float, local: datetime) -> None:
        """The message under way did not arrive; it is tried again after 30 s, then twice as long each time."""
        self._under_way = None
        before = self.trouble
        count = before.count + 1 if before else 1
        self.trouble = Trouble(count, before.since if before else local, error)
        self._next_try = now + min(FIRST_RETRY * 2 ** min(count - 1, 10), LAST_RETRY)

    def memory(self, now: float, wall: float) -> dict[str, Any]:
        """What must outlive a restart, as JSON values: the limit for messages, and which outages were reported."""
        return {
            "sent": [round(wall - (now - at), 1) for at in self._sent],
            "reported": {
                subject: [one.begun, round(wall - (now - one.at), 1)] for subject, one in self._reported.items()
            },
        }

    def remember(self, memory: Mapping[str, Any], now: float, wall: float) -> None:
        """Take over what `memory` gave before a restart; what can't be read is left out."""
        try:
            sent = [min(now, now - (wall - float(at))) for at in memory["sent"]]
            reported = {
                str(subject): _Reported(float(begun), min(now, now - (wall - float(at))))
                for subject, (begun, at) in memory["reported"].items()
            }
        except (KeyError, TypeError, ValueError, AttributeError):
            return
        self._sent.extend(sorted(sent))
        self._reported.update(reported)

    def _events(self, current: Sequence[Outage], now: float) -> Events:
        known = {
            outage.subject
            for outage in current
            if outage.subject in self._reported and self._reported[outage.subject].begun == outage.begun
        }
        begun = [one for one in current if one.subject not in known and one.down_s >= self._rules.after]
        again = [one for one in current if one.subject in known and self._is_to_repeat(one.subject, now)]
        return Events(tuple(begun), tuple(again), tuple(self._ended))

    def _is_to_repeat(self, subject: str, now: float) -> bool:
        return self._rules.repeat > 0 and now - self._reported[subject].at >= self._rules.repeat

    def _is_limited(self, now: float) -> bool:
        return len(self._sent) == MOST_AN_HOUR and now - self._sent[0] < HOUR

    def _forget_given_up(self, current: Sequence[Outage]) -> None:
        """A subject that is known no more, as a node whose retained status was taken from the broker."""
        there = {outage.subject for outage in (*current, *self._ended)}
        self._reported = {subject: one for subject, one in self._reported.items() if subject in there}
