"""How an RTU server is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from ksem_contract.declared import OMITTED, Declared, Moment, Token
from ksem_contract.fields import Fields
from ksem_contract.histogram import Histogram
from ksem_contract.link_health import HealthCondition, LinkHealth
from ksem_contract.message_json import printable, read_versioned, write_object
from ksem_contract.reasons import Reasons


@dataclass(frozen=True, slots=True)
class Percentiles(Declared):
    """Durations in ms, lately: half of them are at most p50, 99 of 100 at most p99. None before there are any."""

    p50: float | None = None
    p99: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class UnitHealth(Declared):
    """One unit on one line: what an inverter asked there, and what it got."""

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
    """Frames heard on the line that were for others."""
    noise: int
    """Bytes heard on the line that were no frame."""
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
    """Times that the process stood still, so that requests on the line went unanswered."""
    reasons: Reasons = ()
    """Why the unit is in its state; where port or broker is the cause, that has its own reasons.

    Empty in a message of an earlier build.
    """


@dataclass(frozen=True, slots=True)
class Transit(Declared):
    """The way from a meter's publisher: the echo's round trip, and which session it dated."""

    rtt_ms: float | None
    session: Token | None
    bad_mac: int = 0
    """Blocks and pongs refused since the node's start because of their code; 0 in a message of an earlier build."""


@dataclass(frozen=True, slots=True)
class NodeHealth(Declared):
    """How an RTU server is: every 10 s, and on change of state.

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
         "reasons":[{"code":"inverter-served","text":"the inverter gets data","remedy":"","params":{}}]}

    Where rtu-server has a side door, `doors` stands there too: a list like `units`.
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
    doors: Annotated[tuple[UnitHealth, ...], OMITTED] = ()
    """Units that readers ask over Modbus TCP; `line` is the door's name. They say nothing about the inverter."""
    reasons: Reasons = ()
    """Why it is in this state: those of its worst units first. Empty in a message of an earlier build."""

    def encode(self) -> bytes:
        """The payload."""
        return write_object({"v": 1, **self.to_json()})

    @classmethod
    def decode(cls, payload: bytes) -> "NodeHealth":
        """The message in `payload`. Raises InvalidMessage (UnknownVersion for another `v`), and nothing else."""
        return cls.from_json(Fields(printable(read_versioned(payload))))
