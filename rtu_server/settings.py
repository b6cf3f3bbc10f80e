"""Settings of the RTU server, read from rtu-server.toml."""

import re
import socket
from typing import Final

import attrs

from ksem_contract.topics import is_meter, is_node
from rtu_server.responder import ON_STALE
from service_runtime.common_settings import HomeAssistantSettings, IntegritySettings, MqttSettings, RecorderSettings
from service_runtime.setting import (
    Rule,
    between,
    each,
    is_network,
    name,
    not_empty,
    not_negative,
    one_of,
    port,
    setting,
)

MAX_UNITS: Final = 32
"""Units of all lines and TCP servers: their health message stays below the 64 KiB that readers take."""


def fit_node_name(host: str) -> str:
    """Return a host name made fit for a topic: lower case, other characters become `-`, at most 32."""
    name = re.sub(r"[^a-z0-9_-]+", "-", host.lower().split(".")[0]).strip("-")[:32] or "node"
    return name if is_node(name) else f"node-{name}"


def is_host(text: str) -> bool:
    """Return whether this is an address or could be a host's name: `create_server` would fail with others."""
    try:
        encoded = text.encode("idna")
    except UnicodeError:
        return False
    return re.fullmatch(rb"[!-~]{1,253}", encoded) is not None


@attrs.frozen(kw_only=True)
class NodeSettings:
    """The table [node]."""

    name: str = setting(
        factory=lambda: fit_node_name(socket.gethostname()), help="this node's name in topics", allowed=name()
    )

    def __attrs_post_init__(self) -> None:
        if not is_node(self.name):
            raise ValueError(f'name: a node is not called "{self.name}", topics of meters go on so; take another name')


@attrs.frozen(kw_only=True)
class UnitSettings:
    """A table [[line.unit]]: one Modbus unit that the inverter may read."""

    id: int = setting(default=1, help="Modbus unit id that is answered for", allowed=between(1, 247))
    meter: str = setting(default="main", help="id of the meter whose registers this unit shows", allowed=name())
    on_stale: str = setting(
        default="exception-4", help="the answer while the meter's data is missing or old", allowed=one_of(*ON_STALE)
    )
    enabled: bool = setting(default=True, help="false: never answer, as if the meter were unplugged")
    stay: float = setting(
        default=0.0,
        help="once live data had to be refused, refuse all data for so many seconds at least: a link that flaps then"
        " can't make a battery flap",
        allowed=between(0, 3600, "seconds"),
    )
    earliest: float = setting(
        default=0.0,
        help="seconds from a request's end to its answer, at least, for a client that lets go of the line late;"
        " 0: 3.5 characters",
        allowed=between(0, 0.03, "seconds"),
    )

    def __attrs_post_init__(self) -> None:
        if not is_meter(self.meter):
            raise ValueError(f'meter: a meter is not called "{self.meter}", topics of RTU servers begin so')


@attrs.frozen(kw_only=True)
class LineSettings:
    """A table [[line]]: one RS485 port."""

    name: str = setting(default="rs485", help="the line's name in logs and health", allowed=name())
    port: str = setting(help="the serial port, best its /dev/serial/by-id path", allowed=not_empty())
    baudrate: int = setting(default=38400, help="bits a second; a Plenticore uses 38400", allowed=between(1200, 921600))
    parity: str = setting(default="N", help="N, E or O", allowed=one_of("N", "E", "O"))
    stopbits: int = setting(default=2, help="1 or 2; a Plenticore uses 2", allowed=one_of(1, 2))
    rs485: bool = setting(default=False, help="let the kernel switch the direction (ports that need RTS for it)")
    low_latency: bool = setting(default=True, help="set the adapter's driver to deliver bytes at once")
    idle_gap: float = setting(
        default=0.025,
        help="seconds of silence that end a broken frame, at least 3.5 characters; above the adapter's delivery grain"
        " (1 to 16 ms)",
        allowed=between(0.002, 0.04, "seconds"),
    )
    realtime: int = setting(
        default=0, help="SCHED_FIFO priority of the answering thread; 0 = ordinary", allowed=between(0, 99)
    )
    unit: tuple[UnitSettings, ...] = setting(
        factory=lambda: (UnitSettings(),), help="the units on this line", allowed=not_empty()
    )

    def __attrs_post_init__(self) -> None:
        numbers = [unit.id for unit in self.unit]
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"unit: each id once on a line, not {sorted(numbers)}")


