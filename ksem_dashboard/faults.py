"""Lists what is wrong in sentences, each with its remedy [core].

What services report is shown with their own sentences. Added is what they can't know: that one of them is gone, that
its data arrives late, that a message can't be read.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from ksem_contract.health import MeterHealth, NodeHealth
from ksem_contract.reasons import Reason, find_reason, without
from ksem_dashboard.language import ENGLISH, Language
from ksem_dashboard.picture import BridgeState
from ksem_dashboard.views import SILENT_AFTER, InverterView, MeterView, NodeView

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


def is_believed_wrongly(view: InverterView, now: float) -> bool:
    """Whether this inverter steers by numbers that nobody measured."""
    return any(reason.code in BELIEVES_WRONG for reason in view.wrong(now))


def find_faults(state: BridgeState, now: float, language: Language = ENGLISH) -> list[Fault]:
    """All that is wrong now, what stops data first."""
    return _Finder(state, now, language).find()


def judge(state: BridgeState, faults: list[Fault], language: Language = ENGLISH) -> Verdict:
    """Sum it up. `faults` in the same language."""
    for fault in faults:
        if fault.severity == "bad":
            return Verdict("bad", fault.headline or fault.text)
    is_live = language.text("The inverter gets fresh data" if state.nodes else "The meter's data flows")
    if faults and (not state.link_up or not state.meters):
        return Verdict("warn", faults[0].text)
    if len(faults) == 1 and faults[0].headline:
        return Verdict("warn", f"{is_live}. {faults[0].headline}")
    if faults:
        return Verdict("warn", language.text("{verdict}, but something is missing.", verdict=is_live))
    return Verdict("ok", language.text("All is well. {verdict}.", verdict=is_live))


class _Finder:
    """Looks at one state of the bridge."""

    def __init__(self, state: BridgeState, now: float, language: Language) -> None:
        self._state = state
        self._now = now
        self._language = language
        self._text = language.text
        self._is_patient = now - (state.link_since or now) < GRACE

    def find(self) -> list[Fault]:
        state = self._state
        own = [self._fault("warn", "dashboard", reason) for reason in state.own_reasons]
        if not state.link_up:
            return [self._link_fault(), *own]
        found = [*self._nobody(), *self._unreadable(), *own]
        lost = set()
        for meter in state.meters.values():
            faults = list(self._of_meter(meter))
            found += faults
            if any(fault.severity == "bad" for fault in faults):
                lost.add(meter.meter)
        for node in state.nodes.values():
            found += self._of_node(node, lost)
        for inverter in state.inverters.values():
            found += self._of_inverter(inverter)
        return sorted(found, key=lambda fault: fault.severity)

    def _fault(self, severity: Severity, where: str, reason: Reason, headline: str = "", *, effect: str = "") -> Fault:
        """A reason as a sentence of its own, behind its `effect` if there is one."""
        return _shown(severity, where, self._language.reason(reason), headline, effect=effect)

    def _explained(
        self, severity: Severity, where: str, effect: str, causes: tuple[Reason, ...], headline: str
    ) -> Fault:
        """An effect, its first cause with the remedy for that, and the other causes as details."""
        if not causes:
            return Fault(severity, where, f"{effect}.", "", headline)
        first, *others = self._with_effects(causes)
        fault = _shown(severity, where, first, headline, effect=effect)
        return Fault(severity, where, fault.text, fault.remedy, headline, tuple(map(str, others)), fault.code)

    def _with_effects(self, reasons: Iterable[Reason]) -> Iterator[Reason]:
        """The reasons in this language; one that the next explains becomes one with it."""
        effect: Reason | None = None
        for original in reasons:
            reason = self._language.reason(original)
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

    def _link_fault(self) -> Fault:
        where, state = self._text("broker"), self._state
        if state.link_up is None:
            return self._fault("warn", where, Reason.of("link-connecting"), self._text("Connecting."))
        headline = self._text("No link to the broker.")
        if not state.link_reasons:
            return self._fault("bad", where, Reason.of("link-down"), headline)
        effect = self._text("No link to the broker")
        return self._fault("bad", where, state.link_reasons[0], headline, effect=effect)

    def _nobody(self) -> Iterator[Fault]:
        state = self._state
        if not state.meters:
            reason = Reason.of("no-publisher-seen", prefix=state.topics.prefix)
            yield self._fault("warn" if self._is_patient else "bad", self._text("publisher"), reason)
        elif (
            not state.nodes
            and not self._is_patient
            and any(meter.is_live(self._now) for meter in state.meters.values())
        ):
            headline = self._text("No inverter is served yet.")
            yield self._fault("warn", self._text("inverter"), Reason.of("no-node-seen"), headline)

    def _unreadable(self) -> Iterator[Fault]:
        last = self._state.last_unreadable
        if last is not None and self._now - last.received < _UNREADABLE_FOR:
            reason = Reason.of("message-unreadable", topic=last.topic, error=last.why)
            yield self._fault("warn", self._text("broker"), reason)

    def _of_meter(self, view: MeterView) -> Iterator[Fault]:
        where, state = self._text("meter {meter}", meter=view.meter), self._state
        names = {"meter": view.meter, "prefix": state.topics.prefix}
        only = len(state.meters) == 1
        headline = self._text("No data from the meter." if only else "No data from meter {meter}.", meter=view.meter)
        reported, health = view.reported, view.health
        if state.is_memory(view):
            topic = state.topics.meter_status(view.meter)
            yield self._fault("warn", where, Reason.of("meter-only-retained", meter=view.meter, topic=topic))
        elif view.status is None:
            if not self._is_patient:
                yield self._fault("bad", where, Reason.of("meter-not-seen", **names), headline)
        elif view.status != "online":
            yield self._no_live_data(where, view, headline)
        elif not view.is_fresh(self._now):
            if not self._is_patient:
                yield self._fault("bad", where, Reason.of("live-data-late", **names), headline)
        elif reported is not None and self._now - reported.received > SILENT_AFTER:
            yield self._fault("warn", where, Reason.of("publisher-silent", meter=view.meter))
        elif health is not None and health.state != "ok":
            yield from self._lacks(where, health)

    def _no_live_data(self, where: str, view: MeterView, headline: str) -> Fault:
        health = view.health
        if health is None or health.state != "down":
            return self._fault("bad", where, Reason.of("publisher-gone", meter=view.meter), headline)
        causes = without(health.reasons, "no-live-data") or health.reasons
        effect = self._text("Meter {meter} gives no live data", meter=view.meter)
        return self._explained("bad", where, effect, causes, headline)

    def _lacks(self, where: str, health: MeterHealth) -> Iterator[Fault]:
        """What a publisher whose data flows is missing."""
        since = {check.reason.code: check.since[11:16] for check in health.checks}
        if not health.reasons:
            yield Fault("warn", where, f"{health.why}.", self._text("See the log: journalctl -u ksem-publisher"))
        for reason in self._with_effects(health.reasons):
            fault = _shown("warn", where, reason)
            if reason.code in since:
                text = self._text("{text} (since {since} UTC)", text=_capital(reason.text), since=since[reason.code])
                fault = Fault("warn", where, f"{text}.", fault.remedy, code=fault.code)
            yield fault

    def _of_node(self, view: NodeView, lost: set[str]) -> Iterator[Fault]:
        where, node, health = self._text("RTU server {node}", node=view.node), view.node, view.health
        headline = self._text("The inverter gets no data.")
        if self._state.is_memory(view):
            topic = self._state.topics.node_status(node)
            yield self._fault("warn", where, Reason.of("node-only-retained", node=node, topic=topic))
        elif view.status is None or health is None:
            if not self._is_patient:
                yield self._fault("bad", where, Reason.of("node-not-seen", node=node), headline)
        elif view.is_gone(self._now):
            yield self._fault("bad", where, Reason.of("node-gone", node=node), headline)
        else:
            yield from self._of_running_node(where, view, health, lost, headline)

    def _of_running_node(
        self, where: str, view: NodeView, health: NodeHealth, lost: set[str], headline: str
    ) -> Iterator[Fault]:
        ports = [unit for unit in health.units if unit.port.state != "up"]
        for unit in ports:
            effect = self._text("Line {line}", line=unit.line)
            yield self._explained("bad", where, effect, unit.port.reasons, headline)
        for line, reasons in {tcp.line: tcp.port.reasons for tcp in health.tcp if tcp.port.state == "down"}.items():
            yield self._explained("warn", where, self._text("Modbus TCP server {line}", line=line), reasons, "")
        for tcp in health.tcp:
            if (reason := find_reason(tcp.reasons, "unit-silenced")) is not None:
                yield self._fault("warn", where, reason)
        if view.status != "online" and not ports and not (view.meters & lost):
            effect = self._text("The inverter at {node} gets no data", node=view.node)
            fault = self._explained("bad", where, effect, health.reasons, headline)
            remedy = fault.remedy or self._text("Once its cause is gone, data flows again by itself.")
            yield Fault("bad", where, fault.text, remedy, headline, fault.details, fault.code)
        elif view.status == "online" and self._now - view.health_received > SILENT_AFTER:
            yield self._fault("warn", where, Reason.of("node-silent", node=view.node))

    def _of_inverter(self, view: InverterView) -> Iterator[Fault]:
        where = self._text("inverter {inverter}", inverter=view.inverter)
        if view.status is not None and not view.runs(self._now):
            yield self._fault("warn", where, Reason.of("inverter-reader-silent", inverter=view.inverter))
        for reason in view.wrong(self._now):
            yield self._fault("bad" if reason.code in BELIEVES_WRONG else "warn", where, reason)


def _shown(severity: Severity, where: str, reason: Reason, headline: str = "", *, effect: str = "") -> Fault:
    """A fault from a reason that is in the reader's language already."""
    text = f"{effect}: {reason.text}" if effect else _capital(reason.text)
    remedy = f"{_capital(reason.remedy)}." if reason.remedy else ""
    return Fault(severity, where, f"{text}.", remedy, headline, code=reason.code)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
