"""Many meters, many lines, many nodes, many sites [shell]."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks.house import House
from benchmarks.processes import cpu_seconds, memory_mb
from benchmarks.rounds import PERIOD_MS, RANGES, Part
from benchmarks.samples import summary
from benchmarks.subscribers import Subscribers
from benchmarks.wire import Wire
from ksem_contract.echo import PING_EVERY
from tests.bridge.broker import Broker

METERS: Final = (1, 5, 10, 50)
LINES: Final = (1, 4, 8)
NODES: Final = (1, 10, 50, 200)
SETTLE: Final = 6.0
"""Seconds until pushes are learned and the first polls are over."""

Row = dict[str, Any]


def measure_scale(program: Path, folder: Path, seconds: float, progress: Callable[[str], None]) -> dict[str, list[Row]]:
    """A table for each question."""
    found: dict[str, list[Row]] = {"meters": [], "lines": [], "nodes": [], "sites": []}
    for count in METERS:
        progress(f"scale: {count} meters")
        found["meters"].append(_meters(program, folder / f"meters{count}", count, seconds))
    for count in LINES:
        progress(f"scale: {count} lines")
        found["lines"].append(_lines(program, folder / f"lines{count}", count, seconds))
    progress("scale: nodes")
    found["nodes"] = _nodes(program, folder / "nodes", seconds)
    progress("scale: a site bridged to a centre")
    found["sites"].append(_site(program, folder / "sites", seconds))
    return found


def _meters(program: Path, folder: Path, count: int, seconds: float) -> Row:
    folder.mkdir()
    with Wire(program, folder, "line") as wire, House(folder, [wire.port], meters=count) as house:
        time.sleep(SETTLE + count / 10)
        pid = house.publisher.pid
        before, broker = cpu_seconds([pid]), cpu_seconds([house.broker.pid])
        cycles = _cycles(house, count)
        time.sleep(seconds)
        spent, at_broker = cpu_seconds([pid]) - before, cpu_seconds([house.broker.pid]) - broker
        rate = (_cycles(house, count) - cycles) / seconds
        return {
            "meters": count,
            "pushes a second": round(rate, 1),
            "publisher ms/s a meter": round(1000 * spent / seconds / count, 2),
            "broker ms/s a meter": round(1000 * at_broker / seconds / count, 2),
            "publisher RSS MB": round(memory_mb(pid)[0], 1),
        }


def _cycles(house: House, count: int) -> int:
    """Cycles pushed so far by all meters."""
    return sum(int(house.meter.command("status", meter=number)["push"][0]["cycles"]) for number in range(count))


def _lines(program: Path, folder: Path, count: int, seconds: float) -> Row:
    folder.mkdir()
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(program, folder, f"line{number}")) for number in range(count)]
        house = stack.enter_context(House(folder, [wire.port for wire in wires]))
        for wire in wires:
            wire.begin_until_data(10)
            assert wire.first_data() is not None
        time.sleep(SETTLE)
        pid = house.server.pid
        before = cpu_seconds([pid])
        for wire in wires:
            wire.begin(seconds, PERIOD_MS["cycle"], RANGES["cycle"])
            time.sleep(PERIOD_MS["cycle"] / 1000 / count)  # so that the lines do not keep step
        part = Part()
        for wire in wires:
            part.add(wire.finish(), 0.0)
        spent = (cpu_seconds([pid]) - before) / seconds
        return {
            "lines": count,
            "rtu-server ms/s a line": round(1000 * spent / count, 2),
            "turnaround ms": summary(part.turnarounds),
            "early": part.early,
            "unanswered": part.unanswered,
        }


def _nodes(program: Path, folder: Path, seconds: float) -> list[Row]:
    folder.mkdir()
    rows = []
    with Wire(program, folder, "line") as wire, House(folder, [wire.port]) as house:
        time.sleep(SETTLE)
        for pings in (False, True):
            for count in NODES if not pings else (NODES[0], NODES[-1]):
                with Subscribers(house.broker.port, count, pings=pings):
                    # Each node learns with its second ping how many there are.
                    time.sleep(2.2 * PING_EVERY if pings else 1.0)
                    before, broker = cpu_seconds([house.publisher.pid]), cpu_seconds([house.broker.pid])
                    time.sleep(seconds)
                    spent = cpu_seconds([house.publisher.pid]) - before
                    at_broker = cpu_seconds([house.broker.pid]) - broker
                rows.append(
                    {
                        "nodes": count,
                        "each pings": pings,
                        "publisher ms/s": round(1000 * spent / seconds, 2),
                        "broker ms/s": round(1000 * at_broker / seconds, 2),
                    }
                )
    return rows


def _site(program: Path, folder: Path, seconds: float) -> Row:
    """A house whose broker is bridged to a central one; what it costs there."""
    folder.mkdir()
    with ExitStack() as stack:
        centre = stack.enter_context(Broker(folder / "centre"))
        bridge = [
            "connection centre",
            f"address 127.0.0.1:{centre.port}",
            "topic site/house/# out 0",
            "cleansession true",
            "notifications false",
        ]
        site = stack.enter_context(Broker(folder / "site", config=bridge))
        wire = stack.enter_context(Wire(program, folder, "line"))
        stack.enter_context(House(folder / "house", [wire.port], broker=site, prefix="site/house/ksem"))
        stack.enter_context(Subscribers(centre.port, 1, pings=False, topic="site/+/ksem/#"))
        time.sleep(SETTLE)
        before, received = cpu_seconds([centre.pid]), _received(centre.pid)
        time.sleep(seconds)
        return {
            "central broker ms/s a house": round(1000 * (cpu_seconds([centre.pid]) - before) / seconds, 2),
            "bytes/s in and out": round((_received(centre.pid) - received) / seconds),
        }


def _received(pid: int) -> int:
    """Bytes read and written by a process so far."""
    counters = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(counters["rchar"]) + int(counters["wchar"])
