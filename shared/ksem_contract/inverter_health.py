"""How an inverter's reader is, and what the inverter makes of its meter."""

from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from ksem_contract.fields import Fields, bounded_text
from ksem_contract.inverter_reasons import Reason, sentence
from ksem_contract.link_health import HealthCondition, LinkHealth, read_health_condition
from ksem_contract.message_json import JsonObject, printable, read_versioned, write_object

Sureness = Literal["none", "low", "fair", "good"]
"""How sure a delay is: `none` before there is one, `low` from fewer than 5 changes of power, `fair` below 20."""
_SURENESS: Final[tuple[str, ...]] = get_args(Sureness)


@dataclass(frozen=True, slots=True)
class Delay:
    """How far the inverter is behind the meter, from changes of power: from the measurement to the inverter's own
    register, in ms.
    """

    p50_ms: float | None = None
    p99_ms: float | None = None
    changes: int = 0
    """Changes of power that it was found from."""
    within_ms: float | None = None
    """Each was found to so many ms, the half of them: the inverter is read only now and then."""
    sure: Sureness = "none"

    def to_json(self) -> JsonObject:
        """As it stands in a message."""
        return {
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "changes": self.changes,
            "within_ms": self.within_ms,
            "sure": self.sure,
        }

    @classmethod
    def from_json(cls, fields: Fields) -> "Delay":
        """From a message."""
        return cls(
            p50_ms=fields.maybe_number("p50_ms"),
            p99_ms=fields.maybe_number("p99_ms"),
            changes=fields.whole("changes"),
            within_ms=fields.maybe_number("within_ms"),
            sure=cast("Sureness", fields.choice("sure", _SURENESS)),
        )


@dataclass(frozen=True, slots=True)
class InverterHealth:
    """How an inverter's reader is: every 10 s, and on change of state or reasons.

    Topic `ksem/inverter/<id>/health`, retained, QoS 1. To see it: `mosquitto_sub -t 'ksem/inverter/+/health'`

        {"v":1,"version":"0.1.0","since":"2026-11-22T10:00:00.000Z","state":"ok",
         "why":"the inverter believes what was served",
         "reasons":[{"code":"inverter-agrees","text":"the inverter believes what was served","remedy":"","params":{}}],
         "meter":"main",
         "broker":{"state":"up","since":"2026-11-22T09:59:58.700Z","why":"connected","changes":1},
         "modbus":{"state":"up","since":"2026-11-22T09:59:58.900Z","why":"192.168.1.60:1502 answers","changes":1},
         "reads":1812,"failures":2,"byte_order":"little","meter_kind":3,"believed_w":-347.0,"served_w":-351.2,
         "delay":{"p50_ms":900,"p99_ms":1400,"changes":34,"within_ms":520,"sure":"good"}}
    """

    version: str
    """Of the software."""
    since: str
    """When it came into this state."""
    state: HealthCondition
    """`down`: the inverter is not read, or believes something else than was served."""
    reasons: tuple[Reason, ...]
    meter: str
    """Whose values the inverter is compared with."""
    broker: LinkHealth
    modbus: LinkHealth
    """The connection to the inverter's Modbus TCP server."""
    reads: int
    """Answers that were used."""
    failures: int
    byte_order: str | None
    """`little` or `big`; None before the first read."""
    meter_kind: int | None
    """Kind of meter that the inverter is set to: 3 is a KSEM."""
    believed_w: float | None
    """Power that the inverter believes, W; plus is import. None while it is not read."""
    served_w: float | None
    """Power that the meter measured last, W."""
    delay: Delay

    @property
    def why(self) -> str:
        """All reasons in one text."""
        return sentence(self.reasons)

    def encode(self) -> bytes:
        """The payload."""
        return write_object(
            {
                "v": 1,
                "version": self.version,
                "since": self.since,
                "state": self.state,
                "why": bounded_text(self.why),
                "reasons": [reason.to_json() for reason in self.reasons],
                "meter": self.meter,
                "broker": self.broker.to_json(),
                "modbus": self.modbus.to_json(),
                "reads": self.reads,
                "failures": self.failures,
                "byte_order": self.byte_order,
                "meter_kind": self.meter_kind,
                "believed_w": self.believed_w,
                "served_w": self.served_w,
                "delay": self.delay.to_json(),
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> "InverterHealth":
        """The message in `payload`. Raises InvalidMessage (UnknownVersion for another `v`), and nothing else."""
        fields = Fields(printable(read_versioned(payload)))
        return cls(
            version=fields.text("version"),
            since=fields.time("since"),
            state=read_health_condition(fields),
            reasons=tuple(map(Reason.from_json, fields.parts("reasons"))),
            meter=fields.token("meter"),
            broker=LinkHealth.from_json(fields.part("broker")),
            modbus=LinkHealth.from_json(fields.part("modbus")),
            reads=fields.whole("reads"),
            failures=fields.whole("failures"),
            byte_order=fields.maybe_text("byte_order"),
            meter_kind=fields.maybe_whole("meter_kind"),
            believed_w=fields.maybe_signed("believed_w"),
            served_w=fields.maybe_signed("served_w"),
            delay=Delay.from_json(fields.part("delay")),
        )
