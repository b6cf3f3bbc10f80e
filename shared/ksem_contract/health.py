"""Health messages: how a link is, since when and why; how a publisher and a node are; the requests of a node [core].

Durations are counted by fixed bounds, as Prometheus counts them. The module is long since it is a table: each field
stands here once, with its unit and its reason, and `declared` reads and writes it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Final, Literal, Self, get_args

from ksem_contract.block_message import Source
from ksem_contract.declared import FLAT, OMITTED, Declared, Moment, Rule, Token
from ksem_contract.message_fields import Fields, InvalidMessage, printable, read_versioned, write_object
from ksem_contract.reasons import Reason, Reasons
from ksem_contract.registers import RegisterRange

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


TURNAROUND_BOUNDS_MS: Final = (0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""An answer on the line begins after some 2 ms, one of a Modbus TCP server after less than 1 ms."""
AGE_BOUNDS_MS: Final = (50.0, 100.0, 150.0, 200.0, 250.0, 300.0, 400.0, 500.0, 750.0, 1000.0, 1500.0, 2500.0)
"""A measuring cycle takes 200 or 500 ms; live data is refused from 1.5 s on by default."""
MAX_BOUNDS: Final = 64


@dataclass(frozen=True, slots=True)
class Histogram(Declared):
    """How many durations were at most so long, since the service's start. Bounds and sum in ms.

        {"le":[1,2,5],"counts":[3,40,41,41],"sum":71.5}

    A reader takes the bounds from the message: another version may have others.
    """

    le: tuple[float, ...]
    """Bounds, ascending; a duration that equals one counts there."""
    counts: tuple[int, ...]
    """Durations up to each bound, and at the end all of them: one more than there are bounds, never descending."""
    sum: float

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """From a message. Raises InvalidMessage also where bounds and counts don't go together."""
        found = super(Histogram, cls).from_json(fields)
        if not 0 < len(found.le) <= MAX_BOUNDS or len(found.counts) != len(found.le) + 1:
            raise InvalidMessage(f"a histogram of {len(found.le)} bounds has {len(found.counts)} counts")
        descends = any(low >= high for low, high in pairwise(found.le))
        if descends or any(low > high for low, high in pairwise(found.counts)):
            raise InvalidMessage("a histogram's bounds or counts descend")
        return found


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
    """An anomaly of the meter's values."""

    name: str
    """Which of several alike: `voltage-l1`. The code of its reason names what is wrong."""
    since: Moment
    reason: Annotated[Reason, FLAT]


@dataclass(frozen=True, slots=True)
class MeterHealth(Declared):
    """The state of a meter's publisher: every 10 s, and on change of state.

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


@dataclass(frozen=True, slots=True)
class Percentiles(Declared):
    """Durations in ms, lately: half of them are at most p50, 99 of 100 at most p99. None before there are any."""

    p50: float | None = None
    p99: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class UnitHealth(Declared):
    """One unit on one line: what an inverter requested there, and what it got."""

    line: str
    unit: int
    meter: str
    port: LinkHealth
    """The serial port."""
    state: HealthCondition
    requests: int
    """Requests to this unit."""
    data: int
    """Those answered with data."""
    refused: Mapping[str, int]
    """The others, by reason: `stale`, `exception-1`, ..."""
    foreign: int
    """Frames for others on the line."""
    noise: int
    """Bytes on the line that were no frame."""
    turnaround_ms: Percentiles
    """From a request's last byte to its answer's first."""
    age_ms: Percentiles
    """How old the data was when it was answered with."""
    last_request_ago_ms: int | None
    turnaround_histogram_ms: Annotated[Histogram | None, OMITTED] = None
    """All turnarounds since the start. This and the next are None in a message of an earlier build."""
    age_histogram_ms: Annotated[Histogram | None, OMITTED] = None
    unsent: int = 0
    """Answers that did not leave the port. This and the next are 0 in a message of an earlier build."""
    stalls: int = 0
    """Stalls of the process, so that requests on the line went unanswered."""
    reasons: Reasons = ()
    """Why the unit is in its state; where port or broker is the cause, that has its own reasons.

    Empty in a message of an earlier build.
    """


@dataclass(frozen=True, slots=True)
class Transit(Declared):
    """The path from a meter's publisher: the echo's round trip, and which session it dated."""

    rtt_ms: float | None
    session: Token | None
    bad_mac: int = 0
    """Blocks and pongs refused since the node's start because of their code; 0 in a message of an earlier build."""


@dataclass(frozen=True, slots=True)
class Outage(Declared):
    """Time without data in seconds, together and by the code of the reason."""

    seconds: float
    reasons: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class NoData(Declared):
    """How long an inverter of a node got no data. docs/contract.md defines what counts."""

    start: Outage
    """Since the RTU server's start."""
    today: Outage
    """Since midnight in the host's time zone."""
    days: Outage
    """Today and the 29 days before."""


