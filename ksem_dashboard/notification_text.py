"""The words of a notification: what happened, since when, why, and what to do [core]."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from ksem_dashboard.faults import BELIEVES_WRONG
from ksem_dashboard.outages import Outage


@dataclass(frozen=True, slots=True)
class Message:
    """What is delivered."""

    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Events:
    """What one message reports."""

    begun: tuple[Outage, ...] = ()
    """Outages that the owner does not know of yet."""
    again: tuple[Outage, ...] = ()
    """Outages that were reported, and go on."""
    ended: tuple[Outage, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.begun or self.again or self.ended)


_EN: Final = {
    "no-data": "no data",
    "wrong": "wrong numbers",
    "title-begun": "KSEM AirBridge: {what}",
    "title-again": "KSEM AirBridge: still {what}",
    "title-ended": "KSEM AirBridge: all is well again",
    "begun": "{subject}: {what} since {since} ({length}).",
    "begun-breaks": "{subject}: {what} since {since}, with breaks: {down} of {length} in {breaks} outages.",
    "again": "{subject}: still {what}, since {since} ({length}).",
    "ended": "{subject}: well again since {until}. Before that {what} for {length}, from {since} on.",
    "ended-breaks": "{subject}: well again since {until}. Before that {what} for {down} of {length}, in {breaks}"
    " outages, from {since} on.",
    "reason": "Reason: {reason}",
    "remedy": "What to do: {remedy}",
    "more": "And {count} more.",
    "test-title": "KSEM AirBridge: test",
    "test": "This is a test. Notifications of the dashboard arrive here.",
}
TEXTS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({"en": MappingProxyType(_EN)})
"""By language. A translation is another mapping with the same keys and parameters."""
MOST: Final = 8
"""Outages that one message describes; more are only counted."""


def compose(events: Events, local: datetime, language: str) -> Message:
    """The message at this local time."""
    texts = TEXTS[language]
    parts = [_outage(outage, "begun", local, texts) for outage in events.begun]
    parts += [_outage(outage, "again", local, texts) for outage in events.again]
    parts += [_outage(outage, "ended", local, texts) for outage in events.ended]
    more = [texts["more"].format(count=len(parts) - MOST)] if len(parts) > MOST else []
    return Message(_title(events, texts), "\n\n".join([*parts[:MOST], *more]))


def trial_message(language: str) -> Message:
    """The message of `--notify-test`."""
    return Message(TEXTS[language]["test-title"], TEXTS[language]["test"])


def in_words(seconds: float) -> str:
    """A length: `45 s`, `12 min`, `3 h 5 min`, `2 d 4 h`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def _title(events: Events, texts: Mapping[str, str]) -> str:
    on = events.begun or events.again
    if not on:
        return texts["title-ended"]
    return texts["title-begun" if events.begun else "title-again"].format(what=_what(on[0], texts))


def _what(outage: Outage, texts: Mapping[str, str]) -> str:
    return texts["wrong" if outage.code in BELIEVES_WRONG else "no-data"]


def _outage(outage: Outage, kind: str, local: datetime, texts: Mapping[str, str]) -> str:
    key = f"{kind}-breaks" if outage.breaks > 1 and f"{kind}-breaks" in texts else kind
    sentence = texts[key].format(
        what=_what(outage, texts),
        subject=outage.subject[:1].upper() + outage.subject[1:],
        since=_clock(outage.begun, local),
        until=_clock(outage.ended, local),
        length=in_words(outage.span_s),
        down=in_words(outage.down_s),
        breaks=outage.breaks,
    )
    lines = [sentence, texts["reason"].format(reason=outage.text)]
    if kind != "ended" and outage.remedy:
        lines.append(texts["remedy"].format(remedy=outage.remedy))
    return "\n".join(lines)


def _clock(wall: float, local: datetime) -> str:
    """A time of day; with its date where it is another day than today."""
    moment = local + timedelta(seconds=wall - local.timestamp())
    same_day = moment.date() == local.date()
    return f"{moment:%H:%M}" if same_day else f"{moment:%Y-%m-%d %H:%M}"
