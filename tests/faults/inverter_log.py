"""The time without data as a simulated inverter's own log has it, and as rtu-server has published it."""

import json
import time
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from ksem_contract.health import NoData, NodeHealth
from ksem_simulators.line.direction import character_time

from .ear import NODE_HEALTH, Ear

SHORTEST: Final = 1.0
"""Seconds without data that count."""
ASLEEP: Final = 60.0
"""Seconds without a request in which it sleeps."""


def pauses(log: Path) -> list[float]:
    """The seconds from good answer to good answer that count, without the inverter's sleep."""
    return [seconds for seconds in all_pauses(log.read_text().splitlines()) if seconds > SHORTEST]


def all_pauses(lines: Iterable[str]) -> Iterator[float]:
    """The seconds from good answer to good answer, or to its sleep."""
    pause, has_data = 0.0, False
    for before, request in pairwise(map(json.loads, lines)):
        has_data = has_data or before["outcome"] == "good"
        seconds = moment(request) - moment(before)
        asleep = seconds > ASLEEP
        pause += 0.0 if asleep else seconds
        if has_data and (asleep or request["outcome"] == "good"):
            yield pause
        if asleep or request["outcome"] == "good":
            pause = 0.0


def moment(request: dict[str, Any]) -> float:
    """When the answer began; of a request without one: when it was given up."""
    if request["outcome"] != "good":
        return float(request["at"])
    if request["answered_at"] is not None:
        return float(request["answered_at"])
    first, last = map(int, request["range"].split("-"))
    return float(request["at"]) - (5 + 2 * (last - first + 1)) * character_time(38400)


def no_data(ear: Ear) -> NoData:
    """What the next health message holds: one that is made from now on."""
    begin = len(ear.payloads(NODE_HEALTH))
    deadline = time.monotonic() + 15
    while len(ear.payloads(NODE_HEALTH)) <= begin:
        assert time.monotonic() < deadline, "no health message"
        time.sleep(0.05)
    found = NodeHealth.decode(ear.payloads(NODE_HEALTH)[-1]).no_data
    assert found is not None
    return found
