"""What is wrong, in words, each with its remedy [core]."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from ksem_contract.health import MeterHealth

from .inverter_view import InverterView
from .meter_view import MeterView
from .node_view import SILENT_AFTER, NodeView
from .picture import Picture

Severity = Literal["bad", "warn"]

GRACE: Final = 3.0
"""Seconds after connecting in which nothing is missed yet."""
_UNREADABLE_FOR: Final = 60.0

_REMEDY_BROKER: Final = "Start the broker, or correct host, port, username and password under [mqtt] in dashboard.toml."
_REMEDY_NOBODY: Final = (
    "Start ksem-publisher, and give it the same broker and prefix; the broker's ACL must let this user read {prefix}/#."
    " Some brokers (RabbitMQ) give what is retained to exact topics alone: name meters and nodes in the settings."
)
_REMEDY_GONE: Final = "On its host: systemctl status {service}"
_REMEDY_NO_SERVER: Final = (
    "On the inverter's host: systemctl status rtu-server; sudo airbridge doctor."
    " It needs the same broker and prefix as here."
)
_REMEDY_MEMORY: Final = "Was it given up? Then let the broker forget it: mosquitto_pub -r -n -t {topic}"
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
_BELIEVES_WRONG: Final = frozenset(
    {"inverter-wrong-sign", "inverter-other-power", "inverter-phases-swapped", "inverter-stands-still"}
)
"""Reasons for which the inverter steers by numbers that nobody measured."""
_REMEDY_VERSION: Final = "Run the same version of AirBridge everywhere."


@dataclass(frozen=True, slots=True)
class Fault:
    """`bad`: data does not flow. `warn`: it does, but something that should help is missing."""

    severity: Severity
    where: str
    text: str
    remedy: str
    headline: str = ""
    """What it means for the house, in a few words."""
    details: tuple[str, ...] = field(default=())
    """More that the service reported, for who wants to know."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the house is fine, in a word and a sentence."""

    state: Literal["ok", "warn", "bad"]
    text: str


def find_faults(picture: Picture, now: float) -> list[Fault]:
    """All that is wrong now, what stops data first."""
    if not picture.link_up:
        if picture.link_up is None:
            return [Fault("warn", "broker", "Connecting to the broker.", "Nothing to do yet.", "Connecting.")]
        text = f"No link to the broker: {picture.link_why}."
        return [Fault("bad", "broker", text, _REMEDY_BROKER, "No link to the broker.")]
    found = [*_nobody(picture, now), *_unreadable(picture, now)]
    for meter in picture.meters.values():
        found += _of_meter(picture, meter, now)
    lost = {fault.where.removeprefix("meter ") for fault in found if fault.severity == "bad"}
    for node in picture.nodes.values():
        found += _of_node(picture, node, now, lost)
    for inverter in picture.inverters.values():
        found += _of_inverter(inverter, now)
    return sorted(found, key=lambda fault: fault.severity)


def judge(picture: Picture, faults: list[Fault]) -> Verdict:
    """Sum it up."""
    served = bool(picture.nodes)
    for fault in faults:
        if fault.severity == "bad":
            return Verdict("bad", fault.headline or fault.text)
    flows = "The inverter gets fresh data" if served else "The meter's data flows"
    if faults and (not picture.link_up or not picture.meters):
        return Verdict("warn", faults[0].text)
    if len(faults) == 1 and faults[0].headline:
        return Verdict("warn", f"{flows}. {faults[0].headline}")
    if faults:
        return Verdict("warn", f"{flows}, but something is missing.")
    return Verdict("ok", f"All is well. {flows}.")


def _nobody(picture: Picture, now: float) -> Iterator[Fault]:
    patient = now - (picture.link_since or now) < GRACE
    if not picture.meters:
        remedy = _REMEDY_NOBODY.format(prefix=picture.topics.prefix)
        yield Fault("warn" if patient else "bad", "publisher", "No meter has been heard of.", remedy)
    elif not picture.nodes and not patient and any(meter.flows(now) for meter in picture.meters.values()):
        text = "No RTU server has been heard of."
        yield Fault("warn", "inverter", text, _REMEDY_NO_SERVER, "No inverter is served yet.")


