"""Measures how soon data flows: from process start, and after each part of the chain was gone [shell]."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.house import House
from benchmarks.processes import cpu_seconds
from benchmarks.wire import Wire

START: Final = "start"
PORT: Final = "port back"
PATIENCE: Final = 20.0
GONE: Final = 2.5
"""Seconds that a part is away: longer than the age limit of live data."""


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def measure_cold(
    program: Path, folder: Path, times: int, progress: Callable[[str], None], *, faults: bool
) -> tuple[dict[str, list[float]], list[float]]:
    """Seconds until the first good answer by what happened, and CPU seconds a second while the port is away."""
    seconds_by_start: dict[str, list[float]] = {}
    cpu: list[float] = []
    with ExitStack() as stack:
        wire = stack.enter_context(Wire(program, folder, "cold"))
        house = stack.enter_context(House(folder / "cold", [wire.port]))
        _first(wire, 0.0)
        for number in range(times):
            progress(f"start-up and recovery {number + 1} of {times}")
            seconds_by_start.setdefault(START, []).append(_restart(house, wire))
            if faults:
                for name, happens in _FAULTS.items():
                    time.sleep(1.0)  # the chain is to be at rest before it is broken
                    seconds_by_start.setdefault(name, []).append(happens(house, wire))
                seconds, spent = _port(house, wire)
                seconds_by_start.setdefault(PORT, []).append(seconds)
                cpu.append(spent)
    return seconds_by_start, cpu


def _first(wire: Wire, since: float) -> float:
    wire.begin_until_data(PATIENCE)
    at = wire.first_data()
    assert at is not None, f"no data within {PATIENCE} s"
    return at - since


def _restart(house: House, wire: Wire) -> float:
    """Broker and meter up, both services started together."""
    house.server.kill()
    house.publisher.kill()
    time.sleep(0.3)
    began = _now()
    house.publisher.start()
    house.server.start()
    return _first(wire, began)


def _push(house: House, wire: Wire) -> float:
    """The meter's push comes back where only that carries live data: polling is closed, too."""
    house.meter.command("push", silent=True)
    house.meter.command("poll", open=False)
    time.sleep(GONE)
    began = _now()
    house.meter.command("push", silent=False)
    taken = _first(wire, began)
    house.meter.command("poll", open=True)
    return taken


def _meter(house: House, wire: Wire) -> float:
    """The meter goes and comes back, as far as the network shows: counted from its port being open again."""
    house.meter.command("push", enabled=False)
    house.meter.command("poll", open=False)
    house.meter.command("drop-connections")
    time.sleep(GONE)
    began = _now()
    house.meter.command("poll", open=True)
    house.meter.command("push", enabled=True)
    return _first(wire, began)


def _publisher(house: House, wire: Wire) -> float:
    house.publisher.kill()
    time.sleep(GONE)
    began = _now()
    house.publisher.start()
    return _first(wire, began)


def _server(house: House, wire: Wire) -> float:
    house.server.kill()
    time.sleep(0.5)
    began = _now()
    house.server.start()
    return _first(wire, began)


def _broker(house: House, wire: Wire) -> float:
    house.broker.kill()
    time.sleep(GONE)
    began = _now()
    house.broker.start()
    return _first(wire, began)


def _port(house: House, wire: Wire) -> tuple[float, float]:
    wire.unplug()
    time.sleep(0.5)
    before, began = cpu_seconds([house.server.pid]), _now()
    time.sleep(GONE)
    spent = (cpu_seconds([house.server.pid]) - before) / (_now() - began)
    back = wire.plug()
    return _first(wire, back), spent


_FAULTS: Final = {
    "push back": _push,
    "meter back": _meter,
    "publisher restarted": _publisher,
    "rtu-server restarted": _server,
    "broker restarted": _broker,
}
