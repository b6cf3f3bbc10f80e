"""Measures many meters, many lines, many nodes and many sites [shell]."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks.house import House
from benchmarks.processes import cpu_seconds, memory_mb
from benchmarks.rounds import PERIOD_MS, RANGES, Part
from benchmarks.samples import summary
from benchmarks.subscribers import LEARNING, Subscribers
from benchmarks.wire import Wire
from tests.bridge.broker import Broker

METERS: Final = (1, 5, 10, 50)
LINES: Final = (1, 4, 8)
NODES: Final = (1, 10, 50, 200)
_TURNS: Final = 2
"""Rounds in which numbers of nodes take turns: what is compared there differs by less than a machine does by itself."""
WINDOW: Final = 10.0
"""Seconds measured at a time: a publisher polls counters and publishes its health once in it."""
SETTLE: Final = 6.0
"""Seconds until pushes are learned and the first polls are over."""

Row = dict[str, Any]


def measure_scale(program: Path, folder: Path, progress: Callable[[str], None]) -> dict[str, list[Row]]:
    """A table for each question."""
    rows: dict[str, list[Row]] = {"meters": [], "lines": [], "nodes": [], "sites": []}
    for count in METERS:
        progress(f"scale: {count} meters")
        rows["meters"].append(_meters(program, folder / f"meters{count}", count))
    for count in LINES:
        progress(f"scale: {count} lines")
        rows["lines"].append(_lines(program, folder / f"lines{count}", count))
    progress("scale: nodes")
    rows["nodes"] = _nodes(program, folder / "nodes")
    progress("scale: a site bridged to a centre")
    rows["sites"].append(_site(program, folder / "sites"))
    return rows


def _meters(program: Path, folder: Path, count: int) -> Row:
    folder.mkdir()
    with Wire(program, folder, "line") as wire, House(folder, [wire.port], meters=count) as house:
        time.sleep(SETTLE + count / 10)
        pid = house.publisher.pid
        before, broker = cpu_seconds([pid]), cpu_seconds([house.broker.pid])
        cycles = _cycles(house, count)
        time.sleep(WINDOW)
        spent, at_broker = cpu_seconds([pid]) - before, cpu_seconds([house.broker.pid]) - broker
        rate = (_cycles(house, count) - cycles) / WINDOW
        return {
            "meters": count,
            "pushes a second": round(rate, 1),
            "publisher ms/s a meter": round(1000 * spent / WINDOW / count, 2),
            "broker ms/s a meter": round(1000 * at_broker / WINDOW / count, 2),
            "publisher RSS MB": round(memory_mb(pid)[0], 1),
        }


def _cycles(house: House, count: int) -> int:
    """Cycles pushed so far by all meters."""
    return sum(int(house.meter.command("status", meter=number)["push"][0]["cycles"]) for number in range(count))


def _lines(program: Path, folder: Path, count: int) -> Row:
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
            wire.begin(WINDOW, PERIOD_MS["cycle"], RANGES["cycle"])
            time.sleep(PERIOD_MS["cycle"] / 1000 / count)  # so that the lines do not keep step
        part = Part()
        for wire in wires:
            part.add(wire.finish(), 0.0)
        spent = (cpu_seconds([pid]) - before) / WINDOW
        return {
            "lines": count,
            "rtu-server ms/s a line": round(1000 * spent / count, 2),
            "turnaround ms": summary(part.turnarounds),
            "early": part.early,
            "unanswered": part.unanswered,
        }


def _nodes(program: Path, folder: Path) -> list[Row]:
    folder.mkdir()
    requested = [(False, count) for count in NODES] + [(True, NODES[0]), (True, NODES[-1])]
    spent = {one: [0.0, 0.0] for one in requested}
    with Wire(program, folder, "line") as wire, House(folder, [wire.port]) as house:
        time.sleep(SETTLE)
        both = (house.publisher.pid, house.broker.pid)
        for turn in range(_TURNS):
            for pings, count in requested if turn % 2 else requested[::-1]:
                with Subscribers(house.broker.port, count, pings=pings):
                    time.sleep(LEARNING + 0.5)
                    before = [cpu_seconds([pid]) for pid in both]
                    time.sleep(WINDOW)
                    for at, pid in enumerate(both):
                        spent[pings, count][at] += (cpu_seconds([pid]) - before[at]) / WINDOW / _TURNS
    return [
        {
            "nodes": count,
            "each pings": pings,
            "publisher ms/s": round(1000 * publisher, 2),
            "broker ms/s": round(1000 * broker, 2),
        }
        for (pings, count), (publisher, broker) in spent.items()
    ]


def _site(program: Path, folder: Path) -> Row:
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
        time.sleep(WINDOW)
        return {
            "central broker ms/s a house": round(1000 * (cpu_seconds([centre.pid]) - before) / WINDOW, 2),
            "bytes/s in and out": round((_received(centre.pid) - received) / WINDOW),
        }


def _received(pid: int) -> int:
    """Bytes read and written by a process so far."""
    counters = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(counters["rchar"]) + int(counters["wchar"])
