"""What is wrong, in words, each with its remedy [core].

What services report is shown with their own sentences. Added is what they can't know: that one of them is gone, that
its data arrives late, that a message can't be read.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from ksem_contract.health import MeterHealth
from ksem_contract.reasons import Reason, without
from ksem_dashboard.picture import SILENT_AFTER, BridgeState, InverterView, MeterView, NodeView

Severity = Literal["bad", "warn"]

GRACE: Final = 3.0
"""Seconds after connecting in which nothing is missed yet."""
_UNREADABLE_FOR: Final = 60.0
_EFFECTS: Final = ("polled-instead", "polls-unanswered", "node-without-broker", "unit-has-no-port")
"""Reasons that the next one in the list explains."""
BELIEVES_WRONG: Final = frozenset(
    {"inverter-wrong-sign", "inverter-other-power", "inverter-phases-swapped", "inverter-stands-still"}
)
"""Reasons for which the inverter steers by numbers that nobody measured."""


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
    code: str = ""
    """That of the reason, for programs."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the house is fine, in a word and a sentence."""

    state: Literal["ok", "warn", "bad"]
    text: str


def find_faults(state: BridgeState, now: float) -> list[Fault]:
    """All that is wrong now, what stops data first."""
    own = [_fault("warn", "dashboard", reason) for reason in state.own_reasons]
    if not state.link_up:
        return [_link_fault(state), *own]
    found = [*_nobody(state, now), *_unreadable(state, now), *own]
    lost = set()
    for meter in state.meters.values():
        faults = list(_of_meter(state, meter, now))
        found += faults
        if any(fault.severity == "bad" for fault in faults):
            lost.add(meter.meter)
    for node in state.nodes.values():
        found += _of_node(state, node, now, lost)
    for inverter in state.inverters.values():
        found += _of_inverter(inverter, now)
    return sorted(found, key=lambda fault: fault.severity)


def is_believed_wrongly(view: InverterView, now: float) -> bool:
    """Whether this inverter steers by numbers that nobody measured."""
    return any(reason.code in BELIEVES_WRONG for reason in view.wrong(now))


def judge(state: BridgeState, faults: list[Fault]) -> Verdict:
    """Sum it up."""
    served = bool(state.nodes)
    for fault in faults:
        if fault.severity == "bad":
            return Verdict("bad", fault.headline or fault.text)
    is_live = "The inverter gets fresh data" if served else "The meter's data flows"
    if faults and (not state.link_up or not state.meters):
        return Verdict("warn", faults[0].text)
    if len(faults) == 1 and faults[0].headline:
        return Verdict("warn", f"{is_live}. {faults[0].headline}")
    if faults:
        return Verdict("warn", f"{is_live}, but something is missing.")
    return Verdict("ok", f"All is well. {is_live}.")


def _fault(severity: Severity, where: str, reason: Reason, headline: str = "", *, prefix: str = "") -> Fault:
    """A reason as a sentence of its own; `prefix` begins the sentence that it ends."""
    text = f"{prefix}{reason.text}" if prefix else _capital(reason.text)
    remedy = f"{_capital(reason.remedy)}." if reason.remedy else ""
    return Fault(severity, where, f"{text}.", remedy, headline, code=reason.code)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _link_fault(state: BridgeState) -> Fault:
    if state.link_up is None:
        return _fault("warn", "broker", Reason.of("link-connecting"), "Connecting.")
    headline = "No link to the broker."
    if not state.link_reasons:
        return _fault("bad", "broker", Reason.of("link-down"), headline)
    return _fault("bad", "broker", state.link_reasons[0], headline, prefix="No link to the broker: ")


def _nobody(state: BridgeState, now: float) -> Iterator[Fault]:
    patient = now - (state.link_since or now) < GRACE
    if not state.meters:
        reason = Reason.of("no-publisher-seen", prefix=state.topics.prefix)
        yield _fault("warn" if patient else "bad", "publisher", reason)
    elif not state.nodes and not patient and any(meter.is_live(now) for meter in state.meters.values()):
        yield _fault("warn", "inverter", Reason.of("no-node-seen"), "No inverter is served yet.")


def _unreadable(state: BridgeState, now: float) -> Iterator[Fault]:
    last = state.last_unreadable
    if last is not None and now - last.received < _UNREADABLE_FOR:
        yield _fault("warn", "broker", Reason.of("message-unreadable", topic=last.topic, error=last.why))


