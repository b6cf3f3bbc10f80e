"""Puts faults back that the services once had, one at a time, and measures how long the simulation takes to find each.

`python -m simulation.put_back` prints a table; exit code 1 where one is not found.
"""

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Final

from .altered import SEEDS, Edit, Verdict, edited, judge


@dataclass(frozen=True, slots=True)
class PutBack:
    """A fault in one sentence, and the edits that bring it back."""

    sentence: str
    edits: tuple[Edit, ...]


def _one(sentence: str, *texts: tuple[str, str]) -> PutBack:
    return PutBack(sentence, tuple(Edit(old, new) for old, new in texts))


FAULTS: Final = (
    _one(
        "A block from the future disproves a clock, and what that clock dated is served on.",
        ("        self._clocks.clear()\n        self.state = Served()\n        for each in", "        for each in"),
        ("        if late:\n            self._responder.doubt_clock(self._looked)\n", ""),
    ),
    _one(
        "Newer bytes do not void a request: it is answered behind another unit's frames.",
        ("            self._supersede(len(data))\n", ""),
        ("elif not event.superseded and not self._deaf:", "elif not self._deaf:"),
    ),
    _one(
        "Bytes are dated by the look that found them, so an answer may begin after the stall limit.",
        (
            "events = self._reader.feed(data, now, since)\n            if",
            "events = self._reader.feed(data, now)\n            if",
        ),
        (
            "        if now - since > STALL:\n            if data:",
            "        if now - since > 50 * STALL:\n            if data:",
        ),
    ),
    _one(
        "An answer counts as given once it is written, though a stuck port never sends it.",
        (
            "            self._sending, self._sending_since, self._watched = given, request.since, 0\n",
            "            self.given.append(given)\n",
        ),
    ),
    _one(
        "Without a vital limit a restarted publisher's session is never taken.",
        ("        return lasts > now and (lasts, _newest(blocks)) > served", "        return lasts > served[0]"),
        (
            "        return self._has_ended or now >= min(self.state.vital_expires, self._last_block + SILENT)",
            "        return now >= self.state.vital_expires",
        ),
    ),
    _one(
        "An answer that waited is written however old its request is.",
        (
            '        if now - request.since > STALL:\n            self._counters.stalls += 1\n            return b""\n',
            "",
        ),
        ("        if not self._is_due() or now - self._looked > LATE:", "        if not self._is_due():"),
        (
            "        if now - since > STALL:\n            if data:",
            "        if now - since > 50 * STALL:\n            if data:",
        ),
    ),
    _one(
        "After opening and after a stall the line counts as silent: the middle of another unit's reply is answered.",
        (
            "        self._at = now\n        self._after_gap = False\n        self._crowded = False\n",
            "        self._at = now\n        self._after_gap = True\n        self._crowded = False\n",
        ),
        (
            "        self._resynchronise(now)\n        self._deaf = True",
            "        self._resynchronise(now)\n        self._deaf = False",
        ),
        ("resynced = unclear or self._begin > GLITCH", "resynced = False"),
    ),
    _one(
        "A frame's silence is 1.75 ms at any speed.",
        ("self._silence = max(self._timing.gap, self", "self._silence = max(0.00175, self"),
    ),
    _one(
        "A session that answers no ping is pinged four times a second for ever.",
        ("wait.due, wait.step = now + wait.step, min(2 * wait.step, PING_EVERY)", "wait.due = now + wait.step"),
    ),
    _one(
        "Words between the groups come from the cycle before though this one's writes brought them.",
        (
            "known if word is None else word for word, known in zip(cycle,",
            "word if known is None else known for word, known in zip(cycle,",
        ),
    ),
    _one(
        "A block that was measured before the one held replaces it.",
        ("            if held is not None and measured < held.measured:\n                return False\n", ""),
    ),
    _one(
        "Pushes count without a look at what the meter answers to polls.",
        (
            "        return not self._queued and not self._plan.is_unconfirmed and self._agreement.counts(now)",
            "        return True",
        ),
    ),
    _one(
        "Where nothing shows a cycle's end, the longest silence counts.",
        (
            '    ambiguous = Undecided(Reason.of("cycle-ambiguous"), length)\n    by_silence',
            "    ambiguous = _longest(range(length), silences)\n    by_silence",
        ),
    ),
    _one(
        "A device that does not identify itself counts as the meter.",
        (
            "        if self._unknown or self.foreign:\n            return self._begin",
            "        if self.foreign:\n            return self._begin",
        ),
        (
            """\
        self._held[result.name] = result
        if self._device.refused is None:
            self._device.due = now
        return ()""",
            "        return (result,)",
        ),
        (
            "        if self._unknown or self.foreign:\n            return max",
            "        if self.foreign:\n            return max",
        ),
    ),
    _one(
        "A meter whose clock no time service has set is no KSEM.",
        (
            "    interval = registers[MEASURING_INTERVAL - DEVICE.start]\n    low, high = INTERVAL_LIMITS\n",
            """\
    interval = registers[MEASURING_INTERVAL - DEVICE.start]
    low, high = INTERVAL_LIMITS
    if not registers[54]:
        return "its clock is wrong"
""",
        ),
    ),
    _one(
        "A meter that has no register behind the measuring interval is polled for them for ever.",
        ("code in _ILLEGAL and requested.begin is device_reading:", "code in _ILLEGAL and requested is None:"),
    ),
    _one(
        "A read that a busy meter refuses is not sent again at once.",
        (
            """\
        if 0 < self._busy <= AT_ONCE:
            return Rejection(name, given_up=False)
        self._busy = 0
""",
            "",
        ),
    ),
    _one(
        "A power of all ones, which is no value, passes.",
        ("            if power > MOST_POWER:\n", "            if power > 0xFFFF_FFFF:\n"),
    ),
    _one(
        "Nothing at the port shows that this host was paused.",
        (
            "        if late:\n            self._responder.doubt_clock",
            "        if late and ours < 0:\n            self._responder.doubt_clock",
        ),
    ),
    _one(
        "A publisher that was silent for long is pinged as seldom as before.",
        (
            "        if session in waiting and now - waiting[session].wanted <= RETURNED:",
            "        if session in waiting:",
        ),
    ),
    _one(
        "Cycles that leave the meter's queue after a break count as new.",
        (
            "if before is not None and self._is_break(now",
            "if before is not None and before.source != source and self._is_break(now",
        ),
        ("            if interval >= _SOON * self.period:", "            if interval >= 0:"),
    ),
    _one(
        "A pong counts though a newer one of its session came before it.",
        (" or sent <= self._counted.get(session, -inf):", ":"),
        ("        self._sent.clear()\n", "        pass\n"),
    ),
    _one(
        "Blocks of a session that no echo has dated are served as if they were new.",
        (
            "        if clock is None or session != self.state.session:",
            """\
        if clock is None:
            clock = EchoClock()
            clock.add_echo(now, now, message.boot_ms)
        if False:""",
        ),
    ),
    _one(
        "Another session takes over while the served one's data is good.",
        ("not (self._is_gone(now) and self._better(session, now)):", "not self._better(session, now):"),
    ),
)


def _verdicts(faults: tuple[PutBack, ...], seeds: int, jobs: int) -> Iterator[tuple[PutBack, Verdict]]:
    with ThreadPoolExecutor(jobs) as pool:
        under_way = {pool.submit(judge, edited(one.edits), seeds=seeds): one for one in faults}
        for done in as_completed(under_way):
            yield under_way[done], done.result()


def main() -> int:
    """Exit code 1 where a fault is not found."""
    parser = argparse.ArgumentParser(prog="python -m simulation.put_back", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"tried for each (default {SEEDS}, a day)")
    parser.add_argument("--jobs", type=int, default=2, help="faults at a time (default 2)")
    parser.add_argument("--only", default="", help="only faults whose sentence holds this")
    options = parser.parse_args()
    faults = tuple(one for one in FAULTS if options.only in one.sentence)
    missed = 0
    for one, verdict in _verdicts(faults, options.seeds, options.jobs):
        missed += not verdict.found
        found = f"{verdict.seconds:6.1f} s" if verdict.found else "  not found"
        print(f"{found}  {one.sentence}\n           {verdict.what}", flush=True)
    print(f"{len(faults) - missed} of {len(faults)} found")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
