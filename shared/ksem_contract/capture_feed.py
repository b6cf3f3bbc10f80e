"""What goes over a service's wires, told to somebody who asks: the question, and the answer in batches.

A service is silent until it is asked, and falls silent when nobody asks again in time. It tells raw bytes with their
times; whoever asked makes records of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ksem_contract.checks import check_token, check_whole, take
from ksem_contract.errors import InvalidMessage
from ksem_contract.message_json import read_versioned, write_object

LONGEST_LEASE: Final = 30
"""Seconds for which one question counts at most: who has gone away is told nothing any more."""
MOST_DATA: Final = 2048
"""Bytes of events in one batch, before they become hexadecimal, unless a single one is longer: far below what a broker
takes, and so small that a block which follows it on a slow link is not held up."""
LONGEST_EVENT: Final = 4096
"""Bytes of one event at most."""


class WireEvent(NamedTuple):
    """One thing that happened, undecoded."""

    at: float
    """CLOCK_BOOTTIME of the service, in seconds."""
    what: str
    """See `service_runtime.recorder.tape`; pass over words not known."""
    key: str
    """Where: a line's name, a peer's address."""
    data: bytes


@dataclass(frozen=True, slots=True)
class CaptureAsk:
    """Somebody wants to know what goes over a service's wires for the next seconds. Renew it before they are over.

    Topic `ksem/<meter>/capture/ask`, not retained, QoS 0. To see it: `mosquitto_sub -v -t 'ksem/+/capture/ask'`
    To an RTU server: `ksem/rtu/<node>/capture/ask`.

        {"v":1,"who":"9d2c41aa","nonce":"b81f03c2","seconds":6}
    """

    who: str
    """Random for each recording: one that is new is told first what the service holds."""
    nonce: str
    """New for each question: the answer bears it, and so tells the service's clock, as an echo does."""
    seconds: int

    def __post_init__(self) -> None:
        check_token("who", self.who)
        check_token("nonce", self.nonce)
        check_whole("seconds", self.seconds, least=1, most=LONGEST_LEASE)

    def encode(self) -> bytes:
        """The payload."""
        return write_object({"v": 1, "who": self.who, "nonce": self.nonce, "seconds": self.seconds})

    @classmethod
    def decode(cls, payload: bytes) -> "CaptureAsk":
        """The question in `payload`. Raises InvalidMessage, and nothing else."""
        found = read_versioned(payload)
        return cls(
            who=check_token("who", take(found, "who")),
            nonce=check_token("nonce", take(found, "nonce")),
            seconds=check_whole("seconds", take(found, "seconds"), least=1, most=LONGEST_LEASE),
        )


@dataclass(frozen=True, slots=True)
class CaptureBatch:
    """What happened since the last batch; or, with a nonce and no events, the answer to a question, sent at once.

    Topic `ksem/<meter>/capture/records`, not retained, QoS 0. To see it: `mosquitto_sub -v -t 'ksem/+/capture/records'`
    Of an RTU server: `ksem/rtu/<node>/capture/records`.

        {"v":1,"run":"5f1c9a2e","number":17,"boot_us":90112345678,"nonce":null,"dropped":0,"about":{},
         "events":[[90112340112,"in","rs485","010300000002c40b"]]}
    """

    run: str
    """Which run of the service this is: numbers and clock belong to it."""
    number: int
    """Grows by one with each batch that has events: a gap tells what the broker did not deliver."""
    boot_us: int
    """The service's CLOCK_BOOTTIME when it sent this."""
    nonce: str | None = None
    dropped: int = 0
    """Events lost within the service since the last batch."""
    about: Mapping[str, str] = field(default_factory=dict)
    """With a nonce: what a reader must know of the wires, by name; see `service_runtime.recorder.tape`."""
    events: tuple[WireEvent, ...] = ()

    def encode(self) -> bytes:
        """The payload."""
        return write_object(
            {
                "v": 1,
                "run": self.run,
                "number": self.number,
                "boot_us": self.boot_us,
                "nonce": self.nonce,
                "dropped": self.dropped,
                "about": dict(self.about),
                "events": [[round(1e6 * one.at), one.what, one.key, one.data.hex()] for one in self.events],
            }
        )

    @classmethod
    def decode(cls, payload: bytes) -> "CaptureBatch":
        """The batch in `payload`. Raises InvalidMessage, and nothing else."""
        found = read_versioned(payload)
        nonce, about, events = found.get("nonce"), take(found, "about"), take(found, "events")
        if type(about) is not dict or any(type(value) is not str for value in about.values()):
            raise InvalidMessage("about: an object of texts is expected")
        if type(events) is not list:
            raise InvalidMessage("events: a list is expected")
        return cls(
            run=check_token("run", take(found, "run")),
            number=check_whole("number", take(found, "number")),
            boot_us=check_whole("boot_us", take(found, "boot_us")),
            nonce=None if nonce is None else check_token("nonce", nonce),
            dropped=check_whole("dropped", take(found, "dropped")),
            about=about,
            events=tuple(map(_event, events)),
        )


def _event(found: object) -> WireEvent:
    if type(found) is not list or len(found) != 4:
        raise InvalidMessage(f"event {found!r:.60}: [time, what, where, bytes] is expected")
    at, what, key, data = found
    if type(key) is not str or type(data) is not str or len(data) > 2 * LONGEST_EVENT:
        raise InvalidMessage(f"event {found!r:.60}: [time, what, where, bytes] is expected")
    try:
        raw = bytes.fromhex(data)
    except ValueError:
        raise InvalidMessage(f"event {found!r:.60}: bytes are written in hexadecimal") from None
    return WireEvent(check_whole("time", at) / 1e6, check_token("what", what), key, raw)