def _unreadable(picture: Picture, now: float) -> Iterator[Fault]:
    last = picture.last_unreadable
    if last is not None and now - last.received < _UNREADABLE_FOR:
        yield Fault("warn", "broker", f"A message on {last.topic} can't be read: {last.why}.", _REMEDY_VERSION)


def _of_meter(picture: Picture, view: MeterView, now: float) -> Iterator[Fault]:
    where, prefix = f"meter {view.meter}", picture.topics.prefix
    told, health = view.told, view.health
    headline = "No data from the meter." if len(picture.meters) == 1 else f"No data from meter {view.meter}."
    if picture.is_memory(view):
        remedy = _REMEDY_MEMORY.format(topic=picture.topics.meter_status(view.meter))
        yield Fault("warn", where, f"Only the broker still knows a meter {view.meter}.", remedy)
        return
    if view.status is None:
        if now - (picture.link_since or now) >= GRACE:
            remedy = _REMEDY_NOBODY.format(prefix=prefix)
            yield Fault("bad", where, f"Nothing has been heard of meter {view.meter}.", remedy, headline)
        return
    if view.status != "online":
        if health is not None and health.state == "down":
            cause, *details = health.why.removeprefix("no live data; ").split("; ")
            text = f"Meter {view.meter} gives no live data: {cause}."
            yield Fault("bad", where, text, _REMEDY_METER, headline, tuple(details))
        else:
            text = f"The publisher of meter {view.meter} is gone."
            yield Fault("bad", where, text, _REMEDY_GONE.format(service="ksem-publisher"), headline)
        return
    if not view.is_fresh(now):
        if now - (picture.link_since or now) >= GRACE:
            remedy = _REMEDY_UNNOTICED.format(prefix=prefix, meter=view.meter)
            text = f"No fresh live data of meter {view.meter} arrives."
            yield Fault("bad", where, text, remedy, headline)
        return
    if health is None or told is None:
        return
    if now - told.received > SILENT_AFTER:
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
    where, health = f"RTU server {view.node}", view.health
    patient = now - (picture.link_since or now) < GRACE
    headline = "The inverter gets no data."
    if picture.is_memory(view):
        remedy = _REMEDY_MEMORY.format(topic=picture.topics.node_status(view.node))
        yield Fault("warn", where, f"Only the broker still knows an RTU server {view.node}.", remedy)
        return
    gone = _REMEDY_GONE.format(service="rtu-server")
    if view.status is None or health is None:
        if not patient:
            yield Fault("bad", where, f"Nothing has been heard of the RTU server {view.node}.", gone, headline)
        return
    if view.is_gone(now):
        yield Fault("bad", where, f"The RTU server {view.node} is gone.", gone, headline)
        return
    ports = [unit for unit in health.units if unit.port.state != "up"]
    for unit in ports:
        yield Fault("bad", where, f"Line {unit.line}: {unit.port.why}.", _REMEDY_PORT, headline)
    shut = {door.line: door.port.why for door in health.doors if door.port.state == "down"}
    for door, why in shut.items():
        yield Fault("warn", where, f"Side door {door}: {why}.", _REMEDY_DOOR)
    if view.status != "online" and not ports and not (view.meters & lost):
        cause, _, advice = health.why.partition("; ")
        text = f"The inverter at {view.node} gets no data: {cause}."
        remedy = (
            f"{advice[0].upper()}{advice[1:]}." if advice else "Once its cause is gone, data flows again by itself."
        )
        yield Fault("bad", where, text, remedy, headline)
    elif view.status == "online" and now - view.health_received > SILENT_AFTER:
        yield Fault("warn", where, f"The RTU server {view.node} tells nothing about itself any more.", gone)


def _of_inverter(view: InverterView, now: float) -> Iterator[Fault]:
    where = f"inverter {view.inverter}"
    if view.status is not None and not view.runs(now):
        remedy = _REMEDY_GONE.format(service="inverter-reader")
        yield Fault("warn", where, f"Nothing arrives from the reader of inverter {view.inverter} any more.", remedy)
    for reason in view.wrong(now):
        severity: Severity = "bad" if reason.code in _BELIEVES_WRONG else "warn"
        headline = "The inverter believes something else than was measured." if severity == "bad" else ""
        yield Fault(severity, where, _as_sentence(reason.text), _as_sentence(reason.remedy), headline)


def _as_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
