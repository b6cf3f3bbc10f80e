"""How a meter's publisher is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from ksem_contract.block_message import Source
from ksem_contract.declared import FLAT, Declared, Moment, Rule, Token
from ksem_contract.fields import Fields
from ksem_contract.link_health import HealthCondition, LinkHealth
from ksem_contract.message_json import printable, read_versioned, write_object
from ksem_contract.reasons import Reason, Reasons
from ksem_contract.register_range import RegisterRange

MAX_CHECKS: Final = 16
"""Checks in a message: with texts of the greatest length it stays below what readers take."""


@dataclass(frozen=True, slots=True)
class PushHealth(Declared):
    """The meter writes to us."""

    link: Annotated[LinkHealth, FLAT]
    peer: str | None
    """Address of the connected meter."""
    period_ms: int | None
    """The learned time between two cycles."""
    groups: tuple[RegisterRange, ...]
    """What is being pushed; on the wire each as [first, last]."""
    writes: int


@dataclass(frozen=True, slots=True)
class PollHealth(Declared):
    """We read from the meter."""

    link: Annotated[LinkHealth, FLAT]
    requests: int
    errors: int
    seqlock_retries: int
    """How often a cycle went by while `live` was read, so that a part was read again."""


@dataclass(frozen=True, slots=True)
class BlockHealth(Declared):
    """One block as published last."""

    age_ms: int | None
    """Age of its oldest measured word now; None before there is one."""
    limit_ms: int | None
    """The age from which on the publisher calls it old; None for no limit."""
    source: Source | None
    seq: int
    """0 before the first message of this session."""
    per_s: float
    """Messages a second, lately."""


@dataclass(frozen=True, slots=True)
class CheckFlag(Declared):
    """Something about the meter's values that can't be right."""

    name: str
    """Which of several alike: `voltage-l1`. The code of its reason tells what is wrong."""
    since: Moment
    reason: Annotated[Reason, FLAT]


@dataclass(frozen=True, slots=True)
class MeterHealth(Declared):
    """How a meter's publisher is: every 10 s, and on change of state.

    Topic `ksem/<meter>/health`, retained, QoS 1. To see it: `mosquitto_sub -t 'ksem/+/health'`

        {"v":1,"version":"0.1.0","session":"5f1c9a2e","since":"2026-11-22T10:00:00.000Z","state":"ok",
         "why":"live data is pushed",
         "push":{"state":"up","since":"2026-11-22T10:00:00.000Z","why":"a whole cycle every 200 ms",
                 "reasons":[{"code":"push-arrives","text":"a whole cycle every 200 ms","remedy":"",
                             "params":{"period":"200"}}],"changes":1,
                 "peer":"192.168.1.20","period_ms":200,"groups":[[0,27],[40,145]],"writes":1812},
         "poll":{"state":"up","since":"2026-11-22T09:59:58.700Z","why":"the meter answers",
                 "reasons":[{"code":"poll-answers","text":"the meter answers","remedy":"","params":{}}],"changes":1,
                 "requests":310,"errors":0,"seqlock_retries":2},
         "blocks":{"live":{"age_ms":120,"limit_ms":1500,"source":"push","seq":1812,"per_s":5.0}},
         "checks":[{"name":"phases","since":"2026-11-22T10:02:00.000Z","code":"phases-differ",
                    "text":"the phases' power and the total's are 412.0 W apart","remedy":"compare with ...",
                    "params":{"gap":"412.0"}}],
         "publishers":["00c0ffee"],
         "reasons":[{"code":"live-pushed","text":"live data is pushed","remedy":"","params":{}}]}
    """

    version: str
    """Of the software."""
    session: Token
    since: Moment
    """When it came into this state."""
    state: HealthCondition
    why: str
    """The sentences of `reasons`, for people."""
    push: PushHealth
    poll: PollHealth
    blocks: Mapping[str, BlockHealth]
    checks: Annotated[tuple[CheckFlag, ...], Rule(shorten=lambda checks: checks[:MAX_CHECKS])] = ()
    publishers: tuple[Token, ...] = ()
    """Other sessions seen on this meter's topics: a second publisher runs."""
    reasons: Reasons = ()
    """Why it is in this state, the most important first. Empty in a message of an earlier build."""

    def encode(self) -> bytes:
        """The payload."""
        return write_object({"v": 1, **self.to_json()})

    @classmethod
    def decode(cls, payload: bytes) -> "MeterHealth":
        """The message in `payload`. Raises InvalidMessage (UnknownVersion for another `v`), and nothing else."""
        return cls.from_json(Fields(printable(read_versioned(payload))))
