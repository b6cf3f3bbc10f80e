"""Gathers all facts [shell]."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from airbridge.doctor import gather_meter as gather_push
from airbridge.doctor.broker_probe import BrokerProbe, listen
from airbridge.doctor.check_broker import merged
from airbridge.doctor.check_settings import Wanted, wanted
from airbridge.doctor.facts import Facts, InverterFacts, InverterPlace, MeterAddress, Role, SettingsFacts
from airbridge.doctor.gather_host import gather_port, gather_services, gather_settings
from airbridge.doctor.gather_meter import gather_meter
from service_runtime.common_settings import MqttSettings
from service_runtime.version import VERSION

LEAST: Final = 1.5
"""Seconds of listening at the broker, however soon all halves have reported."""
_ROLES: Final[Mapping[str, Role]] = {"ksem-publisher": "publisher", "rtu-server": "rtu", "ksem-dashboard": "other"}


_Login = tuple[Role, MqttSettings, str | None]
"""Whose, how it reaches the broker, and the prefix of Home Assistant's discovery; None: switched off."""


@dataclass(frozen=True)
class Requested:
    """What the command line requests."""

    publisher_config: Path | None = None
    server_config: Path | None = None
    dashboard_config: Path | None = None
    broker: MqttSettings | None = None
    meter: MeterAddress | None = None
    inverter: InverterPlace | None = None
    serial: str | None = None
    listen_seconds: float | None = None
    patience: float = 11.0
    """Seconds to wait for what the two halves report every 10 s."""


@dataclass
class Gathered:
    """The facts, and what a bundle needs beside them."""

    facts: Facts
    retained: dict[str, bytes] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)


class NothingToDo(Exception):
    """There are no settings on this host, and the command line names nothing."""


def gather(requested: Requested) -> Gathered:
    """Look at everything, at the same time where it takes time."""
    by_service = {
        service: one
        for service, path in (
            ("ksem-publisher", requested.publisher_config),
            ("rtu-server", requested.server_config),
            ("inverter-reader", None),
            ("ksem-dashboard", requested.dashboard_config),
        )
        if (one := gather_settings(service, path)) is not None
    }
    settings = tuple(facts for facts, _ in by_service.values())
    logins: list[_Login] = [
        (_ROLES[service], mqtt, _discovery_prefix(facts))
        for service, (facts, mqtt) in by_service.items()
        if mqtt is not None and service in _ROLES  # the reader's login may see too little to judge the rest by
    ]
    if requested.broker is not None:
        logins = [("other", requested.broker, None)]
    named = requested.meter or requested.serial or requested.inverter or requested.listen_seconds is not None
    if not settings and not logins and not named:
        raise NothingToDo
    to_do = wanted(settings, requested.meter, requested.serial)
    with ThreadPoolExecutor(len(to_do.places) + 4) as threads:
        reader = by_service.get("inverter-reader", (None, None))[1]
        inverter = threads.submit(_inverter, requested.inverter, logins[0][1] if logins else reader)
        meters = [threads.submit(gather_meter, place) for place in to_do.places]
        listened = None
        if requested.listen_seconds is not None:
            where = (to_do.push_listen, to_do.push_port, requested.listen_seconds)
            listened = threads.submit(gather_push.listen, *where)
        gathered = _gather_from_broker(settings, logins, to_do, requested.patience)
        ports = tuple(gather_port(port) for port in to_do.ports)
        facts = gathered.facts
        gathered.facts = Facts(
            version=VERSION,
            settings=settings,
            meters=tuple(one.result() for one in meters),
            logins=facts.logins,
            seen_meters=facts.seen_meters,
            seen_nodes=facts.seen_nodes,
            wanted_meters=to_do.meters,
            wanted_nodes=to_do.nodes,
            ports=ports,
            services=gather_services(),
            listened=listened.result() if listened else None,
            push_port=to_do.push_port,
            inverter=inverter.result(),
        )
    gathered.secrets |= {mqtt.password for _, mqtt, _ in logins if mqtt.password}
    return gathered


def _inverter(place: InverterPlace | None, mqtt: MqttSettings | None) -> InverterFacts | None:
    if place is None:
        return None
    from airbridge.doctor.gather_inverter import gather_inverter  # noqa: PLC0415  pymodbus takes long to load

    return gather_inverter(place, mqtt)


def _discovery_prefix(settings: SettingsFacts) -> str | None:
    table = settings.tables.get("homeassistant", {})
    return str(table.get("prefix", "homeassistant")) if table.get("discovery", True) else None


def _gather_from_broker(
    settings: tuple[SettingsFacts, ...], logins: list[_Login], to_do: Wanted, patience: float
) -> Gathered:
    news = threading.Event()
    probes = [BrokerProbe(role, mqtt, to_do, news, prefix) for role, mqtt, prefix in logins]
    if probes:
        with ThreadPoolExecutor(len(probes)) as threads:
            list(threads.map(BrokerProbe.start, probes))
        listen(probes, lambda: _is_complete(probes, to_do), least=LEAST, most=patience, news=news)
    received = tuple(probe.stop() for probe in probes)
    seen = [probe.seen for probe in probes]
    retained = {topic: payload for one in seen for topic, payload in one.retained.items()}
    meters, nodes = merged(one.meters for one in seen), merged(one.nodes for one in seen)
    facts = Facts(VERSION, settings, logins=received, seen_meters=meters, seen_nodes=nodes)
    return Gathered(facts, retained)


def _is_complete(probes: list[BrokerProbe], to_do: Wanted) -> bool:
    """Whether every half that is wanted or was seen has reported its health, and that it is there."""
    if all(probe.is_down for probe in probes):
        return True
    seen = [probe.seen for probe in probes]
    meters = {one.id: one for one in merged(each.meters for each in seen)}
    nodes = {one.name: one for one in merged(each.nodes for each in seen)}
    echoes = any(probe.role == "rtu" and not probe.is_down for probe in probes)
    return (
        set(to_do.meters) <= meters.keys()
        and set(to_do.nodes) <= nodes.keys()
        and all(one.health and (one.alive or one.status == "online") for one in meters.values())
        and all(one.health and (one.alive or one.status == "online") for one in nodes.values())
        and (not echoes or all(meters[name].echo_ms is not None for name in to_do.meters))
    )
