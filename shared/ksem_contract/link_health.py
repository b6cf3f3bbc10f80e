"""How a link is, since when, and why: the part that all health messages share."""

from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from ksem_contract.fields import Fields, bounded_text
from ksem_contract.message_json import JsonObject
from ksem_contract.reasons import Reason, read_reasons, reasons_json

LinkCondition = Literal["up", "down", "waiting"]
"""`waiting`: not up, and nothing wrong yet (just started, or switched off on purpose)."""

HealthCondition = Literal["ok", "degraded", "down"]
"""`degraded`: data flows, but something that should help is missing."""

LINK_CONDITIONS: Final[tuple[str, ...]] = get_args(LinkCondition)
HEALTH_CONDITIONS: Final[tuple[str, ...]] = get_args(HealthCondition)


@dataclass(frozen=True, slots=True)
class LinkHealth:
    """One link: `{"state":"up","since":"2026-11-22T10:00:00.123Z","why":"...","reasons":[...],"changes":3}`."""

    state: LinkCondition
    since: str
    """When it came into this state; RFC 3339, UTC."""
    why: str
    """The sentences of `reasons`, for people."""
    changes: int
    """How often the state has changed since the service started."""
    reasons: tuple[Reason, ...] = ()
    """Why it is in this state, the most important first. Empty in a message of an earlier build."""

    def to_json(self) -> JsonObject:
        """As it stands in a message."""
        return {
            "state": self.state,
            "since": self.since,
            "why": bounded_text(self.why),
            "reasons": reasons_json(self.reasons),
            "changes": self.changes,
        }

    @classmethod
    def from_json(cls, fields: Fields) -> "LinkHealth":
        """From a message; other fields beside it are left alone."""
        return cls(
            state=cast("LinkCondition", fields.choice("state", LINK_CONDITIONS)),
            since=fields.time("since"),
            why=fields.text("why"),
            changes=fields.whole("changes"),
            reasons=read_reasons(fields),
        )


def read_health_condition(fields: Fields) -> HealthCondition:
    """The field `state` of a health message."""
    return cast("HealthCondition", fields.choice("state", HEALTH_CONDITIONS))
