"""The echo that dates blocks: a node asks, the publisher answers with its clock."""

from dataclasses import dataclass
from typing import Final

from ksem_contract.checks import check_meter_field, check_node_field, check_token, check_whole, take
from ksem_contract.mac import KEYLESS, MessageKeys
from ksem_contract.message_json import read_versioned, write_object

PING_EVERY: Final = 10.0
"""Seconds between a node's pings when all is well."""
PING_SELDOM: Final = 200.0
"""The same at most, however many nodes there are: in this time two clocks may run apart by a tenth of what live data
may be old."""


@dataclass(frozen=True, slots=True)
class Ping:
    """A node asks for the publisher's clock.

    Topic `ksem/<meter>/ping/<node>`, not retained, QoS 0. To see it: `mosquitto_sub -v -t 'ksem/+/ping/+'`

        {"v":1,"nonce":"b81f03c2"}
    """

    nonce: str
    """1 to 32 of A-Z, a-z, 0-9, _ and -; new for each ping, and not to be guessed.

    Anybody may ping. Who knew the next nonce could have it answered ahead and keep the answer, which would make old
    blocks look young.
    """

    def __post_init__(self) -> None:
        check_token("nonce", self.nonce)

    def encode(self) -> bytes:
        """The payload."""
        return write_object({"v": 1, "nonce": self.nonce})

    @classmethod
    def decode(cls, payload: bytes) -> "Ping":
        """The ping in `payload`. Raises InvalidMessage, and nothing else."""
        found = read_versioned(payload)
        return cls(nonce=check_token("nonce", take(found, "nonce")))


@dataclass(frozen=True, slots=True)
class Pong:
    """The publisher's answer: which run of it this is, and what its clock shows.

    Topic `ksem/<meter>/pong/<node>`, not retained, QoS 0. To see it: `mosquitto_sub -v -t 'ksem/+/pong/+'`

        {"v":1,"meter":"main","node":"attic","nonce":"b81f03c2","session":"5f1c9a2e","boot_ms":90112345,
         "mac":"23d640da350c3d63eca201f6e242fa88"}

    Where very many nodes ping, `every_ms` stands there too, before `mac`.
    """

    meter: str
    """The publisher's meter."""
    node: str
    """The node that it answers. By these two a pong that is moved to another topic shows."""
    nonce: str
    """The ping's."""
    session: str
    """The publisher's session, as in its blocks."""
    boot_ms: int
    """Its CLOCK_BOOTTIME between the ping's arrival and this answer, rounded up (`freshness.pong_stamp`)."""
    every_ms: int | None = None
    """How far apart this node's pings shall lie while all is well, where that is more than PING_EVERY."""

    def __post_init__(self) -> None:
        check_meter_field("meter", self.meter)
        check_node_field("node", self.node)
        check_token("nonce", self.nonce)
        check_token("session", self.session)
        check_whole("boot_ms", self.boot_ms)
        if self.every_ms is not None:
            check_whole("every_ms", self.every_ms, 1)

    def encode(self, keys: MessageKeys = KEYLESS) -> bytes:
        """The payload, with its code at the end."""
        fields = {
            "v": 1,
            "meter": self.meter,
            "node": self.node,
            "nonce": self.nonce,
            "session": self.session,
            "boot_ms": self.boot_ms,
        }
        if self.every_ms is not None:
            fields["every_ms"] = self.every_ms
        return keys.seal(write_object(fields)[:-1])

    @classmethod
    def decode(cls, payload: bytes) -> "Pong":
        """The pong in `payload`. Raises InvalidMessage, and nothing else.

        Its code is not looked at: `MessageKeys.check` does that, before.
        """
        found = read_versioned(payload)
        return cls(
            meter=check_meter_field("meter", take(found, "meter")),
            node=check_node_field("node", take(found, "node")),
            nonce=check_token("nonce", take(found, "nonce")),
            session=check_token("session", take(found, "session")),
            boot_ms=check_whole("boot_ms", take(found, "boot_ms")),
            every_ms=found.get("every_ms"),
        )