@dataclass(frozen=True, slots=True)
class NodeHealth(Declared):
    """The state of an RTU server: every 10 s, and on change of state.

    Topic `ksem/rtu/<node>/health`, retained, QoS 1. To see it: `mosquitto_sub -t 'ksem/rtu/+/health'`

        {"v":1,"version":"0.1.0","since":"2026-11-22T10:00:00.000Z","state":"ok","why":"the inverter gets data",
         "broker":{"state":"up","since":"2026-11-22T09:59:58.700Z","why":"connected to broker:1883",
                   "reasons":[{"code":"broker-connected","text":"connected to broker:1883","remedy":"",
                               "params":{"address":"broker:1883"}}],"changes":1},
         "units":[{"line":"rs485","unit":1,"meter":"main",
                   "port":{"state":"up","since":"2026-11-22T09:59:58.600Z","why":"/dev/ttyUSB0 is open",
                           "reasons":[{"code":"port-open","text":"/dev/ttyUSB0 is open","remedy":"",
                                       "params":{"port":"/dev/ttyUSB0"}}],"changes":1},
                   "state":"ok",
                   "reasons":[{"code":"inverter-served","text":"the inverter gets data","remedy":"","params":{}}],
                   "requests":1812,"data":1810,"refused":{"stale":2},"foreign":0,"noise":0,"unsent":0,"stalls":0,
                   "turnaround_ms":{"p50":2.1,"p99":3.4,"max":9.0},"age_ms":{"p50":110.0,"p99":260.0,"max":310.0},
                   "last_request_ago_ms":80,
                   "turnaround_histogram_ms":{"le":[2,4,10],"counts":[900,1809,1812,1812],"sum":3987.2},
                   "age_histogram_ms":{"le":[100,200,500],"counts":[700,1500,1810,1810],"sum":210412.5}}],
         "transit":{"main":{"rtt_ms":1.9,"session":"5f1c9a2e","bad_mac":0}},
         "reasons":[{"code":"inverter-served","text":"the inverter gets data","remedy":"","params":{}}],
         "no_data":{"start":{"seconds":0.0,"reasons":{}},
                    "today":{"seconds":12.4,"reasons":{"meter-offline":12.4}},
                    "days":{"seconds":61.9,"reasons":{"meter-offline":12.4,"unit-has-no-port":49.5}}}}

    Where rtu-server has Modbus TCP servers, `tcp` is there too: a list like `units`.
    """

    version: str
    """Of the software."""
    since: Moment
    """When it came into this state."""
    state: HealthCondition
    why: str
    """The sentences of `reasons`, for people."""
    broker: LinkHealth
    units: tuple[UnitHealth, ...]
    transit: Mapping[str, Transit]
    """By meter."""
    tcp: Annotated[tuple[UnitHealth, ...], OMITTED] = ()
    """Units of the Modbus TCP servers; `line` is the server's name. They do not count for the inverter."""
    reasons: Reasons = ()
    """Why it is in this state: those of its worst units first. Empty in a message of an earlier build."""
    no_data: Annotated[NoData | None, OMITTED] = None
    """How long an inverter got no data. None in a message of an earlier build."""

    def encode(self) -> bytes:
        """The payload."""
        return write_object({"v": 1, **self.to_json()})

    @classmethod
    def decode(cls, payload: bytes) -> "NodeHealth":
        """The message in `payload`. Raises InvalidMessage (UnknownVersion for another `v`), and nothing else."""
        return cls.from_json(Fields(printable(read_versioned(payload))))


MAX_ENTRIES: Final = 200
"""Entries in one message: with the longest names, of 32 characters, they stay below the 64 KiB that readers take."""

_is_outcome = re.compile(r"data|stale|silent|unsent|exception-[1-9][0-9]{0,2}").fullmatch


def _check_outcome(path: str, value: str) -> str:
    if not _is_outcome(value):
        raise InvalidMessage(f"{path} {value!r:.60}: allowed are data, stale, silent, unsent and exception-<code>")
    return value


@dataclass(frozen=True, slots=True)
class RequestEntry(Declared):
    """One kind of request: the same function, start and count, to the same unit."""

    line: str
    unit: int
    meter: str
    function: int
    start: int
    count: int
    """As requested; it need not be a count that Modbus allows."""
    per_s: float
    """How often, lately."""
    last: Annotated[str, Rule(_check_outcome)]
    """How the last one was answered: `data`, `stale`, `exception-<code>`, `silent` or `unsent`."""
    last_ago_ms: int
    demanded: bool
    """No block holds it, so the publisher is requested to read it from the meter."""


@dataclass(frozen=True, slots=True)
class RequestsMessage(Declared):
    """What the inverters of a node request, and what they get.

    Topic `ksem/rtu/<node>/requests`, retained, QoS 1. To see it: `mosquitto_sub -t 'ksem/rtu/+/requests'`

        {"v":1,"requests":[{"line":"rs485","unit":1,"meter":"main","function":3,"start":40,"count":106,"per_s":6.2,
                            "last":"data","last_ago_ms":80,"demanded":false}]}
    """

    requests: tuple[RequestEntry, ...]
    """At most MAX_ENTRIES."""
    left_out: Annotated[int, OMITTED] = 0
    """How many more there are, for which there was no room; absent where there are none."""

    def encode(self) -> bytes:
        """The payload."""
        return write_object({"v": 1, **self.to_json()})

    @classmethod
    def decode(cls, payload: bytes) -> "RequestsMessage":
        """The message in `payload`. Raises InvalidMessage (UnknownVersion for another `v`), and nothing else."""
        return cls.from_json(Fields(printable(read_versioned(payload))))
