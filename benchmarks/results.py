"""Computes from samples the figures that are kept as JSON [core]."""

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.contenders import AGAIN, NAMES, OURS, PYMODBUS, REFERENCE
from benchmarks.rounds import LOAD, REST, Findings, Part
from benchmarks.samples import SHARES, median, percentile, summary

BOTH: Final = (REST, LOAD)


def line_results(findings: Findings) -> dict[str, Any]:
    """By state, contender and mode: turnarounds, share begun early, efficiency, CPU."""
    figures: dict[str, Any] = {state: {} for state in BOTH}
    for (state, name, mode), part in findings.parts.items():
        figures[state].setdefault(name, {})[mode] = _part(part)
    for (state, name), samples in findings.idle_cpu.items():
        figures[state][name]["idle_cpu_ms_s"] = round(1000 * median(samples), 3)
    for state in BOTH:
        for name in NAMES:
            figures[state][name]["all"] = summary(_pooled(findings, state, name))
    return figures


def ratios(findings: Findings, line: dict[str, Any]) -> dict[str, Any]:
    """Ours against the reference, and the reference's own two halves against each other: the noise band."""
    figures: dict[str, Any] = {"noise": {}}
    for state in BOTH:
        both = _pooled(findings, state, REFERENCE) + _pooled(findings, state, AGAIN)
        ours = _pooled(findings, state, OURS)
        figures[state] = {name: _ratio(ours, both, share) for name, share in SHARES.items()}
        halves = _pooled(findings, state, AGAIN), _pooled(findings, state, REFERENCE)
        figures["noise"][state] = {name: _ratio(*halves, share) for name, share in SHARES.items()}
    rest = line[REST]
    figures["efficiency"] = {
        mode: rest[OURS][mode]["efficiency"]
        / ((rest[REFERENCE][mode]["efficiency"] + rest[AGAIN][mode]["efficiency"]) / 2)
        for mode in ("small", "mixed")
    }
    figures["cpu"] = {
        mode: rest[OURS][mode]["cpu_s_1000"] / rest[PYMODBUS][mode]["cpu_s_1000"]
        for mode in rest[OURS]
        if mode in ("cycle", "small", "mixed")
    }
    return figures


def chain_results(findings: Findings, bare: dict[str, list[float]]) -> dict[str, Any]:
    """The way of a push, by state; `bare` are the bare broker hops measured beside it."""
    figures: dict[str, Any] = {}
    for state in BOTH:
        waits = findings.waits[state]
        figures[state] = {
            "hop_ms": summary(findings.hops[state]),
            "hop_from_first_write_ms": summary(findings.hops_from_first[state]),
            "bare_hop_ms": summary(bare[state]),
            "hop_ratio": {name: _ratio(findings.hops[state], bare[state], share) for name, share in SHARES.items()},
            "age_ms": summary(findings.ages[state]),
            "perfect_age_ms": summary(findings.perfect[state]),
            "simulated_meter_wait_ms": {name: median([wait[name] for wait in waits]) for name in SHARES},
        }
    return figures


def measuring_error(findings: Findings) -> dict[str, Any]:
    """What the bench itself adds: the C server that answers at once, and handing over a byte."""
    handing = [value for part in findings.parts.values() for value in part.handing]
    disturbed = sum(part.disturbed for part in findings.parts.values())
    requested = sum(part.requests for part in findings.parts.values())
    return {
        "at once, at rest, ms": summary(_pooled(findings, REST, NAMES[0])),
        "handing over a byte, us": summary(handing, 1e6),
        "disturbed requests": f"{disturbed} of {requested}",
        "steal, median": round(median(findings.steal), 4),
        "steal, worst": round(max(findings.steal), 4),
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "turnaround_ms": summary(part.turnarounds),
        "requests": part.requests,
        "unanswered": part.unanswered,
        "disturbed": part.disturbed,
        "early": part.early,
        "early_share": round(part.early / max(1, len(part.turnarounds)), 4),
        "efficiency": round(part.least / part.busy, 4) if part.busy else 0.0,
        "cpu_s_1000": round(1000 * part.cpu / max(1, part.requests), 4),
    }


def _pooled(findings: Findings, state: str, name: str) -> list[float]:
    parts = [
        part for (its_state, its_name, _), part in findings.parts.items() if (its_state, its_name) == (state, name)
    ]
    return [one for part in parts for one in part.turnarounds]


def _ratio(ours: Sequence[float], other: Sequence[float], share: float) -> float | None:
    over, under = percentile(ours, share), percentile(other, share)
    return round(over / under, 4) if over is not None and under else None
