"""All cases of an evaluation: which feed, with or without outages, which control; each day on its own."""

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Final

from evaluation.feed import NOTHING, STEP, Episode, Recording, Series, ages, constant, draw_outages, over_days

from . import profile
from .chains import CHAINS, OUTAGES, episode, usual
from .house import REACTS_AFTER, Control, Energy, Inverter, Lost, live

SKIES: Final[tuple[profile.Sky, ...]] = ("clear", "broken clouds", "overcast")
"""One day of each."""
CONTROLS: Final[tuple[Control, ...]] = ("follows", "corrects")
SHARE: Final = 0.01
"""Of a day, in outages."""
REST: Final = 70.0
"""Seconds between two outages at least: an episode goes on for 60 s after its outage."""
CABLE: Final = "cable"
NO_AGE: Final = "a value without age"
FEEDS: Final = (NO_AGE, *CHAINS)
_OFFSETS: Final = 20
"""Moments within a step from which a recording's ages are looked at."""


@dataclass(frozen=True, slots=True)
class Case:
    """One way to run the house."""

    feed: str
    control: Control
    outages: bool = False
    lost: Lost = "idles"
    slower: bool = False
    """The inverter needs all of `REACTS_AFTER` by itself, on top of what the cable needs."""


@dataclass(frozen=True, slots=True)
class Feed:
    """What was recorded of one."""

    usual: Recording
    episodes: tuple[Episode, ...]


@dataclass(frozen=True, slots=True)
class Age:
    """How old values are, in seconds."""

    mean: float
    p99: float


@dataclass(slots=True)
class Evaluation:
    """Everything that the document is made of. `days[case]` has one `Energy` for each of `SKIES`."""

    seed: str
    dead: float
    """Seconds of `REACTS_AFTER` that are the inverter's own: what is left of it after the cable's mean age."""
    ages: dict[str, Age] = field(default_factory=dict)
    days: dict[Case, list[Energy]] = field(default_factory=dict)

    def needless(self, case: Case) -> float:
        """Return kWh a day."""
        return _mean(day.needless for day in self.days[case])

    def bought(self, case: Case) -> float:
        return _mean(day.bought_needlessly for day in self.days[case])

    def sold(self, case: Case) -> float:
        return _mean(day.sold_needlessly for day in self.days[case])

    def over_cable(self, case: Case) -> float:
        """Return by how much it is more than the same inverter with an unbroken cable, in kWh a day."""
        return self.needless(case) - self.needless(replace(case, feed=CABLE, outages=False, lost="idles"))


def all_cases() -> list[Case]:
    """Return the cases, the variations of assumptions last."""
    cases = [
        Case(feed, control, outages)
        for outages in (False, True)
        for control in CONTROLS
        for feed in FEEDS
        if not (outages and feed == NO_AGE)
    ]
    for control in CONTROLS:
        cases += [Case(feed, control, True, lost="holds") for feed in (CABLE, "AirBridge, push", "AirBridge, polling")]
        cases += [Case(feed, control, slower=True) for feed in FEEDS[1:]]
    return cases


def record(name: str, seed: str) -> Feed:
    """Run one chain: without an outage, and with each kind of outage."""
    return Feed(usual(name, f"{seed}/usual"), tuple(episode(name, f"{seed}/{length:g}", length) for length in OUTAGES))


def age(recording: Recording) -> Age:
    """Return how old the inverter's value is, at all times alike."""
    found = sorted(one for at in range(_OFFSETS) for one in ages(recording, at * STEP / _OFFSETS) if one != NOTHING)
    return Age(_mean(found), found[int(len(found) * 0.99)])


def evaluate(seed: str, pool: Executor) -> Evaluation:
    """Record all feeds, then run all cases."""
    feeds = dict(zip(CHAINS, pool.map(partial(record, seed=seed), CHAINS), strict=True))
    known = {name: age(feed.usual) for name, feed in feeds.items()} | {NO_AGE: Age(0.0, 0.0)}
    found = Evaluation(seed, REACTS_AFTER - known[CABLE].mean, known)
    jobs = [(case, day) for case in all_cases() for day in range(len(SKIES))]
    work = partial(_run, seed=seed, dead=found.dead)
    energies = pool.map(work, jobs, [feeds.get(case.feed) for case, _ in jobs], chunksize=len(SKIES))
    for (case, _), energy in zip(jobs, energies, strict=True):
        found.days.setdefault(case, []).append(energy)
    return found


def a_day(case: Case, feed: Feed | None, day: int, seed: str) -> Series:
    """Return the ages of the case's feed on that day. All feeds have the same outages."""
    if feed is None:
        return constant(0.0, profile.DAY)
    seed = f"{seed}/{day}"
    outages = draw_outages(profile.DAY, SHARE, OUTAGES, REST, seed) if case.outages else ()
    return over_days(feed.usual, profile.DAY, seed, outages, feed.episodes)


def _run(job: tuple[Case, int], feed: Feed | None, *, seed: str, dead: float) -> Energy:
    case, day = job
    load, sun = _weather(day, seed)
    inverter = Inverter(REACTS_AFTER if case.slower else dead, case.control, case.lost)
    return live(load, sun, a_day(case, feed, day, seed), inverter)


@cache
def _weather(day: int, seed: str) -> tuple[Series, Series]:
    return profile.load(day, seed), profile.pv(SKIES[day], day, seed)


def _mean(values: Iterable[float]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)
