"""Renders the results as text [core]."""

from collections.abc import Iterator
from typing import Any

from benchmarks.contenders import ABOUT, NAMES, PYMODBUS
from benchmarks.verdicts import Verdict


def tables(results: dict[str, Any], lines: list[Verdict]) -> str:
    """All tables, for the terminal."""
    parts = (_line(results), _chain(results), _bare(results), _scale(results), _error(results), _verdicts(lines))
    return "\n".join(line for part in parts for line in part)


def _line(results: dict[str, Any]) -> Iterator[str]:
    for state, title in (("rest", "5 pushes a second"), ("load", "50 pushes a second, second core busy")):
        yield f"\nTurnaround in ms, {title}"
        yield f"{'':18}{'mode':8}{'n':>6}{'p50':>8}{'p90':>8}{'p99':>8}{'early':>8}{'efficiency':>12}{'CPU s/1000':>12}"
        for name in NAMES:
            for mode, part in results["line"][state][name].items():
                if mode not in ("cycle", "small", "mixed"):
                    continue
                times = part["turnaround_ms"]
                yield (
                    f"{name:18}{mode:8}{times['count']:6}{_f(times['p50'])}{_f(times['p90'])}{_f(times['p99'])}"
                    f"{part['early_share']:8.1%}{part['efficiency']:12.3f}{part['cpu_s_1000']:12.3f}"
                )
    yield ""
    yield from (f"{name:18}{about}" for name, about in ABOUT.items())


def _chain(results: dict[str, Any]) -> Iterator[str]:
    for state, title in (("rest", "5 pushes a second"), ("load", "50 pushes a second, second core busy")):
        yield f"\nThe way of a push in ms, {title}"
        rows = {
            "push to cache (from the cycle's last write)": "hop_ms",
            "the same from its first write": "hop_from_first_write_ms",
            "bare paho to mosquitto to paho": "bare_hop_ms",
            "age of the served value": "age_ms",
            "age behind a perfect bridge": "perfect_age_ms",
            "a meter in C waits for both answers": "our_wait_ms",
            "it waits for a receiver that does nothing": "empty_wait_ms",
            "the simulated meter (Python) waits": "simulated_meter_wait_ms",
        }
        for text, key in rows.items():
            part = results["chain"][state].get(key)
            if part is not None:
                yield f"{text:46}{_f(part['p50'])}{_f(part['p90'])}{_f(part['p99'])}"


def _bare(results: dict[str, Any]) -> Iterator[str]:
    yield "\nCPU beside a bare chain, whose two services check, date, decode and report nothing, 5 pushes a second"
    yield f"{'':18}{'at rest, ms/s':>16}{'mixed, s/1000':>16}{'x pymodbus':>12}{'n':>8}"
    for name, cost in results["bare"].items():
        ratio = cost["mixed_s_1000"] / results["bare"][PYMODBUS]["mixed_s_1000"]
        yield f"{name:18}{cost['idle_ms_s']:16.2f}{cost['mixed_s_1000']:16.3f}{ratio:12.2f}{cost['transactions']:8}"


def _scale(results: dict[str, Any]) -> Iterator[str]:
    for name, rows in results.get("scale", {}).items():
        yield f"\nScale: {name}"
        for row in rows:
            yield "  " + ", ".join(f"{key} {_short(value)}" for key, value in row.items())


def _error(results: dict[str, Any]) -> Iterator[str]:
    yield "\nMeasuring error"
    for key, value in results["error"].items():
        yield f"  {key}: {_short(value)}"
    yield f"  reference against itself: {results['ratios']['noise']}"


def _verdicts(lines: list[Verdict]) -> Iterator[str]:
    yield "\nMust hold"
    for line in lines:
        word = {True: "holds", False: "MISSED", None: "not measured"}[line.holds]
        sign = ">=" if line.at_least else "<="
        measured = "-" if line.measured is None else f"{line.measured:.3f}"
        yield f"  {line.what:52}{measured:>10}  {sign} {line.limit:<6g} {line.unit:12} {word}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {one}" for key, one in value.items())
    return str(value)


def _f(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:.2f}':>8}"
