"""Checks what must hold [core]. Every figure is a ratio or a time within one run."""

from dataclasses import dataclass
from typing import Any, Final

Results = dict[str, Any]
MODES: Final = ("cycle", "small", "mixed")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the verdict: `measured` is None where this run did not measure it."""

    what: str
    measured: float | None
    limit: float
    unit: str
    at_least: bool = False

    @property
    def holds(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


def verdicts(results: Results) -> list[Verdict]:
    """All lines, in the order of their weight."""
    ratio, line = results["ratios"], results["line"]["rest"]
    chain, cold = results["chain"], results.get("cold", {})
    ours = line["airbridge"]
    lines = [
        Verdict("answers begun before t3.5 is over", float(results["early"]), 0, "answers"),
        Verdict("wrong answers", float(results["wrong"]), 0, "answers"),
        Verdict("turnaround p50, 5 pushes a second", ratio["rest"]["p50"], 1.08, "x reference"),
        Verdict("turnaround p90, 5 pushes a second", ratio["rest"]["p90"], 1.3, "x reference"),
        Verdict("turnaround p99, 5 pushes a second", ratio["rest"]["p99"], 1.4, "x reference"),
        Verdict("turnaround p50, 50 pushes a second, busy core", ratio["load"]["p50"], 1.2, "x reference"),
        Verdict("bus efficiency, 2 registers", ratio["efficiency"]["small"], 0.98, "x reference", at_least=True),
        Verdict("bus efficiency, mixed cycle", ratio["efficiency"]["mixed"], 0.99, "x reference", at_least=True),
        Verdict("push to cache p50", chain["rest"]["hop_ratio"]["p50"], 3, "x bare hop"),
        Verdict("push to cache p99", chain["rest"]["hop_ratio"]["p99"], 3, "x bare hop"),
        Verdict("the meter's wait for both answers p50", chain["rest"]["our_wait_ms"]["p50"], 0.6, "ms"),
        Verdict("age of the served value p50", chain["rest"]["age_ms"]["p50"], 108, "ms"),
        Verdict("age of the served value p99", chain["rest"]["age_ms"]["p99"], 210, "ms"),
        Verdict("a block's code, made and checked, p50", results.get("code_us", {}).get("p50"), 60, "us"),
        Verdict("CPU per transaction, 2 registers", ratio["cpu"]["small"], 0.5, "x pymodbus"),
        Verdict("CPU per transaction, mixed cycle", ratio["cpu"]["mixed"], 0.5, "x pymodbus"),
        Verdict("CPU of both at rest, 5 pushes a second", ours["idle_cpu_ms_s"], 15, "ms/s"),
        Verdict("PSS of both", results["memory_mb"]["pss both"], 45, "MB"),
        Verdict("peak RSS of rtu-server", results["memory_mb"]["rss rtu-server"], 30, "MB"),
        Verdict("peak RSS of ksem-publisher", results["memory_mb"]["rss ksem-publisher"], 40, "MB"),
    ]
    limits = {
        "start": 1.2,
        "push back": 0.5,
        "meter back": 0.5,
        "publisher restarted": 1.5,
        "rtu-server restarted": 1.5,
        "broker restarted": 2.0,
        "port back": 1.0,
    }
    for name, limit in limits.items():
        what = "start of both to the first good answer" if name == "start" else f"fresh again: {name}"
        lines.append(Verdict(f"{what} (median)", cold.get(name, {}).get("median"), limit, "s"))
    lines.append(Verdict("CPU of rtu-server while the port is away", results.get("port_away_ms_s"), 10, "ms/s"))
    return lines + _scale_verdicts(results.get("scale"))


def _scale_verdicts(scale: Results | None) -> list[Verdict]:
    meters = {row["meters"]: row["publisher ms/s a meter"] for row in scale["meters"]} if scale else {}
    cost = {row["lines"]: row["rtu-server ms/s a line"] for row in scale["lines"]} if scale else {}
    pace = {row["lines"]: row["turnaround ms"]["p50"] for row in scale["lines"]} if scale else {}
    rows = scale["nodes"] if scale else []
    nodes = {row["nodes"]: row["publisher ms/s"] for row in rows if not row["each pings"]}
    pinging = {row["nodes"]: row["publisher ms/s"] for row in rows if row["each pings"]}
    return [
        Verdict("CPU per meter, 50 meters against 5", _over(meters, 50, 5), 1.1, "x"),
        Verdict("CPU per line, 8 lines against 1", _over(cost, 8, 1), 1.2, "x"),
        Verdict("turnaround p50, 8 lines against 1", _over(pace, 8, 1), 1.5, "x"),
        Verdict("publisher's CPU, 200 plain subscribers against 1", _over(nodes, 200, 1), 1.1, "x"),
        Verdict("the same, each pings as rtu-server does", _over(pinging, 200, 1), 1.1, "x"),
    ]


def _over(table: dict[int, float], many: int, few: int) -> float | None:
    return table[many] / table[few] if many in table and few in table else None
