"""Renders the bridge's state as plain JSON values: for the page, `/state.json`, and `airbridge monitor --json` [core].

Ages are whole milliseconds at the moment `at` (CLOCK_BOOTTIME of this service, ms); None where they are unknown.
`health_verdict` returns whether data flows: for /healthz, the container's health check and systemd's status line.
"""

from dataclasses import asdict
from typing import Any

from ksem_contract.health import Histogram, LinkHealth, Percentiles, UnitHealth
from ksem_contract.reasons import reasons_json, sentence
from ksem_dashboard.chain import chains
from ksem_dashboard.faults import find_faults, judge
from ksem_dashboard.history import SLOTS, STEP, slot_of
from ksem_dashboard.language import ENGLISH, Language
from ksem_dashboard.picture import BridgeState
from ksem_dashboard.views import InverterView, MeterView, NodeView
from service_runtime.version import VERSION

Json = dict[str, Any]


def report(state: BridgeState, now: float, language: Language = ENGLISH) -> Json:
    """Everything but the hour of power."""
    faults = find_faults(state, now, language)
    return {
        "v": 1,
        "version": VERSION,
        "at": int(1000 * now),
        "old_after_ms": int(1000 * state.old_after),
        "verdict": asdict(judge(state, faults, language)),
        "faults": [asdict(fault) for fault in faults],
        "meters": {name: _meter(state, view, now, language) for name, view in sorted(state.meters.items())},
        "nodes": {name: _node(view, now) for name, view in sorted(state.nodes.items())},
        "inverters": {name: _inverter(view, now) for name, view in sorted(state.inverters.items())},
    }


def live(view: MeterView, now: float) -> Json:
    """What changes with each measuring cycle of a meter. No values where they would be old."""
    fresh = view.is_live(now)
    return {
        "at": int(1000 * now),
        "meter": view.meter,
        "fresh": fresh,
        "age_ms": _ms(view.age("live", now)),
        "values": dict(view.values) if fresh else {},
    }


def history(view: MeterView, now: float) -> Json:
    """The last hour: least, mean and greatest power of each 10 s, the oldest first; None where there was no data."""
    points = [None if one is None else [round(value) for value in one] for one in view.history.points(now)]
    return {"meter": view.meter, "slot": slot_of(now), "step_s": STEP, "slots": SLOTS, "points": points}


def point(view: MeterView, slot: int) -> Json:
    """One finished slot of the history."""
    point = view.history.point(slot)
    return {"meter": view.meter, "slot": slot, "point": None if point is None else [round(value) for value in point]}


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else int(1000 * seconds)


def _meter(state: BridgeState, view: MeterView, now: float, language: Language) -> Json:
    health, today = view.health, view.today.energy
    limits = {name: block.limit_ms for name, block in health.blocks.items()} if health else {}
    rates = {name: block.per_s for name, block in health.blocks.items()} if health else {}
    return {
        "status": view.status,
        "live": live(view, now),
        "today": asdict(today) if today else None,
        "counters": {key: view.counters[key] for key in ("energy_import", "energy_export") if key in view.counters},
        "blocks": [
            {
                "name": name,
                "source": block.source,
                "age_ms": _ms(view.age(name, now)),
                "limit_ms": limits.get(name),
                "per_s": rates.get(name),
            }
            for name, block in sorted(view.blocks.items(), key=lambda one: one[1].start)
        ],
        "push": _link(health.push.link) if health else None,
        "poll": _link(health.poll.link) if health else None,
        "why": health.why if health else None,
        "reasons": reasons_json(health.reasons) if health else [],
        "chains": [asdict(chain) for chain in chains(state, view, now, language)],
    }


def _node(view: NodeView, now: float) -> Json:
    health = view.health
    since = int(1000 * (now - view.requests_received))
    runs = view.runs(now)
    return {
        "status": view.status,
        "runs": runs,
        "seen_ms": None if view.last_seen is None else _ms(now - view.last_seen),
        "why": health.why if health else None,
        "reasons": reasons_json(health.reasons) if health else [],
        "told_ms": int(1000 * (now - view.health_received)) if health else None,
        "no_data": health.no_data.to_json() if health and health.no_data else None,
        "units": [_unit(unit, view, now) for unit in health.units] if health else [],
        "tcp": [_unit(tcp, view, now) for tcp in health.tcp] if health else [],
        "requests": [
            {**entry.to_json(), "last_ago_ms": entry.last_ago_ms + since}
            for entry in view.requests
            if entry.per_s > 0 and runs
        ],
    }


def _inverter(view: InverterView, now: float) -> Json:
    health = view.health
    return {
        "status": view.status,
        "runs": view.runs(now),
        "meter": health.meter if health else None,
        "believed_w": view.believed(now),
        "delay": health.delay.to_json() if health else None,
        "reasons": [reason.to_json() for reason in view.wrong(now)],
    }


def _unit(unit: UnitHealth, view: NodeView, now: float) -> Json:
    """A unit on a line or of a Modbus TCP server."""
    ago = unit.last_request_ago_ms
    runs = view.runs(now)  # what was measured last is no news of a server that has ended
    return {
        "line": unit.line,
        "unit": unit.unit,
        "meter": unit.meter,
        "state": unit.state if runs else "unknown",
        "reasons": reasons_json(unit.reasons if runs else ()),
        "port": _link(unit.port),
        "requests": unit.requests,
        "data": unit.data,
        "refused": dict(unit.refused),
        "foreign": unit.foreign,
        "noise": unit.noise,
        "turnaround_ms": _percentiles(unit.turnaround_ms if runs else Percentiles()),
        "age_ms": _percentiles(unit.age_ms if runs else Percentiles()),
        "turnaround_histogram_ms": _histogram(unit.turnaround_histogram_ms),
        "age_histogram_ms": _histogram(unit.age_histogram_ms),
        "last_ago_ms": None if ago is None else ago + int(1000 * (now - view.health_received)),
    }


def _link(link: LinkHealth) -> Json:
    return {"state": link.state, "since": link.since, "why": link.why, "reasons": reasons_json(link.reasons)}


def _percentiles(times: Percentiles) -> Json:
    return {"p50": times.p50, "p99": times.p99, "max": times.max}


def _histogram(reported: Histogram | None) -> Json | None:
    return reported.to_json() if reported else None


def health_verdict(state: BridgeState, now: float) -> tuple[bool, str]:
    """True only while every meter's fresh data arrives here and every inverter that is known gets data; and why."""
    if not state.link_up:
        return False, f"no link to the broker: {sentence(state.link_reasons) or 'not connected yet'}"
    faults = find_faults(state, now)
    for fault in faults:
        if fault.severity == "bad":
            return False, fault.text
    silent = [meter.meter for meter in state.meters.values() if not meter.is_live(now) and not state.is_memory(meter)]
    if silent or not state.meters:
        return False, f"no fresh data yet of meter {', '.join(silent)}" if silent else "no meter has been seen yet"
    waiting = [node.node for node in state.nodes.values() if node.status != "online" and not state.is_memory(node)]
    if waiting:
        return False, f"no inverter gets data yet at RTU server {', '.join(waiting)}"
    return True, judge(state, faults).text
