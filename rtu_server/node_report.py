"""What a node tells about itself on MQTT: health and requests, made of its counters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ksem_contract.blocks import touches_map
from ksem_contract.health import HealthCondition, LinkHealth, NodeHealth, Transit, UnitHealth
from ksem_contract.reasons import Reason, sentence
from ksem_contract.requests import MAX_ENTRIES, RequestEntry, RequestsMessage

from .line_counters import LineCounters, asked_range, percentiles_ms
from .settings import UnitSettings
from .unit_state import UnitView, Verdict, judge

FORGOTTEN_AFTER: Final = 3600.0
"""Seconds after which a request that is asked no more leaves the list."""
DEMANDED_FOR: Final = 60.0
"""Seconds for which a range that no block holds goes on being asked of the meter."""
MAX_WHY: Final = 1500
"""Characters of all sentences in one health message; readers take 2000."""
WORST: Final[tuple[HealthCondition, ...]] = ("ok", "degraded", "down")


@dataclass(frozen=True, slots=True)
class UnitReport:
    """One unit: what is known of it, its counters, its port."""

    view: UnitView
    counters: LineCounters
    port: LinkHealth


@dataclass(frozen=True, slots=True)
class Overall:
    """The node's state: that of its worst unit, and the reasons of all, those of the worst first."""

    state: HealthCondition
    reasons: tuple[Reason, ...]
    waiting: bool = False

    @property
    def why(self) -> str:
        """Their sentences, or as many as readers take, and how many more there are."""
        if len(text := sentence(self.reasons)) <= MAX_WHY:
            return text
        fit = max(1, sum(len(sentence(self.reasons[: n + 1])) <= MAX_WHY for n in range(len(self.reasons))))
        return sentence(self.reasons[:fit])[:MAX_WHY] + f"; and {len(self.reasons) - fit} more"


def overall(verdicts: Iterable[Verdict]) -> Overall:
    """Join the verdicts of one unit or more."""
    judged = list(verdicts)
    worst = max((verdict.state for verdict in judged), key=WORST.index)
    waiting = all(verdict.waiting for verdict in judged if verdict.state == worst)
    lacking = [verdict for verdict in judged if verdict.state != "ok"] or judged
    lacking.sort(key=lambda verdict: -WORST.index(verdict.state))
    reasons = tuple(dict.fromkeys(reason for verdict in lacking for reason in verdict.reasons))
    return Overall(worst, reasons, waiting)


def node_health(
    reports: Iterable[UnitReport],
    node: Overall,
    *,
    version: str,
    since: str,
    doors: Iterable[UnitHealth] = (),
    broker: LinkHealth,
    transit: Mapping[str, Transit],
    now: float,
) -> NodeHealth:
    """Put the health message together. Doors don't count for the node's state."""
    reports = list(reports)
    verdicts = [judge(report.view, now) for report in reports]
    return NodeHealth(
        version=version,
        since=since,
        state=node.state,
        why=node.why,
        reasons=node.reasons,
        broker=broker,
        units=tuple(_unit_health(report, verdict, now) for report, verdict in zip(reports, verdicts, strict=True)),
        doors=tuple(doors),
        transit=transit,
    )


def requests_message(reports: Iterable[UnitReport], now: float) -> RequestsMessage:
    """List what was asked within the last hour, the most frequent first.

    Where there is no room for all, what the meter is to be asked for stays, then what came last.
    """
    entries = []
    for report in reports:
        view = report.view
        for frame, asked in list(report.counters.units[view.unit].asked.items()):
            ago = max(0.0, now - asked.last)
            function, wanted = asked_range(frame)
            if ago > FORGOTTEN_AFTER:
                continue
            # A frame of 8 bytes and more has an address and a count; in a shorter one their place holds its CRC.
            start, count = (frame[2:4], frame[4:6]) if len(frame) >= 8 else (b"", b"")
            entries.append(
                RequestEntry(
                    line=view.line,
                    unit=view.unit,
                    meter=view.meter,
                    function=function,
                    start=wanted.start if wanted else int.from_bytes(start),
                    count=wanted.count if wanted else int.from_bytes(count),
                    per_s=round(asked.rate(now), 2),
                    last=asked.outcome,
                    last_ago_ms=int(1000 * ago),
                    demanded=function == 3 and wanted is not None and not touches_map(wanted) and ago <= DEMANDED_FOR,
                )
            )
    entries.sort(key=lambda entry: (not entry.demanded, entry.last_ago_ms))
    left_out = len(entries[MAX_ENTRIES:])
    return RequestsMessage(tuple(sorted(entries[:MAX_ENTRIES], key=lambda entry: -entry.per_s)), left_out)


def door_health(
    name: str, unit: UnitSettings, counters: LineCounters, port: LinkHealth, fresh_since: float | None, now: float
) -> UnitHealth:
    """Tell how one unit behind a TCP door is: fine while readers could have data, whether they ask or not."""
    up = port.state == "up" and fresh_since is not None
    verdict = Verdict("ok" if up or not unit.enabled else "down", ())
    return _health_of(name, unit.id, unit.meter, port, verdict, counters, now)


def _unit_health(report: UnitReport, verdict: Verdict, now: float) -> UnitHealth:
    view = report.view
    return _health_of(view.line, view.unit, view.meter, report.port, verdict, report.counters, now)


def _health_of(
    name: str, unit: int, meter: str, port: LinkHealth, verdict: Verdict, line: LineCounters, now: float
) -> UnitHealth:
    counters = line.units[unit]
    outcomes = dict(counters.outcomes)
    last = counters.last_request
    return UnitHealth(
        line=name,
        unit=unit,
        meter=meter,
        port=port,
        state=verdict.state,
        reasons=verdict.reasons[:1],  # its causes stand beside it: in `port`, and in the node's `broker`
        requests=counters.requests,
        data=outcomes.pop("data", 0),
        refused=outcomes,
        foreign=line.foreign,
        noise=line.noise,
        unsent=line.unsent,
        stalls=line.stalls,
        turnaround_ms=percentiles_ms(counters.turnarounds),
        age_ms=percentiles_ms(counters.ages),
        last_request_ago_ms=None if last is None else max(0, int(1000 * (now - last))),
        turnaround_histogram_ms=counters.turnaround_counts.histogram(),
        age_histogram_ms=counters.age_counts.histogram(),
    )
