"""What is wrong, in words, each with its remedy [core]."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from ksem_contract.health import MeterHealth

from .meter_view import MeterView
from .node_view import NodeView
from .picture import Picture

Severity = Literal["bad", "warn"]

GRACE: Final = 3.0
"""Seconds after connecting in which nothing is missed yet."""
_SILENT_AFTER: Final = 35.0
"""Health comes every 10 s."""
_UNREADABLE_FOR: Final = 60.0

_REMEDY_BROKER: Final = "Start the broker, or correct host, port, username and password under [mqtt] in dashboard.toml."
_REMEDY_NOBODY: Final = (
    "Start ksem-publisher, and give it the same broker and prefix; the broker's ACL must let this user read {prefix}/#."
)
_REMEDY_GONE: Final = "On its host: systemctl status {service}"
_REMEDY_METER: Final = (
    "Check the meter's power and network cable, [[meter]] host in publisher.toml, and that the TCP slave is enabled"
    " in the meter's Modbus settings."
)
_REMEDY_PUSH: Final = (
    "In the meter's web page: Modbus settings, TCP master, add the publisher's host with port 5020; register groups"
    " total and phases on. Polling stands in meanwhile."
)
_REMEDY_CHECKS: Final = "Compare with the meter's own web page; if it shows the same, restart or replace the meter."
_REMEDY_UNNOTICED: Final = (
    "The publisher was lost unnoticed, the way from it is slow, or the broker's ACL keeps {prefix}/{meter}/block/+"
    " from this user."
)
_REMEDY_PORT: Final = "Plug the adapter in, and compare [[line]] port in rtu-server.toml with: ls -l /dev/serial/by-id"
_REMEDY_DOOR: Final = (
    "Correct listen and port under [[tcp]] in rtu-server.toml, or free the port; it is tried for ever."
)
_REMEDY_VERSION: Final = "Run the same version of AirBridge everywhere."


@dataclass(frozen=True, slots=True)
class Fault:
    """`bad`: data does not flow. `warn`: it does, but something that should help is missing."""

    severity: Severity
    where: str
    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the house is fine, in a word and a sentence."""

    state: Literal["ok", "warn", "bad"]
    text: str


def find_faults(picture: Picture, now: float) -> list[Fault]:
    """All that is wrong now, what stops data first."""
    if not picture.link_up:
        if picture.link_up is None:
            return [Fault("warn", "broker", "Connecting to the broker.", "Nothing to do yet.")]
        return [Fault("bad", "broker", f"No link to the broker: {picture.link_why}.", _REMEDY_BROKER)]
    found = [*_nobody(picture, now), *_unreadable(picture, now)]
    for meter in picture.meters.values():
        found += _of_meter(picture, meter, now)
    lost = {fault.where.removeprefix("meter ") for fault in found if fault.severity == "bad"}
    for node in picture.nodes.values():
        found += _of_node(picture, node, now, lost)
    return sorted(found, key=lambda fault: fault.severity)


def judge(picture: Picture, faults: list[Fault]) -> Verdict:
    """Sum it up."""
    served = bool(picture.nodes)
    for fault in faults:
        if fault.severity == "bad":
            return Verdict("bad", fault.text)
    flows = "The inverter gets fresh data" if served else "The meter's data flows"
    if faults and (not picture.link_up or not picture.meters):
        return Verdict("warn", faults[0].text)
    if faults:
        return Verdict("warn", f"{flows}, but something is missing.")
    return Verdict("ok", f"All is well. {flows}.")


def _nobody(picture: Picture, now: float) -> Iterator[Fault]:
    if not picture.meters:
        remedy = _REMEDY_NOBODY.format(prefix=picture.topics.prefix)
        patient = now - (picture.link_since or now) < GRACE
        yield Fault("warn" if patient else "bad", "publisher", "No meter has been heard of.", remedy)


