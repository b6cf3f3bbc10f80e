"""How an RTU server is."""

from collections.abc import Mapping
from dataclasses import dataclass

from ksem_contract.fields import Fields, bounded_text
from ksem_contract.histogram import Histogram
from ksem_contract.link_health import HealthCondition, LinkHealth, read_health_condition
from ksem_contract.message_json import JsonObject, printable, read_versioned, write_object


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Durations in ms, lately: half of them are at most p50, 99 of 100 at most p99. None before there are any."""

    p50: float | None = None
    p99: float | None = None
    max: float | None = None

    def to_json(self) -> JsonObject:
        """As it stands in a message."""
        return {"p50": self.p50, "p99": self.p99, "max": self.max}

    @classmethod
    def from_json(cls, fields: Fields) -> "Percentiles":
        """From a message."""
        return cls(
            p50=fields.maybe_number("p50"),
            p99=fields.maybe_number("p99"),
            max=fields.maybe_number("max"),
        )


@dataclass(frozen=True, slots=True)
class UnitHealth:
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
    turnaround_histogram_ms: Histogram | None = None
    """All turnarounds since the start. This and the next are None in a message of an earlier build."""
    age_histogram_ms: Histogram | None = None
    unsent: int = 0
    """Answers that did not leave the port. This and the next are 0 in a message of an earlier build."""
    stalls: int = 0
    """Times that the process stood still, so that requests on the line went unanswered."""

    def to_json(self) -> JsonObject:
        """As it stands in a message."""
        histograms: JsonObject = {
            name: histogram.to_json()
            for name, histogram in (
                ("turnaround_histogram_ms", self.turnaround_histogram_ms),
                ("age_histogram_ms", self.age_histogram_ms),
            )
            if histogram is not None
        }
        return {
            "line": self.line,
            "unit": self.unit,
            "meter": self.meter,
            "port": self.port.to_json(),
            "state": self.state,
            "requests": self.requests,
            "data": self.data,
            "refused": dict(self.refused),
            "foreign": self.foreign,
            "noise": self.noise,
            "unsent": self.unsent,
            "stalls": self.stalls,
            "turnaround_ms": self.turnaround_ms.to_json(),
            "age_ms": self.age_ms.to_json(),
            "last_request_ago_ms": self.last_request_ago_ms,
            **histograms,
        }

    @classmethod
    def from_json(cls, fields: Fields) -> "UnitHealth":
        """From a message."""
        refused = fields.part("refused")
        return cls(
            line=fields.text("line"),
            unit=fields.whole("unit"),
            meter=fields.text("meter"),
            port=LinkHealth.from_json(fields.part("port")),
            state=read_health_condition(fields),
            requests=fields.whole("requests"),
            data=fields.whole("data"),
            refused={reason: refused.whole(reason) for reason in refused.names()},
            foreign=fields.whole("foreign"),
            noise=fields.whole("noise"),
            turnaround_ms=Percentiles.from_json(fields.part("turnaround_ms")),
            age_ms=Percentiles.from_json(fields.part("age_ms")),
            last_request_ago_ms=fields.maybe_whole("last_request_ago_ms"),
            turnaround_histogram_ms=_maybe_histogram(fields, "turnaround_histogram_ms"),
            age_histogram_ms=_maybe_histogram(fields, "age_histogram_ms"),
            unsent=fields.whole("unsent") if "unsent" in fields.names() else 0,
            stalls=fields.whole("stalls") if "stalls" in fields.names() else 0,
        )


def _maybe_histogram(fields: Fields, name: str) -> Histogram | None:
    return Histogram.from_json(fields.part(name)) if name in fields.names() else None


@dataclass(frozen=True, slots=True)
class Transit:
    """The way from a meter's publisher: the echo's round trip, and which session it dated."""

    rtt_ms: float | None
    session: str | None
    bad_mac: int = 0
    """Blocks and pongs refused since the node's start because of their code; 0 in a message of an earlier build."""

    def to_json(self) -> JsonObject:
        """As it stands in a message."""
        return {"rtt_ms": self.rtt_ms, "session": self.session, "bad_mac": self.bad_mac}

    @classmethod
    def from_json(cls, fields: Fields) -> "Transit":
        """From a message."""
        return cls(
            rtt_ms=fields.maybe_number("rtt_ms"),
            session=fields.maybe_token("session"),
            bad_mac=fields.whole("bad_mac") if "bad_mac" in fields.names() else 0,
        )


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """How an RTU server is: every 10 s, and on change of state.

    Topic `ksem/rtu/<node>/health`, retained, QoS 1. To see it: `mosquitto_sub -t 'ksem/rtu/+/health'`

        {"v":1,"version":"0.1.0","since":"2026-11-22T10:00:00.000Z","state":"ok","why":"the inverter gets data",
         "broker":{"state":"up","since":"2026-11-22T09:59:58.700Z","why":"connected","changes":1},
         "units":[{"line":"rs485","unit":1,"meter":"main",
                   "port":{"state":"up","since":"2026-11-22T09:59:58.600Z","why":"open","changes":1},
                   "state":"ok","requests":1812,"data":1810,"refused":{"stale":2},"foreign":0,"noise":0,"unsent":0,"stalls":0,
                   "turnaround_ms":{"p50":2.1,"p99":3.4,"max":9.0},"age_ms":{"p50":110.0,"p99":260.0,"max":310.0},
                   "last_request_ago_ms":80,
                   "turnaround_histogram_ms":{"le":[2,4,10],"counts":[900,1809,1812,1812],"sum":3987.2},
                   "age_histogram_ms":{"le":[100,200,500],"counts":[700,1500,1810,1810],"sum":210412.5}}],
         "transit":{"main":{"rtt_ms":1.9,"session":"5f1c9a2e","bad_mac":0}}}

    Where rtu-server has a side door, `doors` stands there too: a list like `units`.
    """

    version: str
    """Of the software."""
    since: str
    """When it came into this state."""
    state: HealthCondition
    why: str
    broker: LinkHealth
    units: tuple[UnitHealth, ...]
    transit: Mapping[str, Transit]
    """By meter."""
    doors: tuple[UnitHealth, ...] = ()
    """Units that readers ask over Modbus TCP; `line` is the door's name. They say nothing about the inverter."""

    def encode(self) -> bytes:
        """The payload."""
        doors: JsonObject = {"doors": [door.to_json() for door in self.doors]} if self.doors else {}
        return write_object(
            {
                "v": 1,
                "version": self.version,
                "since": self.since,
                "state": self.state,
                "why": bounded_text(self.why),
                "broker": self.broker.to_json(),
                "units": [unit.to_json() for unit in self.units],
                "transit": {meter: transit.to_json() for meter, transit in self.transit.items()},
                **doors,
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> "NodeHealth":
        """The message in `payload`. Raises InvalidMessage (UnknownVersion for another `v`), and nothing else."""
        fields = Fields(printable(read_versioned(payload)))
        transit = fields.part("transit")
        return cls(
            version=fields.text("version"),
            since=fields.time("since"),
            state=read_health_condition(fields),
            why=fields.text("why"),
            broker=LinkHealth.from_json(fields.part("broker")),
            units=tuple(UnitHealth.from_json(unit) for unit in fields.parts("units")),
            transit={meter: Transit.from_json(transit.part(meter)) for meter in transit.names()},
            doors=tuple(UnitHealth.from_json(door) for door in fields.parts("doors"))
            if "doors" in fields.names()
            else (),
        )
