"""Checks the settings, each and together. Derives from them and the command line what to examine [core]."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airbridge.doctor.facts import Facts, Finding, MeterAddress, SettingsFacts


def check_settings(facts: Facts) -> Iterator[Finding]:
    """One line a file, one more for each mistake."""
    for one in facts.settings:
        yield from _check_one(one)


def check_services(facts: Facts) -> Iterator[Finding]:
    """One line a service of this host: whether it runs."""
    for one in facts.services:
        start = f"journalctl -u {one.name} -e shows why; then: sudo systemctl restart {one.name}"
        if one.sub == "auto-restart":
            text = f"ends soon after each start ({one.result})"
            yield Finding("service", one.name, "wrong", text, start)
        elif one.active == "failed":
            yield Finding("service", one.name, "wrong", f"has failed ({one.result})", start)
        elif one.active in ("active", "activating", "reloading"):
            yield Finding("service", one.name, "ok", "runs" if one.active == "active" else "starts")
        elif one.enabled:
            yield Finding("service", one.name, "wrong", "is stopped", f"sudo systemctl start {one.name}")
        else:
            yield Finding("service", one.name, "note", "is switched off", f"sudo systemctl enable --now {one.name}")


def _check_one(one: SettingsFacts) -> Iterator[Finding]:
    if not one.mistakes:
        yield Finding("settings", one.service, "ok", f"{one.path} is sound")
        return
    for mistake in one.mistakes:
        denied = "Permission denied" in mistake
        remedy = "run the doctor with sudo" if denied else f"correct it, then: sudo systemctl restart {one.service}"
        yield Finding("settings", one.service, "wrong", mistake, remedy)


TLS_PORT = 802


@dataclass(frozen=True, slots=True)
class Wanted:
    """Meters to poll, meters and nodes to look for, ports to examine."""

    places: tuple[MeterAddress, ...]
    meters: tuple[str, ...]
    nodes: tuple[str, ...]
    ports: tuple[str, ...]
    push_listen: str
    push_port: int


def wanted(settings: tuple[SettingsFacts, ...], meter: MeterAddress | None, serial: str | None) -> Wanted:
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


def _place(one: Mapping[str, Any]) -> MeterAddress:
    port = int(one["port"])
    tls = bool(one["tls"])
    return MeterAddress(
        id=str(one["id"]),
        host=str(one["host"]),
        port=TLS_PORT if tls and port == 502 else port,
        unit=int(one["unit"]),
        tls=tls,
    )