def _of_meter(state: BridgeState, view: MeterView, now: float) -> Iterator[Fault]:
    where, meter, prefix = f"meter {view.meter}", view.meter, state.topics.prefix
    reported, health = view.reported, view.health
    headline = "No data from the meter." if len(state.meters) == 1 else f"No data from meter {meter}."
    is_patient = now - (state.link_since or now) < GRACE
    if state.is_memory(view):
        yield _fault(
            "warn", where, Reason.of("meter-only-retained", meter=meter, topic=state.topics.meter_status(meter))
        )
    elif view.status is None:
        if not is_patient:
            yield _fault("bad", where, Reason.of("meter-not-seen", meter=meter, prefix=prefix), headline)
    elif view.status != "online":
        yield _no_live_data(where, view, headline)
    elif not view.is_fresh(now):
        if not is_patient:
            yield _fault("bad", where, Reason.of("live-data-late", meter=meter, prefix=prefix), headline)
    elif reported is not None and now - reported.received > SILENT_AFTER:
        yield _fault("warn", where, Reason.of("publisher-silent", meter=meter))
    elif health is not None and health.state != "ok":
        yield from _lacks(where, health)


def _no_live_data(where: str, view: MeterView, headline: str) -> Fault:
    health = view.health
    if health is None or health.state != "down":
        return _fault("bad", where, Reason.of("publisher-gone", meter=view.meter), headline)
    causes = without(health.reasons, "no-live-data")
    return _explained("bad", where, f"Meter {view.meter} gives no live data", causes or health.reasons, headline)


def _explained(severity: Severity, where: str, effect: str, causes: tuple[Reason, ...], headline: str) -> Fault:
    """An effect, its first cause with the remedy for that, and the other causes as details."""
    if not causes:
        return Fault(severity, where, f"{effect}.", "", headline)
    first, *others = _with_effects(causes)
    fault = _fault(severity, where, first, headline, prefix=f"{effect}: ")
    return Fault(severity, where, fault.text, fault.remedy, headline, tuple(map(str, others)), fault.code)


def _with_effects(reasons: Iterable[Reason]) -> Iterator[Reason]:
    """The reasons; one that the next explains becomes one with it."""
    effect: Reason | None = None
    for reason in reasons:
        if reason.code in _EFFECTS:
            if effect is not None:
                yield effect
            effect = reason
        elif effect is not None:
            yield Reason(reason.code, f"{effect.text}: {reason.text}", reason.remedy, reason.params)
            effect = None
        else:
            yield reason
    if effect is not None:
        yield effect


def _lacks(where: str, health: MeterHealth) -> Iterator[Fault]:
    """What a publisher whose data flows is missing."""
    since = {check.reason: check.since[11:16] for check in health.checks}
    if not health.reasons:
        yield Fault("warn", where, f"{health.why}.", "See the log: journalctl -u ksem-publisher")
    for reason in _with_effects(health.reasons):
        fault = _fault("warn", where, reason)
        if reason in since:
            text = f"{_capital(reason.text)} (since {since[reason]} UTC)."
            fault = Fault("warn", where, text, fault.remedy, code=fault.code)
        yield fault


def _of_node(state: BridgeState, view: NodeView, now: float, lost: set[str]) -> Iterator[Fault]:
    where, node, health = f"RTU server {view.node}", view.node, view.health
    patient = now - (state.link_since or now) < GRACE
    headline = "The inverter gets no data."
    if state.is_memory(view):
        yield _fault("warn", where, Reason.of("node-only-retained", node=node, topic=state.topics.node_status(node)))
        return
    if view.status is None or health is None:
        if not patient:
            yield _fault("bad", where, Reason.of("node-not-seen", node=node), headline)
        return
    if view.is_gone(now):
        yield _fault("bad", where, Reason.of("node-gone", node=node), headline)
        return
    ports = [unit for unit in health.units if unit.port.state != "up"]
    for unit in ports:
        yield _explained("bad", where, f"Line {unit.line}", unit.port.reasons, headline)
    for door, reasons in {door.line: door.port.reasons for door in health.doors if door.port.state == "down"}.items():
        yield _explained("warn", where, f"Side door {door}", reasons, "")
    if view.status != "online" and not ports and not (view.meters & lost):
        fault = _explained("bad", where, f"The inverter at {node} gets no data", health.reasons, headline)
        remedy = fault.remedy or "Once its cause is gone, data flows again by itself."
        yield Fault("bad", where, fault.text, remedy, headline, fault.details, fault.code)
    elif view.status == "online" and now - view.health_received > SILENT_AFTER:
        yield _fault("warn", where, Reason.of("node-silent", node=node))


def _of_inverter(view: InverterView, now: float) -> Iterator[Fault]:
    where = f"inverter {view.inverter}"
    if view.status is not None and not view.runs(now):
        yield _fault("warn", where, Reason.of("inverter-reader-silent", inverter=view.inverter))
    for reason in view.wrong(now):
        severity: Severity = "bad" if reason.code in BELIEVES_WRONG else "warn"
        yield _fault(severity, where, reason)
