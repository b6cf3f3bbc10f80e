"""Runs `make bench`."""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks.bare_cost import measure_costs
from benchmarks.code_cost import measure_code_cost
from benchmarks.cold import measure_cold
from benchmarks.contenders import OURS, all_contenders
from benchmarks.hops import BareHop
from benchmarks.house import House
from benchmarks.meter_wait import measure_waits
from benchmarks.native_programs import CannotBuild, build
from benchmarks.plot import plot
from benchmarks.processes import memory_mb
from benchmarks.results import BOTH, chain_results, line_results, measuring_error, ratios
from benchmarks.rounds import FULL, QUICK, run_rounds
from benchmarks.samples import median, summary
from benchmarks.scale import measure_scale
from benchmarks.table import tables
from benchmarks.verdicts import verdicts
from benchmarks.wire import Wire

_WHERE: Final = Path("build/bench")


def main() -> int:
    options = _options()
    began = time.monotonic()

    def progress(what: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {what}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            programs = build(folder)
        except CannotBuild as error:
            print(error, file=sys.stderr)
            return 1
        results = _measure(options, programs, folder, progress)
    results["seconds"] = round(time.monotonic() - began)
    lines = verdicts(results)
    results["verdicts"] = [asdict(line) | {"holds": line.holds} for line in lines]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "bench.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "bench.svg").write_text(plot(results))
    text = tables(results, lines)
    (options.out / "bench.txt").write_text(text + "\n")
    print(text)
    print(f"\n{options.out}/bench.json, bench.svg, bench.txt")
    return 0


def _measure(options: argparse.Namespace, programs: dict[str, Path], folder: Path, progress: Any) -> dict[str, Any]:
    results: dict[str, Any] = {"machine": _machine(), "mode": "quick" if options.quick else "full"}
    hop = BareHop(folder)
    with ExitStack() as stack:
        wire = stack.enter_context(Wire(programs["wire"], folder, "ours"))
        results["machine"]["the line is real-time"] = wire.is_realtime
        house = House(folder / "house", [wire.port], probe=True, realtime=options.realtime)
        stack.enter_context(house)
        contenders = stack.enter_context(all_contenders(programs, folder, house, wire))
        stack.enter_context(hop.running(house.broker.port))
        findings = run_rounds(QUICK if options.quick else FULL, contenders, house, progress)
        memory = _memory(house)
        waits = measure_waits(programs["pushing_meter"], folder, house, 6.0 if options.quick else 30.0, progress)
        seconds = 1.5 if options.quick else 6.0
        results["bare"] = measure_costs(programs["wire"], folder, house, contenders, seconds, progress)
    bare = {state: hop.within(findings.windows[state]) for state in BOTH}
    results["line"] = line_results(findings)
    results["ratios"] = ratios(findings, results["line"])
    results["chain"] = chain_results(findings, bare)
    results["chain"]["rest"] |= {f"{name}_wait_ms": summary(samples) for name, samples in waits.items()}
    results["error"] = measuring_error(findings)
    results["memory_mb"] = memory
    results["code_us"] = measure_code_cost()
    results["wrong"] = findings.wrong
    results["early"] = sum(part.early for (_, name, _), part in findings.parts.items() if name == OURS)
    times = 3 if options.quick else 5
    cold, away = measure_cold(programs["wire"], folder, times, progress, faults=not options.quick)
    results["cold"] = {
        name: {"median": round(median(values), 3), "worst": round(max(values), 3)} for name, values in cold.items()
    }
    if away:
        results["port_away_ms_s"] = round(1000 * median(away), 2)
    if not options.quick:
        results["scale"] = measure_scale(programs["wire"], folder, progress)
    return results


def _memory(house: House) -> dict[str, float]:
    publisher, server = (memory_mb(pid) for pid in house.pids)
    return {
        "rss ksem-publisher": round(publisher[0], 1),
        "rss rtu-server": round(server[0], 1),
        "pss both": round(publisher[1] + server[1], 1),
    }


def _machine() -> dict[str, Any]:
    model = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": model[0].partition(": ")[2] if model else platform.processor(),
        "others at work (load before)": os.getloadavg()[0],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 minutes: fewer samples, no recoveries, no scale")
    parser.add_argument("--realtime", type=int, default=0, help="SCHED_FIFO priority for our line's thread (default 0)")
    parser.add_argument("--out", type=Path, default=_WHERE, help="folder for JSON, SVG and text (default %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