def _unreadable(picture: Picture, now: float) -> Iterator[Fault]:
    last = picture.last_unreadable
    if last is not None and now - last.received < _UNREADABLE_FOR:
        yield Fault("warn", "broker", f"A message on {last.topic} can't be read: {last.why}.", _REMEDY_VERSION)


def _of_meter(picture: Picture, view: MeterView, now: float) -> Iterator[Fault]:
    where, prefix = f"meter {view.meter}", picture.topics.prefix
    told, health = view.told, view.health
    if view.status is None:
        if now - (picture.link_since or now) >= GRACE:
            remedy = _REMEDY_NOBODY.format(prefix=prefix)
            yield Fault("bad", where, f"Nothing has been heard of meter {view.meter}.", remedy)
        return
    if view.status != "online":
        if health is not None and health.state == "down":
            yield Fault("bad", where, f"Meter {view.meter} gives no live data: {health.why}.", _REMEDY_METER)
        else:
            text = f"The publisher of meter {view.meter} is gone."
            yield Fault("bad", where, text, _REMEDY_GONE.format(service="ksem-publisher"))
        return
    if not view.is_fresh(now):
        if now - (picture.link_since or now) >= GRACE:
            remedy = _REMEDY_UNNOTICED.format(prefix=prefix, meter=view.meter)
            yield Fault("bad", where, f"No fresh live data of meter {view.meter} arrives.", remedy)
        return
    if health is None or told is None:
        return
    if now - told.received > _SILENT_AFTER:
        text = f"The publisher of meter {view.meter} tells nothing about itself any more."
        yield Fault("warn", where, text, _REMEDY_GONE.format(service="ksem-publisher"))
        return
    yield from _lacks(where, health)


def _lacks(where: str, health: MeterHealth) -> Iterator[Fault]:
    """What a publisher whose data flows is missing."""
    if health.state == "ok":
        return
    told = False
    if health.push.link.state == "down":
        told = True
        yield Fault("warn", where, f"Polled instead of pushed: {health.push.link.why}.", _REMEDY_PUSH)
    if health.poll.link.state == "down":
        told = True
        yield Fault("warn", where, f"No answers to polls: {health.poll.link.why}.", _REMEDY_METER)
    if health.publishers:
        told = True
        sessions = ", ".join(health.publishers[:3])
        yield Fault("warn", where, f"A second publisher runs for this meter (session {sessions}).", "Stop one of them.")
    for check in health.checks:
        told = True
        yield Fault("warn", where, f"{check.text} (since {check.since[11:16]} UTC).", _REMEDY_CHECKS)
    if not told:
        yield Fault("warn", where, f"{health.why}.", "See the log: journalctl -u ksem-publisher")


def _of_node(picture: Picture, view: NodeView, now: float, lost: set[str]) -> Iterator[Fault]:
    where, health = f"node {view.node}", view.health
    patient = now - (picture.link_since or now) < GRACE
    gone = _REMEDY_GONE.format(service="rtu-server")
    if view.status is None or health is None:
        if not patient:
            yield Fault("bad", where, f"Nothing has been heard of node {view.node}.", gone)
        return
    if view.status != "online" and health.state == "ok":
        yield Fault("bad", where, f"The RTU server {view.node} is gone.", gone)
        return
    ports = [unit for unit in health.units if unit.port.state != "up"]
    for unit in ports:
        yield Fault("bad", where, f"Line {unit.line}: {unit.port.why}.", _REMEDY_PORT)
    shut = {door.line: door.port.why for door in health.doors if door.port.state == "down"}
    for door, why in shut.items():
        yield Fault("warn", where, f"Side door {door}: {why}.", _REMEDY_DOOR)
    if view.status != "online" and not ports and not (view.meters & lost):
        text = f"The inverter at {view.node} gets no data: {health.why}."
        yield Fault("bad", where, text, "Once its cause is gone, data flows again by itself.")
    elif view.status == "online" and now - view.health_received > _SILENT_AFTER:
        yield Fault("warn", where, f"The RTU server {view.node} tells nothing about itself any more.", gone)
