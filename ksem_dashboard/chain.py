"""Judges each part and link between the meter and the inverter: its state, rate and age [core]."""

from dataclasses import dataclass, replace
from typing import Literal

from ksem_dashboard.language import ENGLISH, Language
from ksem_dashboard.picture import BridgeState
from ksem_dashboard.views import MeterView, NodeView

Condition = Literal["up", "warned", "down", "unknown"]


@dataclass(frozen=True, slots=True)
class Part:
    """A device or a service."""

    kind: Literal["meter", "publisher", "broker", "node", "inverter"]
    name: str
    condition: Condition
    text: str
    id: str = ""
    """Which one, where there may be several."""


@dataclass(frozen=True, slots=True)
class Link:
    """What joins two parts: its rate, and how old or how slow what comes over it is."""

    name: str
    condition: Condition
    rate: str
    age: str
    age_of: str = ""
    """What `age` is: `old`, or `round trip`."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Five parts with four links between them; three and two where no RTU server serves the meter."""

    parts: tuple[Part, ...]
    links: tuple[Link, ...]

    def into(self, language: Language) -> "Chain":
        """The same with its fixed texts in this language; the others are in it already."""
        if not language.texts:
            return self
        into = language.texts.get
        parts = tuple(replace(one, name=into(one.name, one.name), text=into(one.text, one.text)) for one in self.parts)
        return Chain(parts, tuple(replace(one, age_of=into(one.age_of, one.age_of)) for one in self.links))


def chains(state: BridgeState, meter: MeterView, now: float, language: Language = ENGLISH) -> list[Chain]:
    """One for each RTU server that this meter's data goes to; one that ends at the broker if there is none."""
    return [chain.into(language) for chain in _chains(state, meter, now, language)]


def _chains(state: BridgeState, meter: MeterView, now: float, language: Language) -> list[Chain]:
    head = (_meter(state, meter, now, language), _publisher(state, meter, now, language), _broker(state))
    links = (_from_meter(state, meter, now), _published(state, meter, now))
    nodes = [node for node in state.nodes.values() if meter.meter in node.meters]
    if not nodes:
        return [Chain(head, links)]
    return [
        Chain(
            (*head, _node(state, node, now, language), _inverter(state, node, meter.meter, now, language)),
            (*links, _delivered(state, node, meter.meter, now), _rs485(state, node, meter.meter, now)),
        )
        for node in nodes
    ]


def _meter(state: BridgeState, view: MeterView, now: float, language: Language) -> Part:
    if not state.link_up:
        return Part("meter", "meter", "unknown", _seen(view.last_seen, now, language), view.meter)
    if view.is_live(now):
        return Part("meter", "meter", "up", "measures", view.meter)
    return Part("meter", "meter", "down" if view.status == "offline" else "unknown", "no data", view.meter)


def _publisher(state: BridgeState, view: MeterView, now: float, language: Language) -> Part:
    name = "publisher"
    if not state.link_up or view.status is None:
        return Part("publisher", name, "unknown", "")
    if view.status == "online":
        degraded = view.health is not None and view.health.state != "ok"
        return Part("publisher", name, "warned" if degraded else "up", "runs")
    if view.runs(now):
        return Part("publisher", name, "down", "has no data")
    return Part("publisher", name, "down", _seen(view.last_seen, now, language) or "does not run")


def _broker(state: BridgeState) -> Part:
    if state.link_up is None:
        return Part("broker", "broker", "unknown", "connecting")
    return Part("broker", "broker", "up" if state.link_up else "down", "connected" if state.link_up else "away")


def _node(state: BridgeState, view: NodeView, now: float, language: Language) -> Part:
    if not state.link_up or view.status is None:
        return Part("node", "rtu-server", "unknown", _seen(view.last_seen, now, language), view.node)
    if view.status == "online":
        return Part("node", "rtu-server", "up", "runs", view.node)
    if not view.runs(now):
        return Part("node", "rtu-server", "down", _seen(view.last_seen, now, language) or "does not run", view.node)
    waits = view.health is not None and view.health.state == "degraded"
    has_port = view.health is None or all(unit.port.state == "up" for unit in view.health.units)
    text = "waits" if waits else "has no data" if has_port else "has no port"
    return Part("node", "rtu-server", "warned" if waits else "down", text, view.node)


