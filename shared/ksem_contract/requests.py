"""What an inverter asks."""

import re
from dataclasses import dataclass
from typing import Final

from ksem_contract.errors import InvalidMessage
from ksem_contract.fields import Fields
from ksem_contract.message_json import JsonObject, printable, read_versioned, write_object

MAX_ENTRIES: Final = 200
"""Entries in one message: with the longest names, of 32 characters, they stay below the 64 KiB that readers take."""

_is_outcome = re.compile(r"data|stale|silent|unsent|exception-[1-9][0-9]{0,2}").fullmatch


@dataclass(frozen=True, slots=True)
class RequestEntry:
    """One kind of request: the same function, start and count, to the same unit."""

    line: str
    unit: int
    meter: str
    function: int
    start: int
    count: int
    """As asked; it need not be a count that Modbus allows."""
    per_s: float
    """How often, lately."""
    last: str
    """How the last one was answered: `data`, `stale`, `exception-<code>`, `silent` or `unsent`."""
    last_ago_ms: int
    demanded: bool
    """No block holds it, so the publisher is asked to read it from the meter."""

    def to_json(self) -> JsonObject:
        """As it stands in a message."""
        return {
            "line": self.line,
            "unit": self.unit,
            "meter": self.meter,
            "function": self.function,
            "start": self.start,
            "count": self.count,
            "per_s": self.per_s,
            "last": self.last,
            "last_ago_ms": self.last_ago_ms,
            "demanded": self.demanded,
        }

    @classmethod
    def from_json(cls, fields: Fields) -> "RequestEntry":
        """From a message."""
        last = fields.text("last")
        if not _is_outcome(last):
            raise InvalidMessage(f"last {last!r:.60}: allowed are data, stale, silent, unsent and exception-<code>")
        return cls(
            line=fields.text("line"),
            unit=fields.whole("unit"),
            meter=fields.text("meter"),
            function=fields.whole("function"),
            start=fields.whole("start"),
            count=fields.whole("count"),
            per_s=fields.number("per_s"),
            last=last,
            last_ago_ms=fields.whole("last_ago_ms"),
            demanded=fields.truth("demanded"),
        )


@dataclass(frozen=True, slots=True)
class RequestsMessage:
    """What the inverters of a node ask, and what they get.

    Topic `ksem/rtu/<node>/requests`, retained, QoS 1. To see it: `mosquitto_sub -t 'ksem/rtu/+/requests'`

        {"v":1,"requests":[{"line":"rs485","unit":1,"meter":"main","function":3,"start":40,"count":106,"per_s":6.2,
                            "last":"data","last_ago_ms":80,"demanded":false}]}
    """

    requests: tuple[RequestEntry, ...]
    """At most MAX_ENTRIES."""
    left_out: int = 0
    """So many more there are, for which there was no room; absent where there are none."""

    def encode(self) -> bytes:
        """The payload."""
        told: JsonObject = {"v": 1, "requests": [request.to_json() for request in self.requests]}
        return write_object(told if not self.left_out else {**told, "left_out": self.left_out})

    @classmethod
    def decode(cls, payload: bytes) -> "RequestsMessage":
        """The message in `payload`. Raises InvalidMessage (UnknownVersion for another `v`), and nothing else."""
        fields = Fields(printable(read_versioned(payload)))
        return cls(
            requests=tuple(RequestEntry.from_json(request) for request in fields.parts("requests")),
            left_out=fields.whole("left_out") if "left_out" in fields.names() else 0,
        )
