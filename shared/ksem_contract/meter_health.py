"""How a meter's publisher is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast, get_args

from ksem_contract.block_message import Source
from ksem_contract.fields import Fields, bounded_text
from ksem_contract.link_health import HealthCondition, LinkHealth, read_health_condition
from ksem_contract.message_json import JsonObject, printable, read_versioned, write_object
from ksem_contract.reasons import Reason, read_reasons, reasons_json
from ksem_contract.register_range import RegisterRange

MAX_CHECKS: Final = 16
"""Checks in a message: with texts of the greatest length it stays below what readers take."""


@dataclass(frozen=True, slots=True)
class PushHealth:
    """The meter writes to us."""

    link: LinkHealth
    peer: str | None
    """Address of the connected meter."""
    period_ms: int | None
    """The learned time between two cycles."""
    groups: tuple[RegisterRange, ...]
    """What is being pushed; on the wire each as [first, last]."""
    writes: int

    def to_json(self) -> JsonObject:
        """As it stands in a message."""
        return {
            **self.link.to_json(),
            "peer": self.peer,
            "period_ms": self.period_ms,
            "groups": [[group.start, group.last] for group in self.groups],
            "writes": self.writes,
        }

    @classmethod
    def from_json(cls, fields: Fields) -> "PushHealth":
        """From a message."""
        return cls(
            link=LinkHealth.from_json(fields),
            peer=fields.maybe_text("peer"),
            period_ms=fields.maybe_whole("period_ms"),
            groups=fields.ranges("groups"),
            writes=fields.whole("writes"),
        )


@dataclass(frozen=True, slots=True)
class PollHealth:
    """We read from the meter."""

    link: LinkHealth
    requests: int
    errors: int
    seqlock_retries: int
    """How often a cycle went by while `live` was read, so that a part was read again."""

    def to_json(self) -> JsonObject:
        """As it stands in a message."""
        return {
            **self.link.to_json(),
            "requests": self.requests,
            "errors": self.errors,
            "seqlock_retries": self.seqlock_retries,
        }

    @classmethod
    def from_json(cls, fields: Fields) -> "PollHealth":
        """From a message."""
        return cls(
            link=LinkHealth.from_json(fields),
            requests=fields.whole("requests"),
            errors=fields.whole("errors"),
            seqlock_retries=fields.whole("seqlock_retries"),
        )


@dataclass(frozen=True, slots=True)
class BlockHealth:
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

    def to_json(self) -> JsonObject:
        """As it stands in a message."""
        return {
            "age_ms": self.age_ms,
            "limit_ms": self.limit_ms,
            "source": self.source,
            "seq": self.seq,
            "per_s": self.per_s,
        }

    @classmethod
    def from_json(cls, fields: Fields) -> "BlockHealth":
        """From a message."""
        source = None if fields.maybe_text("source") is None else fields.choice("source", get_args(Source))
        return cls(
            age_ms=fields.maybe_whole("age_ms"),
            limit_ms=fields.maybe_whole("limit_ms"),
            source=cast("Source | None", source),
            seq=fields.whole("seq"),
            per_s=fields.number("per_s"),
        )


@dataclass(frozen=True, slots=True)
class CheckFlag:
    """Something about the meter's values that can't be right."""

    name: str
    """Which of several alike: `voltage-l1`. The code of its reason tells what is wrong."""
    since: str
    reason: Reason

    def to_json(self) -> JsonObject:
        """As it stands in a message."""
        return {"name": self.name, "since": self.since, **self.reason.to_json()}

    @classmethod
    def from_json(cls, fields: Fields) -> "CheckFlag":
        """From a message."""
        return cls(name=fields.text("name"), since=fields.time("since"), reason=Reason.from_json(fields))


@dataclass(frozen=True, slots=True)
class MeterHealth:
    """How a meter's publisher is: every 10 s, and on change of state.

    Topic `ksem/<meter>/health`, retained, QoS 1. To see it: `mosquitto_sub -t 'ksem/+/health'`

        {"v":1,"version":"0.1.0","session":"5f1c9a2e","since":"2026-11-22T10:00:00.000Z","state":"ok",
         "why":"live data is pushed",
         "reasons":[{"code":"live-pushed","text":"live data is pushed","remedy":"","params":{}}],
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
         "publishers":["00c0ffee"]}
    """

    version: str
    """Of the software."""
    session: str
    since: str
    """When it came into this state."""
    state: HealthCondition
    why: str
    """The sentences of `reasons`, for people."""
    push: PushHealth
    poll: PollHealth
    blocks: Mapping[str, BlockHealth]
    checks: tuple[CheckFlag, ...] = ()
    publishers: tuple[str, ...] = ()
    """Other sessions seen on this meter's topics: a second publisher runs."""
    reasons: tuple[Reason, ...] = ()
    """Why it is in this state, the most important first. Empty in a message of an earlier build."""

    def encode(self) -> bytes:
        """The payload."""
        return write_object(
            {
                "v": 1,
                "version": self.version,
                "session": self.session,
                "since": self.since,
                "state": self.state,
                "why": bounded_text(self.why),
                "reasons": reasons_json(self.reasons),
                "push": self.push.to_json(),
                "poll": self.poll.to_json(),
                "blocks": {name: block.to_json() for name, block in self.blocks.items()},
                "checks": [check.to_json() for check in self.checks[:MAX_CHECKS]],
                "publishers": list(self.publishers),
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> "MeterHealth":
        """The message in `payload`. Raises InvalidMessage (UnknownVersion for another `v`), and nothing else."""
        fields = Fields(printable(read_versioned(payload)))
        blocks = fields.part("blocks")
        return cls(
            version=fields.text("version"),
            session=fields.token("session"),
            since=fields.time("since"),
            state=read_health_condition(fields),
            why=fields.text("why"),
            push=PushHealth.from_json(fields.part("push")),
            poll=PollHealth.from_json(fields.part("poll")),
            blocks={name: BlockHealth.from_json(blocks.part(name)) for name in blocks.names()},
            checks=tuple(CheckFlag.from_json(check) for check in fields.parts("checks")),
            publishers=fields.tokens("publishers"),
            reasons=read_reasons(fields),
        )