def _inverter(state: BridgeState, view: NodeView, meter: str, now: float, language: Language) -> Part:
    if not state.link_up or not view.runs(now):
        return Part("inverter", "inverter", "unknown", "")
    if view.status == "online":
        own = [one for one in state.inverters.values() if one.health is not None and one.health.meter == meter]
        condition: Condition = "warned" if any(one.wrong(now) for one in own) else "up"
        return Part(
            "inverter",
            "inverter",
            condition,
            next(filter(None, (one.summary(now, language) for one in own)), "gets data"),
        )
    is_requesting = view.per_s(meter) > 0
    return Part(
        "inverter",
        "inverter",
        "down" if is_requesting else "unknown",
        "gets no data" if is_requesting else "does not ask",
    )


def _from_meter(state: BridgeState, view: MeterView, now: float) -> Link:
    live = view.blocks.get("live")
    if not state.link_up or live is None:
        return Link("push", "unknown", "", "")
    name = "push" if live.source == "push" else "poll"
    if not view.is_fresh(now):
        return Link(name, "down", "", "")
    rate = _rate(view.arrivals.per_s(now))
    return Link(name, "up" if live.source == "push" else "warned", rate, f"{live.age_ms} ms", "old")


def _published(state: BridgeState, view: MeterView, now: float) -> Link:
    if not state.link_up or view.status is None:
        return Link("MQTT", "unknown" if state.link_up is not False else "down", "", "")
    if not view.is_fresh(now):
        return Link("MQTT", "warned" if view.status == "online" else "down", "", "")
    return Link("MQTT", "up", _rate(view.arrivals.per_s(now)), "")


def _delivered(state: BridgeState, view: NodeView, meter: str, now: float) -> Link:
    if not state.link_up or view.status is None or view.health is None:
        return Link("MQTT", "unknown", "", "")
    if not view.runs(now):
        return Link("MQTT", "down" if view.is_gone(now) else "unknown", "", "")
    transit = view.health.transit.get(meter)
    trip = "" if transit is None or transit.rtt_ms is None else f"{transit.rtt_ms:.1f} ms"
    return Link("MQTT", "up" if view.health.broker.state == "up" else "down", "", trip, "round trip")


def _rs485(state: BridgeState, view: NodeView, meter: str, now: float) -> Link:
    if not state.link_up or view.health is None or not view.runs(now):
        return Link("RS485", "unknown", "", "")
    units = [unit for unit in view.health.units if unit.meter == meter]
    if any(unit.port.state != "up" for unit in units):
        return Link("RS485", "down", "", "")
    ages = [unit.age_ms.p50 for unit in units if unit.age_ms.p50 is not None]
    age = f"{max(ages):.0f} ms" if ages and view.status == "online" else ""
    rate = view.per_s(meter)
    if view.status != "online":
        return Link("RS485", "warned" if rate else "unknown", _rate(rate) if rate else "", "")
    return Link("RS485", "up", _rate(rate), age, "old")


def _seen(at: float | None, now: float, language: Language) -> str:
    """When a service that is silent now was seen."""
    if at is None:
        return ""
    seconds = now - at
    if seconds < 100:
        return language.text("seen {seconds} s ago", seconds=f"{seconds:.0f}")
    if seconds < 6000:
        return language.text("seen {minutes} min ago", minutes=f"{seconds / 60:.0f}")
    return language.text("seen {hours} h ago", hours=f"{seconds / 3600:.0f}")


def _rate(per_s: float) -> str:
    return f"{per_s:.0f}/s" if per_s >= 10 else f"{per_s:.1f}/s"
