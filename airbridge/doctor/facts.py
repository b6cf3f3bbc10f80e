"""Holds what the doctor has found before it judges, and what a check reports [core].

Everything that a check needs, and nothing that reads or connects.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ksem_contract.health import HealthCondition, MeterHealth, NodeHealth, RequestsMessage
from ksem_contract.inverter_health import Delay
from ksem_contract.reasons import Reason

Role = Literal["publisher", "rtu", "other"]
"""Whose login it is: of the meter's half, of the inverter's half, or one given on the command line."""


@dataclass(frozen=True, slots=True)
class SettingsFacts:
    """One service's settings, as its own `--check` prints them."""

    service: str
    path: str
    mistakes: tuple[str, ...] = ()
    text: str = ""
    """What is in force, secrets masked."""
    tables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MeterAddress:
    """Where a meter should be."""

    id: str
    host: str
    port: int = 502
    unit: int = 1
    tls: bool = False


Reach = Literal["reached", "unknown host", "refused", "timeout", "no way", "no tls"]
Answer = Literal["registers", "exception", "silent", "closed", "garbage"]


@dataclass(frozen=True, slots=True)
class RegisterAnswer:
    """The reply to a request for registers."""

    kind: Answer
    registers: tuple[int, ...] = ()
    code: int | None = None


@dataclass(frozen=True, slots=True)
class MeterFacts:
    """What is at the place where the meter should be."""

    place: MeterAddress
    reach: Reach
    why: str = ""
    device: RegisterAnswer | None = None
    """8192-8249."""
    head: RegisterAnswer | None = None
    """0-27."""
    speaks_tls: bool = False
    """The same port answers a TLS handshake (tried where plain Modbus gets no answer)."""
    tls_port: bool = False
    """Port 802 answers a TLS handshake."""
    plain_port: bool = False
    """Port 502 accepts connections (tried where another port is set)."""
    inverter_port: bool = False
    """Port 1502, a Plenticore's own, accepts connections."""
    web: bool = False
    """Its web page's port accepts connections."""
    own_address: str | None = None
    """The address of this host that the meter would push to."""


@dataclass(frozen=True, slots=True)
class PushedBy:
    """What one peer wrote while the doctor listened itself."""

    writes: int
    period_ms: int | None
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListenFacts:
    """The doctor listened for pushes itself."""

    where: str
    seconds: float
    error: str = ""
    peers: Mapping[str, PushedBy] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Probe:
    """One message of the doctor's own, to see what a login may do. None: unknown."""

    family: str
    """As in the ACL: `ksem/+/block/+`."""
    taken: bool | None
    came_back: bool | None


@dataclass(frozen=True, slots=True)
class LoginFacts:
    """The broker, seen with one login."""

    role: Role
    where: str
    user: str | None
    prefix: str
    up: bool
    reasons: tuple[Reason, ...]
    """Why the link is up or down."""
    probes: tuple[Probe, ...] = ()
    blocks_from: frozenset[str] = frozenset()
    """Meters of which blocks were delivered to this login."""
    seen: frozenset[str] = frozenset()
    """Meters of which anything was delivered to it."""
    seen_live: frozenset[str] = frozenset()
    """Families of which a service's own message came while the doctor listened."""


@dataclass(frozen=True, slots=True)
class MeterSeen:
    """A meter's half, as it shows on MQTT."""

    id: str
    status: str | None = None
    health: MeterHealth | None = None
    alive: bool = False
    """Something came from its publisher just now, not only what the broker kept."""
    echo_ms: float | None = None
    clock_ahead_s: float | None = None
    """By how much the publisher's wall clock is ahead of this host's."""
    unreadable: str = ""
    """Its health breaks the contract: why."""


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """An inverter's half, as it shows on MQTT."""

    name: str
    status: str | None = None
    health: NodeHealth | None = None
    requests: RequestsMessage | None = None
    alive: bool = False
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a port open."""

    pid: int
    command: str
    is_ours: bool
    """It is an rtu-server."""


@dataclass(frozen=True, slots=True)
class PortFacts:
    """A serial port of this host."""

    path: str
    there: bool
    is_device: bool = True
    may_open: bool = True
    """This user may read and write it."""
    as_root: bool = False
    """This user is root, for whom `may_open` has no meaning for the service's user."""
    user: str = ""
    owner: str = ""
    group: str = ""
    mode: int = 0
    holders: tuple[Holder, ...] = ()
    latency_ms: int | None = None
    """The FTDI driver's latency timer."""
    stable_path: str | None = None
    """Its /dev/serial/by-id path."""
    others: tuple[str, ...] = ()
    """Ports that are there, where this one is not."""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A service of this host, as systemd has it."""

    name: str
    active: str
    """`active`, `inactive`, `failed`, `activating` ..."""
    sub: str = ""
    result: str = ""
    enabled: bool = False


@dataclass(frozen=True, slots=True)
class InverterPlace:
    """Where an inverter's own Modbus TCP server is, and whose values the inverter gets."""

    host: str
    port: int = 1502
    unit: int = 71
    meter: str = "main"


@dataclass(frozen=True, slots=True)
class InverterFacts:
    """What the inverter itself shows. Powers in W, plus is import; None: not read, or not measured."""

    place: InverterPlace
    state: HealthCondition
    reasons: tuple[Reason, ...]
    believed_w: float | None
    served_w: float | None
    delay: Delay
    kind: int | None
    order: str | None
    used_broker: bool
    """Whether there was a login to receive measurements with."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything."""

    version: str
    settings: tuple[SettingsFacts, ...] = ()
    meters: tuple[MeterFacts, ...] = ()
    logins: tuple[LoginFacts, ...] = ()
    seen_meters: tuple[MeterSeen, ...] = ()
    seen_nodes: tuple[NodeSeen, ...] = ()
    wanted_meters: tuple[str, ...] = ()
    """Ids that the settings name."""
    wanted_nodes: tuple[str, ...] = ()
    ports: tuple[PortFacts, ...] = ()
    services: tuple[ServiceFacts, ...] = ()
    listened: ListenFacts | None = None
    push_port: int = 5020
    """Where this host's publisher listens."""
    inverter: InverterFacts | None = None


State = Literal["ok", "note", "warn", "wrong"]
"""`note`: nothing to do, or unknown; `warn`: it works and could be better; `wrong`: it does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for people: what was looked at, how it is, and what to do where it is not well."""

    check: str
    """Which check, as `meter`, `block`, `push`, `broker`, `rights`, `port`, `inverter`; a name in `--json`."""
    about: str
    """Of what: a meter's id, a broker's address, a port."""
    state: State
    text: str
    remedy: str = ""


def is_well(findings: Iterable[Finding]) -> bool:
    """Whether nothing is wrong; what could only be better does not count."""
    return all(finding.state != "wrong" for finding in findings)


def count(findings: Iterable[Finding], state: State) -> int:
    """How many are in this state."""
    return sum(finding.state == state for finding in findings)
