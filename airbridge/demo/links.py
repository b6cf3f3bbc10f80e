"""Judges each part and link of the chain for the demo's drawing [core]."""

from dataclasses import dataclass
from typing import Final, Literal

from airbridge.demo.picture import BridgeState

OLD_MS: Final = 1_500
"""Live data older than this does not flow; the RTU server's limit by default."""

Condition = Literal["up", "warned", "down", "unknown"]


@dataclass(frozen=True, slots=True)
class Part:
    """A device, a service or a link between two."""

    name: str
    condition: Condition
    text: str
    """A figure or a word that belongs to it."""


def chain(bridge: BridgeState, now: float, broker: str) -> tuple[list[Part], list[Part]]:
    """The five parts and the four links between them, from the meter to the inverter."""
    parts = [_meter(bridge), _publisher(bridge), _broker(bridge, broker, now), _rtu_server(bridge)]
    parts.append(_inverter(bridge, now))
    links = [_push_or_poll(bridge, now), _published(bridge, now), _delivered(bridge), _rs485(bridge, now)]
    return parts, links


def _meter(bridge: BridgeState) -> Part:
    name = "KSEM"
    if "meter" in bridge.pulled:
        return Part(name, "down", "unplugged")
    power = bridge.ksem.get("power_w", bridge.values.get("power"))
    if power is None:
        return Part(name, "unknown", "")
    return Part(name, "up", f"{power:+.0f} W")


def _publisher(bridge: BridgeState) -> Part:
    name = "publisher"
    if not bridge.link_up or bridge.meter_status is None:
        return Part(name, "unknown", "?")
    if bridge.meter_status == "online":
        state = bridge.meter_health.state if bridge.meter_health else "ok"
        return Part(name, "up" if state == "ok" else "warned", "online")
    return Part(name, "down", bridge.meter_status)


def _broker(bridge: BridgeState, name: str, now: float) -> Part:
    name = name.partition(" ")[0]
    if "broker" in bridge.pulled:
        return Part(name, "down", "pulled")
    if not bridge.link_up:
        return Part(name, "unknown" if bridge.link_up is None else "down", "away" if bridge.link_up is False else "")
    return Part(name, "up", f"{bridge.messages.per_s(now):.0f} msg/s")


def _rtu_server(bridge: BridgeState) -> Part:
    name = "rtu-server"
    if not bridge.link_up or bridge.node_status is None:
        return Part(name, "unknown", "?")
    state = bridge.node_health.state if bridge.node_health else "down"
    condition: Condition = "up" if state == "ok" else "warned" if state == "degraded" else "down"
    return Part(name, condition, bridge.node_status)


def _inverter(bridge: BridgeState, now: float) -> Part:
    name = "Plenticore" if bridge.inverter else "inverter"
    if not bridge.inverter:
        served = bridge.node_status == "online"
        return Part(name, "up" if served else "unknown", "gets data" if served else "")
    if not bridge.requested.per_s(now):
        return Part(name, "unknown", "waits")
    last = bridge.lately
    if last in (None, "data"):
        return Part(name, "up", "gets data")
    # A refusal is what should happen while there is no fresh data, silence is not.
    return Part(name, "warned" if last.startswith("exception") else "down", "no data")


def _push_or_poll(bridge: BridgeState, now: float) -> Part:
    live = bridge.blocks.get("live")
    if "meter" in bridge.pulled:
        return Part("push", "down", "")
    if live is None or not bridge.link_up:
        return Part("push", "unknown", "")
    # A block that has stopped: its rate sinks slower than one wants to see it.
    if live.age_ms(now) < OLD_MS:
        pushed, polled = live.per_s("push", now), live.per_s("poll", now)
        if live.message.source == "push":
            return Part("push", "up", _rate(pushed))
        return Part("poll", "warned", _rate(polled))
    return Part("push", "down", "0/s")


def _published(bridge: BridgeState, now: float) -> Part:
    if not bridge.link_up:
        return Part("MQTT", "unknown" if bridge.link_up is None else "down", "")
    live = bridge.blocks.get("live")
    if live is None:
        return Part("MQTT", "unknown", "")
    # The link stands though nothing goes over it: the meter may be gone.
    return Part("MQTT", "up" if live.age_ms(now) < OLD_MS else "warned", _rate(live.all_per_s(now)))


def _delivered(bridge: BridgeState) -> Part:
    if not bridge.link_up:
        return Part("MQTT", "unknown" if bridge.link_up is None else "down", "")
    health = bridge.node_health
    if health is None or bridge.node_status is None:
        return Part("MQTT", "unknown", "")
    trips = [transit.rtt_ms for transit in health.transit.values() if transit.rtt_ms is not None]
    return Part("MQTT", "up" if health.broker.state == "up" else "down", f"{trips[0]:.0f} ms" if trips else "")


def _rs485(bridge: BridgeState, now: float) -> Part:
    name = "RS485"
    if "plug" in bridge.pulled:
        return Part(name, "down", "")
    if bridge.inverter:
        rate = bridge.requested.per_s(now)
        return Part(name, "up" if rate else "unknown", _rate(rate))
    requests = bridge.requests.requests if bridge.requests else ()
    rate = sum(one.per_s for one in requests)
    return Part(name, "up" if rate else "unknown", _rate(rate))


def _rate(per_s: float) -> str:
    return f"{per_s:.0f}/s" if per_s >= 10 else f"{per_s:.1f}/s"
