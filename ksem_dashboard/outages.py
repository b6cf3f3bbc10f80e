"""Outages: from when to when something gave no data, how long in all, and why [core].

Breaks that follow one another closely are one outage: a link that flaps is one trouble, not a hundred. An outage is
over once its subject has been seen well for a minute without a break; what can't be seen meanwhile decides nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ksem_dashboard.faults import Fault, find_faults, is_believed_wrongly
from ksem_dashboard.picture import BridgeState

SETTLE: Final = 60.0
"""Seconds without a break after which an outage is over."""
_NOT_YET: Final = frozenset({"inverter-awaited"})
"""Reasons of what has just begun: an RTU server waits for the first requests for some seconds, and misses nothing."""
_MAX_STEP: Final = 5.0
"""Seconds between two looks that count at most: a host that was suspended saw nothing."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How a subject is. Neither well nor at fault: not known."""

    is_well: bool
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Outage:
    """One outage, until now or as a whole."""

    subject: str
    """What gives no data: `meter main`, `RTU server attic`, `broker`."""
    begun: float
    """Wall clock, seconds since 1970."""
    span_s: float
    """Seconds from the begin of the first break to the end of the last one, or until now."""
    down_s: float
    """Seconds without data in it."""
    breaks: int
    code: str
    """That of the reason which lasted longest; empty where the service gave none."""
    text: str
    remedy: str
    is_over: bool = False

    @property
    def ended(self) -> float:
        """Wall clock of the end of its last break."""
        return self.begun + self.span_s


def conditions(state: BridgeState, now: float) -> dict[str, Condition]:
    """How each known part of the chain is at `now` (CLOCK_BOOTTIME, seconds)."""
    bad: dict[str, Fault] = {}
    for fault in find_faults(state, now):
        if fault.severity == "bad" and fault.code not in _NOT_YET:
            bad.setdefault(fault.where, fault)
    up = bool(state.link_up)
    well = {"broker": up, "publisher": up and bool(state.meters)}
    well |= {f"meter {view.meter}": up and view.is_live(now) for view in state.meters.values()}
    well |= {
        f"RTU server {view.node}": up and view.status == "online" and view.runs(now) for view in state.nodes.values()
    }
    well |= {
        f"inverter {view.inverter}": up and view.believed(now) is not None and not is_believed_wrongly(view, now)
        for view in state.inverters.values()
    }
    return {subject: Condition(good and subject not in bad, bad.get(subject)) for subject, good in well.items()}


class _Open:
    """An outage that is not over. `now` is CLOCK_BOOTTIME in seconds."""

    def __init__(self, subject: str, begun: float, now: float) -> None:
        self.subject = subject
        self.begun = begun
        self.down_s = 0.0
        self.breaks = 1
        self.well_since: float | None = None
        self.absent_s = 0.0
        self._begun_at = self._last_bad = now
        self._seconds: dict[tuple[str, str], float] = {}
        self._faults: dict[tuple[str, str], Fault] = {}

    @classmethod
    def restored(cls, outage: Outage, now: float) -> "_Open":
        """One that was open when the service ended."""
        found = cls(outage.subject, outage.begun, now - outage.span_s)
        found.down_s, found.breaks = outage.down_s, outage.breaks
        found._last_bad = now
        found._note(Fault("bad", outage.subject, outage.text, outage.remedy, code=outage.code), outage.down_s)
        return found

    def on_fault(self, fault: Fault, now: float, step: float) -> None:
        if self.well_since is not None:
            self.breaks += 1
            self.well_since = None
        self.down_s += step
        self._last_bad = now
        self._note(fault, step)

    def on_well(self, now: float) -> float:
        """Return since when it has been well."""
        if self.well_since is None:
            self.well_since = self._last_bad = now
        return self.well_since

    def outage(self, *, is_over: bool = False) -> Outage:
        fault = self._faults[max(self._seconds, key=lambda key: self._seconds[key])]
        span = max(0.0, self._last_bad - self._begun_at)
        return Outage(
            self.subject, self.begun, span, self.down_s, self.breaks, fault.code, fault.text, fault.remedy, is_over
        )

    def _note(self, fault: Fault, seconds: float) -> None:
        key = (fault.code, fault.text if not fault.code else "")
        if key not in self._seconds and len(self._seconds) >= _MOST_REASONS:
            return
        self._seconds[key] = self._seconds.get(key, 0.0) + seconds
        self._faults[key] = fault


_MOST_REASONS: Final = 16


class OutageWatch:
    """Follows every subject; `step` is called each second or more often."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._last: float | None = None

    def restore(self, outages: Iterable[Outage], now: float) -> None:
        """Go on with what was open when the service ended a short time ago."""
        for outage in outages:
            self._open[outage.subject] = _Open.restored(outage, now)

    def step(self, found: Mapping[str, Condition], now: float, wall: float) -> list[Outage]:
        """Take in how all subjects are; return the outages that are over now. `wall`: seconds since 1970."""
        step = 0.0 if self._last is None else min(max(0.0, now - self._last), _MAX_STEP)
        self._last = now
        if "broker" in found and found["broker"].is_well:
            self._forget_given_up(found, step)
        finished = []
        for subject, condition in found.items():
            if condition.fault is not None:
                held = self._open.setdefault(subject, _Open(subject, wall, now))
                held.on_fault(condition.fault, now, step)
            elif subject in self._open and self._settled(subject, condition, now):
                finished.append(self._open.pop(subject).outage(is_over=True))
        return finished

    def current(self) -> list[Outage]:
        """The outages that are not over, the oldest first."""
        return sorted((held.outage() for held in self._open.values()), key=lambda outage: outage.begun)

    def _forget_given_up(self, found: Mapping[str, Condition], step: float) -> None:
        """Drop an outage of something that is known no more; right after the start, nothing is known yet."""
        for subject in self._open.keys() - found.keys():
            self._open[subject].absent_s += step
            if self._open[subject].absent_s > SETTLE:
                del self._open[subject]

    def _settled(self, subject: str, condition: Condition, now: float) -> bool:
        held = self._open[subject]
        if not condition.is_well:
            # Not known, as while another part of the chain is away: what was seen before counts no more.
            held.well_since = None if held.well_since is None else now
            return False
        return now - held.on_well(now) >= SETTLE


def shown_outages(seen: Iterable[Outage]) -> list[Outage]:
    """The outages that the history shows: those that were seen from here.

    The one place where an account of outages that an RTU server itself keeps can take the place of what was seen.
    """
    return list(seen)
