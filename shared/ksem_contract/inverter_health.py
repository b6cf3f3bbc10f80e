"""Health of an inverter's reader, and what the inverter believes of its meter [core]."""

from dataclasses import dataclass
from typing import Literal

from ksem_contract.declared import Declared, Moment, Signed, Token
from ksem_contract.health import HealthCondition, LinkHealth
from ksem_contract.message_fields import Fields, bounded_text, printable, read_versioned, write_object
from ksem_contract.reasons import Reasons, sentence

Sureness = Literal["none", "low", "fair", "good"]
"""How sure a delay is: `none` before there is one, `low` from fewer than 5 changes of power, `fair` below 20."""


@dataclass(frozen=True, slots=True)
class Delay(Declared):
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


@dataclass(frozen=True, slots=True)
class InverterHealth(Declared):
    """The state of an inverter's reader: every 10 s, and on change of state or reasons.

    Topic `ksem/inverter/<id>/health`, retained, QoS 1. To see it: `mosquitto_sub -t 'ksem/inverter/+/health'`

        {"v":1,"version":"0.1.0","since":"2026-11-22T10:00:00.000Z","state":"ok",
         "reasons":[{"code":"inverter-agrees","text":"the inverter believes what was served","remedy":"","params":{}}],
         "meter":"main",
         "broker":{"state":"up","since":"2026-11-22T09:59:58.700Z","why":"connected to broker:1883",
                   "reasons":[{"code":"broker-connected","text":"connected to broker:1883","remedy":"",
                               "params":{"address":"broker:1883"}}],"changes":1},
         "modbus":{"state":"up","since":"2026-11-22T09:59:58.900Z","why":"192.168.1.60:1502 answers",
                   "reasons":[{"code":"inverter-answers","text":"192.168.1.60:1502 answers","remedy":"",
                               "params":{"where":"192.168.1.60:1502"}}],"changes":1},
         "reads":1812,"failures":2,"byte_order":"little","meter_kind":3,"believed_w":-347.0,"served_w":-351.2,
         "delay":{"p50_ms":900,"p99_ms":1400,"changes":34,"within_ms":520,"sure":"good"},
         "why":"the inverter believes what was served"}
    """

    version: str
    """Of the software."""
    since: Moment
    """When it came into this state."""
    state: HealthCondition
    """`down`: the inverter is not read, or believes something else than was served."""
    reasons: Reasons
    meter: Token
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
    believed_w: Signed | None
    """Power that the inverter believes, W; plus is import. None while it is not read."""
    served_w: Signed | None
    """Power that the meter measured last, W."""
    delay: Delay

    @property
    def why(self) -> str:
        """All reasons in one text."""
        return sentence(self.reasons)

    def encode(self) -> bytes:
        """The payload."""
        return write_object({"v": 1, **self.to_json(), "why": bounded_text(self.why)})

    @classmethod
    def decode(cls, payload: bytes) -> "InverterHealth":
        """The message in `payload`. Raises InvalidMessage (UnknownVersion for another `v`), and nothing else."""
        return cls.from_json(Fields(printable(read_versioned(payload))))
