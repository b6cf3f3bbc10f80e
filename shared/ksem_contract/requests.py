"""What an inverter asks."""

import re
from dataclasses import dataclass
from typing import Annotated, Final

from ksem_contract.declared import OMITTED, Declared, Rule
from ksem_contract.errors import InvalidMessage
from ksem_contract.fields import Fields
from ksem_contract.message_json import printable, read_versioned, write_object

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
    """As asked; it need not be a count that Modbus allows."""
    per_s: float
    """How often, lately."""
    last: Annotated[str, Rule(_check_outcome)]
    """How the last one was answered: `data`, `stale`, `exception-<code>`, `silent` or `unsent`."""
    last_ago_ms: int
    demanded: bool
    """No block holds it, so the publisher is asked to read it from the meter."""


@dataclass(frozen=True, slots=True)
class RequestsMessage(Declared):
    """What the inverters of a node ask, and what they get.

    Topic `ksem/rtu/<node>/requests`, retained, QoS 1. To see it: `mosquitto_sub -t 'ksem/rtu/+/requests'`

        {"v":1,"requests":[{"line":"rs485","unit":1,"meter":"main","function":3,"start":40,"count":106,"per_s":6.2,
                            "last":"data","last_ago_ms":80,"demanded":false}]}
    """

    requests: tuple[RequestEntry, ...]
    """At most MAX_ENTRIES."""
    left_out: Annotated[int, OMITTED] = 0
    """So many more there are, for which there was no room; absent where there are none."""

    def encode(self) -> bytes:
        """The payload."""
        return write_object({"v": 1, **self.to_json()})

    @classmethod
    def decode(cls, payload: bytes) -> "RequestsMessage":
        """The message in `payload`. Raises InvalidMessage (UnknownVersion for another `v`), and nothing else."""
        return cls.from_json(Fields(printable(read_versioned(payload))))
