"""Defines the setup's steps, and their results [core].

The wizard is a generator: it yields one step at a time and receives that step's result. A shell carries steps out. So
every path through the questions can be run without a network, a port or a terminal.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from airbridge.doctor.facts import MeterAddress, MeterFacts
from service_runtime.common_settings import MqttSettings

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Text:
    """A text for people: the name of its template in `texts`, and the template's parameters."""

    name: str
    parameters: Mapping[str, object] = field(default_factory=dict)


def text(name: str, /, **parameters: object) -> Text:
    """Name a template and give its parameters."""
    return Text(name, parameters)


@dataclass(frozen=True, slots=True)
class Step(Generic[R]):
    """One thing to do; R is the type of its result."""


def do(step: Step[R]) -> Generator[Step[Any], Any, R]:
    """Yield a step and return its result, with the type that belongs to it."""
    result: R = yield step
    return result


@dataclass(frozen=True, slots=True)
class Show(Step[None]):
    """Print a text."""

    text: Text
    kind: Literal["title", "good", "note", "bad", "todo"] = "note"


@dataclass(frozen=True, slots=True)
class Confirm(Step[bool]):
    """A question answered by yes or no. `key` names it for scripts."""

    key: str
    text: Text
    default: bool


@dataclass(frozen=True, slots=True)
class Option:
    """One of several answers."""

    value: str
    text: Text


@dataclass(frozen=True, slots=True)
class Choose(Step[str]):
    """A question with a list of answers; returns the chosen `value`. Without a default a script must answer it."""

    key: str
    text: Text
    options: tuple[Option, ...]
    default: str | None


@dataclass(frozen=True, slots=True)
class Enter(Step[str]):
    """A question answered by a line of text; returned without blanks at its ends."""

    key: str
    text: Text
    default: str | None = None
    secret: bool = False


@dataclass(frozen=True, slots=True)
class FindAnnounced(Step[tuple[MeterFacts, ...]]):
    """Search the network for a KSEM by mDNS and SSDP, and examine each host that names itself one."""


@dataclass(frozen=True, slots=True)
class ListNetworks(Step[tuple[str, ...]]):
    """The IPv4 networks this host is in, as `192.168.1.0/24`."""


@dataclass(frozen=True, slots=True)
class ScanNetworks(Step[tuple[MeterFacts, ...]]):
    """Look at each host of these networks that accepts connections on 502 or 802."""

    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LookAtMeter(Step[MeterFacts]):
    """Connect to one place and read who is there."""

    place: MeterAddress


@dataclass(frozen=True, slots=True)
class Adapter:
    """A serial port of this host, as the kernel describes it."""

    path: str
    """The best name: by-id where it is unique, by-path where two adapters share a name, else the device."""
    device: str
    """`/dev/ttyUSB0`."""
    maker: str = ""
    product: str = ""
    serial: str = ""
    usb_id: str = ""
    """`0403:6001`; empty where it is no USB device."""
    interface: int = 0
    """Of a USB device with several: only the first can be a plain adapter."""
    holders: tuple[tuple[int, str], ...] = ()
    """Process id and program of those that have it open."""
    ours: bool = False
    """An rtu-server holds it."""

    @property
    def label(self) -> str:
        """Maker, product and serial number for people, each as far as it is known."""
        name = " ".join(part for part in (self.maker, self.product) if part) or self.device.rpartition("/")[2]
        return f"{name}, {self.serial}" if self.serial else name


@dataclass(frozen=True, slots=True)
class ListAdapters(Step[tuple[Adapter, ...]]):
    """The serial ports of this host."""


BrokerState = Literal["up", "login", "down"]


@dataclass(frozen=True, slots=True)
class BrokerAnswer:
    """What a broker made of a login. `login`: it is there, and refuses the name or the password."""

    state: BrokerState
    why: str = ""


@dataclass(frozen=True, slots=True)
class TryBroker(Step[BrokerAnswer]):
    """Log in once."""

    mqtt: MqttSettings


@dataclass(frozen=True, slots=True)
class LineMode:
    """How characters look on the line."""

    baudrate: int = 38400
    parity: str = "N"
    stopbits: int = 2

    def __str__(self) -> str:
        return f"{self.baudrate} 8{self.parity}{self.stopbits}"


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """What a port received. `units`: Modbus unit ids that were requested."""

    state: Literal["requests", "noise", "silent", "failed"]
    mode: LineMode = LineMode()
    units: tuple[int, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class ListenToLine(Step[LineAnswer]):
    """Receive from a port for so many seconds, at this speed first and then at others; nothing is sent."""

    path: str
    mode: LineMode
    seconds: float


@dataclass(frozen=True, slots=True)
class PushAnswer:
    """Whether a meter wrote to this host."""

    state: Literal["pushed", "nothing", "taken", "failed"]
    peer: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class WaitForPush(Step[PushAnswer]):
    """Listen on the push port until the meter writes, for so many seconds at most."""

    listen: str
    port: int
    seconds: float


@dataclass(frozen=True, slots=True)
class NewFile:
    """A settings or login file to be written. `service`: its group may read it, and its `--check` must accept it."""

    name: str
    """Below the settings folder: `publisher.toml`, `logins/rtu/password`."""
    content: str = field(repr=False)
    service: str
    is_settings: bool = True


@dataclass(frozen=True, slots=True)
class Save(Step[tuple[str, ...]]):
    """Write all of these or none; returns the mistakes for which none was written."""

    files: tuple[NewFile, ...]


@dataclass(frozen=True, slots=True)
class Restart(Step[tuple[str, ...]]):
    """Start these services anew, where systemd runs them; returns what went wrong."""

    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunDoctor(Step[bool]):
    """Run `airbridge doctor`; returns whether all is well."""


T = TypeVar("T")
Steps = Generator[Step[Any], Any, T]
