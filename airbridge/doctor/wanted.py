"""What is to be looked at, from settings and the command line [core]."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airbridge.doctor.facts import MeterPlace, SettingsFacts

TLS_PORT = 802


@dataclass(frozen=True, slots=True)
class Wanted:
    """Meters to ask, meters and nodes to hear of, ports to look at."""

    places: tuple[MeterPlace, ...]
    meters: tuple[str, ...]
    nodes: tuple[str, ...]
    ports: tuple[str, ...]
    push_listen: str
    push_port: int


def wanted(settings: tuple[SettingsFacts, ...], meter: MeterPlace | None, serial: str | None) -> Wanted:
    """Everything the settings name; what the command line names is looked at in its place."""
    tables = {one.service: one.tables for one in settings}
    publisher, server = tables.get("ksem-publisher", {}), tables.get("rtu-server", {})
    places = (meter,) if meter else tuple(_place(one) for one in publisher.get("meter", ()))
    lines = server.get("line", ())
    named = [str(one["id"]) for one in publisher.get("meter", ())]
    named += [str(unit["meter"]) for line in lines for unit in line.get("unit", ())]
    push = publisher.get("push", {})
    return Wanted(
        places=places,
        meters=tuple(dict.fromkeys(named)),
        nodes=(str(server["node"]["name"]),) if "node" in server else (),
        ports=(serial,) if serial else tuple(str(line["port"]) for line in lines),
        push_listen=str(push.get("listen", "0.0.0.0")),  # noqa: S104  the service's own default
        push_port=int(push.get("port", 5020)),
    )


def _place(one: Mapping[str, Any]) -> MeterPlace:
    port = int(one["port"])
    tls = bool(one["tls"])
    return MeterPlace(
        id=str(one["id"]),
        host=str(one["host"]),
        port=TLS_PORT if tls and port == 502 else port,
        unit=int(one["unit"]),
        tls=tls,
    )
