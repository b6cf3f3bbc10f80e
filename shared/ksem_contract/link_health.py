"""How a link is, since when, and why: the part that all health messages share."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from ksem_contract.declared import Declared, Moment
from ksem_contract.reasons import Reasons

LinkCondition = Literal["up", "down", "waiting"]
"""`waiting`: not up, and nothing wrong yet (just started, or switched off on purpose)."""

HealthCondition = Literal["ok", "degraded", "down"]
"""`degraded`: data flows, but something that should help is missing."""

LINK_CONDITIONS: Final[tuple[str, ...]] = get_args(LinkCondition)
HEALTH_CONDITIONS: Final[tuple[str, ...]] = get_args(HealthCondition)


@dataclass(frozen=True, slots=True)
class LinkHealth(Declared):
    """One link: `{"state":"up","since":"2026-11-22T10:00:00.123Z","why":"...","reasons":[...],"changes":3}`."""

    state: LinkCondition
    since: Moment
    """When it came into this state."""
    why: str
    """The sentences of `reasons`, for people."""
    changes: int
    """How often the state has changed since the service started."""
    reasons: Reasons = ()
    """Why it is in this state, the most important first. Empty in a message of an earlier build."""
