"""A running chain that is watched while things go wrong: by the inverter's judge, by both statuses, by the logs."""

import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chain import LIMIT_MS, NEVER, RECOVERY, Chain, is_excused
from tests.faults.ear import LIVE, METER_STATUS, NODE_STATUS, TOLD_WITHIN
from tests.soak.verdict import served_badly

from .board import Board

SAMPLE: Final = 0.2
"""Seconds between two looks at the inverter and the statuses."""
SLACK: Final = 0.8
"""Seconds that a look, the broker and a busy machine may add to the time in which a status must be right."""
LINES_A_MINUTE: Final = 3.0
LINES_A_CHANGE: Final = 4
"""Log lines of a service for each change: the broker (or the port) and the data are gone, and both are back."""


@dataclass
class Steady:
    """Whether data flows, and since when that has been so and the status another. None: neither flows nor dry."""

    flows: bool | None = None
    since: float = field(default_factory=time.monotonic)

    def see(self, flows: bool | None) -> None:
        """Take in a look."""
        if flows is not self.flows:
            self.flows, self.since = flows, time.monotonic()

    def restart(self) -> None:
        """What was before does not count, or the status is right."""
        self.since = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has been so."""
        return time.monotonic() - self.since


class Bench:
    """The chain of one scene."""

    def __init__(self, chain: Chain, board: Board, chance: random.Random, longest: float) -> None:
        """`longest`: seconds that one fault may last at most."""
        self.chain = chain
        self.board = board
        self.chance = chance
        self.longest = longest
        self.changes = 0
        self.slowest = 0.0
        self.found: list[str] = []
        self._unreported: set[str] = set()
        self._steady = {METER_STATUS: Steady(), NODE_STATUS: Steady()}
        self._outcomes: dict[str, int] = chain.inverter.status()["outcomes"]
        self._begun = time.monotonic()
        self._lines = {service.module: len(service.log_text().splitlines()) for service in self._services}

    @property
    def _services(self) -> Any:
        return self.chain.publisher, self.chain.server

    @property
    def status(self) -> dict[str, Any]:
        """The inverter's."""
        return self.chain.inverter.status()

    def watch(self, seconds: float) -> None:
        """Let time go by, and look at the statuses meanwhile."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(SAMPLE, left))  # what is watched is time itself
            self._look()

    def between(self, least: float, most: float) -> float:
        """So many seconds, by chance, and no more than a fault may last."""
        return self.chance.uniform(least, max(least, min(most, self.longest)))

    @contextmanager
    def unreported(self, *topics: str) -> Iterator[None]:
        """Meanwhile nobody can report these statuses: the broker is away, or their service stands still."""
        self._unreported |= set(topics)
        yield
        self._unreported -= set(topics)
        for topic in set(topics) & set(self._steady):
            self._steady[topic].restart()

    def recovered(self, what: str, within: float = RECOVERY, changes: int = 1) -> None:
        """Data flows again, in time, after so many changes."""
        self.changes += changes
        seconds = self.chain.await_good(5, within=within + 5)
        self.slowest = max(self.slowest, seconds)
        if seconds > within:
            self.found.append(f"data flowed {seconds:.1f} s after {what}")
        for topic in set(self._steady) - self._unreported:
            self._steady[topic].restart()
        self._outcomes = self.status["outcomes"]

    def problems(self) -> list[str]:
        """All that may not stand."""
        others = [problem for problem in served_badly(self.status) if problem.split()[-1] not in NEVER]
        return [*self.found, *others, *self._never()[:10], *self._too_many_lines()]

    def _never(self) -> list[str]:
        """What the inverter should never have got, as it noted it."""
        found = []
        for line in self.chain.inverter.log.read_text().splitlines():
            noted = json.loads(line)
            if noted.get("outcome") in NEVER and not is_excused(noted):
                found.append(line)
        return found

    def logged(self) -> dict[str, int]:
        """Lines of each service since the begin."""
        return {one.module: len(one.log_text().splitlines()) - self._lines[one.module] for one in self._services}

    def _too_many_lines(self) -> list[str]:
        minutes = (time.monotonic() - self._begun) / 60
        most = LINES_A_MINUTE * max(1.0, minutes) + LINES_A_CHANGE * self.changes
        noisy = [
            f"{name} logged {lines} lines, at most {most:.0f}" for name, lines in self.logged().items() if lines > most
        ]
        return noisy + [f"{one.module}: a traceback" for one in self._services if "Traceback" in one.log_text()]

    def _look(self) -> None:
        outcomes = self.status["outcomes"]
        got = {name: count - self._outcomes.get(name, 0) for name, count in outcomes.items()}
        self._outcomes = outcomes
        good = got.pop("good", 0)
        self._judge(NODE_STATUS, None if bool(good) is any(got.values()) else bool(good))
        age = self.board.age(LIVE)
        self._judge(METER_STATUS, True if age < 1.0 else False if age > LIMIT_MS / 1000 else None)

    def _judge(self, topic: str, flows: bool | None) -> None:
        steady = self._steady[topic]
        steady.see(flows)
        newest = self.board.payload(topic)
        if flows is None or newest == (b"online" if flows else b"offline"):
            steady.restart()
        elif topic not in self._unreported and steady.seconds > TOLD_WITHIN + SLACK:
            what = "flows" if flows else "has stopped"
            self.found.append(f"{topic} is {newest.decode()!r} for {steady.seconds:.1f} s though data {what}")
            steady.restart()