@attrs.frozen(kw_only=True)
class TcpSettings:
    """A table [[tcp]]: the same registers on Modbus TCP, read-only, for any number of readers."""

    name: str = setting(default="tcp", help="the server's name in logs and health", allowed=name())
    listen: str = setting(
        default="0.0.0.0",  # noqa: S104
        help="address to listen on",
        allowed=Rule("an address, or a name that can be looked up", is_host),
    )
    port: int = setting(default=1502, help="port to listen on; below 1024 needs a right of its own", allowed=port())
    allow: tuple[str, ...] = setting(
        factory=tuple,
        help='who may read: addresses and networks like "192.168.1.0/24"; none: this host alone',
        allowed=each(Rule("an address or network", is_network)),
    )
    unit: tuple[UnitSettings, ...] = setting(
        factory=lambda: (UnitSettings(id=1), UnitSettings(id=71)),
        help="the units that answer; evcc and openWB read a KSEM as unit 71",
        allowed=not_empty(),
    )

    any_unit: bool = setting(
        default=True, help="with one unit: answer requests to any unit id, 0 and 255 too, as a KSEM does"
    )

    def __attrs_post_init__(self) -> None:
        numbers = [unit.id for unit in self.unit]
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"unit: each id once on a Modbus TCP server, not {sorted(numbers)}")
        if any(unit.earliest for unit in self.unit):
            raise ValueError(
                "unit: earliest is for [[line.unit]] alone: a TCP connection needs no silence; leave it out"
            )


@attrs.frozen(kw_only=True)
class FreshnessSettings:
    """The table [freshness]: how old a block may be and still be served, in seconds; 0 = any age."""

    live: float = setting(default=1.5, help="limit for power, current, voltage", allowed=between(0.1, 60, "seconds"))
    energy: float = setting(default=60.0, help="limit for the energy counters", allowed=not_negative("seconds"))
    sunspec: float = setting(default=60.0, help="limit for the SunSpec registers", allowed=not_negative("seconds"))
    device: float = setting(default=0.0, help="limit for the device information", allowed=not_negative("seconds"))
    vital: tuple[str, ...] = setting(
        factory=lambda: ("live",),
        help="blocks without which the unit answers no request with data, as if the meter were gone",
        allowed=each(one_of("live", "energy", "sunspec", "device")),
    )


@attrs.frozen(kw_only=True)
class RtuServerSettings:
    """All settings of rtu-server."""

    node: NodeSettings = setting(factory=NodeSettings, help="this node")
    line: tuple[LineSettings, ...] = setting(help="the RS485 ports", allowed=not_empty())
    tcp: tuple[TcpSettings, ...] = setting(factory=tuple, help="Modbus TCP servers for other readers")
    freshness: FreshnessSettings = setting(factory=FreshnessSettings, help="age limits")
    mqtt: MqttSettings = setting(factory=MqttSettings, help="the broker")
    integrity: IntegritySettings = setting(factory=IntegritySettings, help="the key of both services")
    homeassistant: HomeAssistantSettings = setting(factory=HomeAssistantSettings, help="Home Assistant's discovery")
    recorder: RecorderSettings = setting(factory=RecorderSettings, help="the last minutes, after a fault")

    def __attrs_post_init__(self) -> None:
        for what in ("name", "port"):
            values = [getattr(line, what) for line in self.line]
            if len(set(values)) < len(values):
                raise ValueError(f"line: each {what} once, not {sorted(values)}")
        names = [*(line.name for line in self.line), *(tcp.name for tcp in self.tcp)]
        if len(set(names)) < len(names):
            raise ValueError(f"line and tcp: each name once, not {sorted(names)}")
        units = sum(len(line.unit) for line in self.line) + sum(len(tcp.unit) for tcp in self.tcp)
        if units > MAX_UNITS:
            raise ValueError(f"line and tcp: at most {MAX_UNITS} units in all, not {units}; run a second node for more")
        places = [(tcp.listen, tcp.port) for tcp in self.tcp]
        if len(set(places)) < len(places):
            raise ValueError(f"tcp: each address and port once, not {sorted(places)}")
