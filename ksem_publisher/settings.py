"""Settings of the publisher, read from publisher.toml."""

from collections import Counter
from ipaddress import ip_address
from itertools import combinations

import attrs

from ksem_contract.blocks import MOST_ON_DEMAND
from service_runtime.common_settings import HomeAssistantSettings, IntegritySettings, MqttSettings, RecorderSettings
from service_runtime.setting import between, each, name, not_empty, not_negative, port, positive, setting

TLS_PORT = 802
"""Where a KSEM listens once TLS is switched on in its menu."""


@attrs.frozen(kw_only=True)
class MeterSettings:
    """A table [[meter]]: one KSEM."""

    id: str = setting(default="main", help="the meter's name in topics", allowed=name())
    host: str = setting(help="the meter's address or host name", allowed=not_empty())
    port: int = setting(default=502, help="its Modbus TCP port; with tls and none given 802", allowed=port())
    serial: str | None = setting(
        default=None,
        help="the meter's serial number, as on its label; another meter is then refused",
        allowed=not_empty(),
    )
    unit: int = setting(default=1, help="Modbus unit id of requests; a KSEM answers any", allowed=between(0, 255))
    timeout: float = setting(default=2.0, help="seconds to wait for an answer", allowed=between(0.1, 30.0, "seconds"))
    tls: bool = setting(default=False, help="poll over TLS (switched on in the meter's menu; then port 802)")
    push_from: tuple[str, ...] = setting(
        factory=tuple, help="who may push for this meter; empty: the meter's own address", allowed=each(not_empty())
    )
    push_port: int = setting(
        default=0, help="a port of its own for this meter's pushes; 0: the one of [push]", allowed=between(0, 65535)
    )

    @property
    def poll_port(self) -> int:
        """The port to poll."""
        return TLS_PORT if self.tls and self.port == 502 else self.port

    @property
    def push_sources(self) -> tuple[str, ...]:
        """The addresses and names from which this meter pushes."""
        return self.push_from or (self.host,)

    def __attrs_post_init__(self) -> None:
        if self.id in ("rtu", "inverter"):
            raise ValueError(f'id: a meter is not called "{self.id}", topics of another service begin so')


@attrs.frozen(kw_only=True)
class PushSettings:
    """The table [push]: where meters push to."""

    enabled: bool = setting(default=True, help="listen for pushes")
    listen: str = setting(default="0.0.0.0", help="address to listen on", allowed=not_empty())  # noqa: S104
    port: int = setting(default=5020, help="port to listen on, as set in the meter's menu", allowed=port())


@attrs.frozen(kw_only=True)
class PollSettings:
    """The table [poll]: how often the meter is polled, in seconds."""

    live: float = setting(default=0.25, help="power and the like, only while the push is away", allowed=positive())
    energy: float = setting(default=10, help="energy counters", allowed=positive())
    device: float = setting(default=10, help="who the meter is", allowed=positive())
    sunspec: float = setting(default=10, help="the SunSpec registers from 40000 on", allowed=positive())


@attrs.frozen(kw_only=True)
class ChecksSettings:
    """The table [checks]: which measurements are refused."""

    plausible: bool = setting(default=True, help="refuse a frequency outside 40 to 70 Hz, and a total above 1 MW")
    outage: bool = setting(
        default=False, help="accept 0 Hz, for a house with backup power: its meter runs while the grid is away"
    )
    frozen_after: float = setting(
        default=10.0, help="seconds of unchanged values that mean a frozen meter; 0: never", allowed=not_negative()
    )


@attrs.frozen(kw_only=True)
class DemandSettings:
    """The table [demand]: ranges the inverter requests that belong to no block."""

    enabled: bool = setting(default=True, help="poll the meter for them")
    max_ranges: int = setting(default=8, help="so many at most", allowed=between(1, MOST_ON_DEMAND))


@attrs.frozen(kw_only=True)
class ValuesSettings:
    """The table [values]: decoded values for everyone else."""

    enabled: bool = setting(default=True, help="publish them")
    interval: float = setting(
        default=1.0, help="seconds between two messages of one value/<key>; 0: each cycle", allowed=not_negative()
    )


@attrs.frozen(kw_only=True)
class OpenWbCounterSettings:
    """A table [[openwb.counter]]: a counter of openWB that shows one meter."""

    meter: str = setting(default="main", help="id of the meter", allowed=name())
    id: int = setting(help="the counter's id, as openWB shows it", allowed=not_negative())


@attrs.frozen(kw_only=True)
class OpenWbSettings:
    """The table [openwb]: values in openWB's own topics."""

    counter: tuple[OpenWbCounterSettings, ...] = setting(factory=tuple, help="openWB's counters; none: nothing is sent")


@attrs.frozen(kw_only=True)
class PublisherSettings:
    """All of publisher.toml."""

    meter: tuple[MeterSettings, ...] = setting(help="the meters", allowed=not_empty())
    push: PushSettings = setting(factory=PushSettings, help="where meters push to")
    poll: PollSettings = setting(factory=PollSettings, help="how often meters are polled")
    checks: ChecksSettings = setting(factory=ChecksSettings, help="what is refused")
    demand: DemandSettings = setting(factory=DemandSettings, help="ranges on demand")
    mqtt: MqttSettings = setting(factory=MqttSettings, help="the broker")
    integrity: IntegritySettings = setting(factory=IntegritySettings, help="the key of both services")
    values: ValuesSettings = setting(factory=ValuesSettings, help="decoded values")
    openwb: OpenWbSettings = setting(factory=OpenWbSettings, help="openWB's counters")
    homeassistant: HomeAssistantSettings = setting(factory=HomeAssistantSettings, help="device discovery")
    recorder: RecorderSettings = setting(factory=RecorderSettings, help="the last minutes, after a fault")

    def __attrs_post_init__(self) -> None:
        twice = [key for key, count in Counter(meter.id for meter in self.meter).items() if count > 1]
        if twice:
            raise ValueError(f"meter: each id once, {', '.join(twice)} is there twice")
        strangers = sorted({one.meter for one in self.openwb.counter} - {meter.id for meter in self.meter})
        if strangers:
            raise ValueError(f"openwb: counter: there is no meter {', '.join(strangers)}")
        if self.openwb.counter and not self.values.enabled:
            raise ValueError("openwb: counter: needs enabled = true in [values]")
        if self.push.enabled:
            for one, other in combinations(self.meter, 2):
                if (one.push_port or self.push.port) == (other.push_port or self.push.port):
                    _check_sources(one, other)


def _check_sources(one: MeterSettings, other: MeterSettings) -> None:
    """Refuse two meters on one port where a push of one could be taken for the other's."""
    sources = {_comparable(name): name for name in one.push_sources}
    twice = [name for name in other.push_sources if _comparable(name) in sources]
    for meter, stranger in ((one, other), (other, one)):
        if _comparable(meter.host) != _comparable(stranger.host):
            twice += [name for name in meter.push_from if _comparable(name) == _comparable(stranger.host)]
    if twice:
        raise ValueError(
            f'meter: pushes from "{twice[0]}" may be those of "{one.id}" or of "{other.id}": '
            "list it in push_from of one of them only, or give each a push_port of its own"
        )


def _comparable(name: str) -> str:
    """A name or an address such that equal ones are equal texts."""
    try:
        parsed = ip_address(name)
    except ValueError:
        return name.lower().rstrip(".")
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
