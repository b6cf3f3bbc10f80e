"""What an inverter holds of the meter at each moment: ages of values, made from the answers that it received [core].

An age is the time since the meter measured the value. `NOTHING` stands for a refusal, silence, or no answer yet.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from random import Random
from typing import Final, NamedTuple, TypeAlias

Series: TypeAlias = "array[float]"
"""A number for each step of the house."""
STEP: Final = 0.1
"""Seconds between two steps of the house."""
NOTHING: Final = -1.0
"""In place of an age: the inverter holds no value that it may use."""
FORGOTTEN_AFTER: Final = 1.0
"""Seconds without any answer after which the inverter has no value: it requests one every 0.16 s."""


class Answer(NamedTuple):
    """The inverter received one, at a time in seconds."""

    at: float
    measured: float | None
    """When the meter measured what it holds; None: refused."""


@dataclass(frozen=True, slots=True)
class Recording:
    """What a chain answered from 0 to `seconds`."""

    answers: Sequence[Answer]
    seconds: float


@dataclass(frozen=True, slots=True)
class Episode:
    """A recording with an outage from `begins` on, for `outage` seconds; all is well again before it ends."""

    recording: Recording
    begins: float
    outage: float


@dataclass(frozen=True, slots=True)
class Outage:
    """One of a day's outages."""

    at: float
    seconds: float


def ages(recording: Recording, offset: float = 0.0) -> Series:
    """Return the age at each step of a recording, whose steps begin at `offset` seconds."""
    count = int((recording.seconds - offset) / STEP)
    found = array("d", [NOTHING]) * count
    answers, at = recording.answers, -1
    for step in range(count):
        now = offset + step * STEP
        while at + 1 < len(answers) and answers[at + 1].at <= now:
            at += 1
        if at >= 0:
            found[step] = _age(answers[at], now)
    return found


def _age(newest: Answer, now: float) -> float:
    if newest.measured is None or now - newest.at > FORGOTTEN_AFTER:
        return NOTHING
    return now - newest.measured


def constant(age: float, seconds: float) -> Series:
    """Return a feed whose values are always that old; 0 is a perfect one."""
    return array("d", [age]) * round(seconds / STEP)


def over_days(
    usual: Recording, seconds: float, seed: str, outages: Sequence[Outage] = (), episodes: Sequence[Episode] = ()
) -> Series:
    """Return the ages of some days: `usual` again and again, each time from another moment, `episodes` in outages.

    An outage takes the episode that lasts as long as it does; ValueError where there is none.
    """
    random = Random(f"{seed}/moments")
    wanted, days = round(seconds / STEP), array("d")
    while len(days) < wanted:
        days += ages(usual, random.uniform(0.0, usual.seconds / 2))
    del days[wanted:]
    kinds = {episode.outage: episode for episode in episodes}
    for outage in outages:
        if outage.seconds not in kinds:
            raise ValueError(f"no recording of an outage of {outage.seconds:g} s")
        _insert(days, kinds[outage.seconds], outage.at, random.uniform(0.0, STEP))
    return days


def _insert(days: Series, episode: Episode, at: float, offset: float) -> None:
    """Replace what there is by the episode, from the begin of its outage on."""
    inserted = ages(episode.recording, offset)[round(episode.begins / STEP) :]
    first = round(at / STEP)
    inserted = inserted[: len(days) - first]
    days[first : first + len(inserted)] = inserted


def draw_outages(seconds: float, share: float, lengths: Sequence[float], rest: float, seed: str) -> list[Outage]:
    """Return outages that make up `share` of the time, of each length as many; `rest` seconds lie between two at least.

    ValueError where they do not fit.
    """
    random = Random(f"{seed}/outages")
    rounds = max(1, round(seconds * share / sum(lengths)))
    drawn = [length for length in lengths for _ in range(rounds)]
    random.shuffle(drawn)
    free = seconds - sum(drawn) - rest * len(drawn)
    if free <= 0:
        raise ValueError(f"{seconds:g} s are too few for {len(drawn)} outages")
    gaps = sorted(random.uniform(0.0, free) for _ in drawn)
    found, before = [], 0.0
    for gap, length in zip(gaps, drawn, strict=True):
        found.append(Outage(float(ceil(gap + before)), length))
        before += length + rest
    return found
