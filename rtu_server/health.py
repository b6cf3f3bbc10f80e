"""Health of a node: whether each inverter requests and gets data, as a state and reasons a user can act on [core].

From that and the counters come the node's health message and its list of requests.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Final, Literal

from ksem_contract.blocks import touches_map
from ksem_contract.health import (
    MAX_ENTRIES,
    HealthCondition,
    LinkHealth,
    NoData,
    NodeHealth,
    RequestEntry,
    RequestsMessage,
    Transit,
    UnitHealth,
)
from ksem_contract.mac import MacFault
from ksem_contract.reasons import Reason, sentence
from rtu_server.counters import LineCounters, percentiles_ms, requested_range

BLOCK_WITHIN: Final = 1.0
"""Seconds without any block after which health names the network, not the blocks, as the reason."""
REQUESTED_WITHIN: Final = 5.0
"""Seconds without a request after which the inverter counts as silent."""
SERVED_WITHIN: Final = 1.0
"""A refusal counts once no data was given for this long before it; an odd range between others does not."""

State = Literal["ok", "degraded", "down"]


@dataclass(frozen=True, slots=True)
class UnitView:
    """What is known about one unit at one moment. Times in seconds of CLOCK_BOOTTIME, None = never."""

    line: str
    unit: int
    meter: str
    topic: str
    """Where the meter's topics begin, as `ksem/main`."""
    enabled: bool
    port_up: bool
    port_reasons: tuple[Reason, ...]
    broker_up: bool
    broker_reasons: tuple[Reason, ...]
    meter_online: bool | None
    fresh_since: float | None
    """Since when the vital data has been fresh without a break; None = it is not."""
    last_received: float | None
    last_block: float | None
    undated: bool
    """Blocks arrive from a publisher that has answered no ping."""
    last_request: float | None
    last_data: float | None
    foreign_or_noise: int
    listening_since: float = -inf
    """Since when a request could have been received: the port is open, the process did not stall."""
    port: str = ""
    unsent_since: float | None = None
    """Since when no answer has left the port, though some were due."""
    bad_mac: MacFault | None = None
    """What was wrong with the newest message with a bad code, lately."""
    has_key: bool = False
    silenced: str = ""
    """What was wrong with an answer of this unit; it has been silent since."""
    stay: float = 0.0
    refuses_until: float = -inf
    """Until when data is refused, fresh or not, because live data had to be refused before (`stay`)."""
    withheld: bool = False
    """A drill withholds data from the inverter."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ok`: the inverter requests and gets data; `degraded`: data is ready, nothing is requested; `down`: no data."""

    state: State
    reasons: tuple[Reason, ...]
    waiting: bool = False
    """It is too early to judge: nothing is reported yet."""

    @property
    def why(self) -> str:
        """The reasons as text."""
        return sentence(self.reasons)

    @property
    def is_served(self) -> bool:
        """Whether the inverter requested within 5 s and gets data: the meaning of the node's status topic."""
        return self.state == "ok"


OK: Final = Verdict("ok", (Reason.of("inverter-served"),))
TCP_OK: Final = Verdict("ok", (Reason.of("tcp-served"),))


def judge(view: UnitView, now: float) -> Verdict:
    """Return the first thing that keeps data from the inverter, and the remedy."""
    return _without_data(view, now) or _without_requests(view, now) or OK


def judge_tcp(view: UnitView, now: float) -> Verdict:
    """Return the first thing that keeps data from a Modbus TCP server's clients, whether they request any or not."""
    return _without_data(view, now) or TCP_OK


def _without_data(view: UnitView, now: float) -> Verdict | None:
    here = {"unit": view.unit, "line": view.line}
    if not view.enabled:
        return Verdict("degraded", (Reason.of("unit-off", **here),))
    if view.silenced:
        return Verdict("down", (Reason.of("unit-silenced", **here, error=view.silenced),))
    if not view.port_up:
        return Verdict("down", (Reason.of("unit-has-no-port", **here), *view.port_reasons))
    if view.withheld:
        return Verdict("degraded", (Reason.of("unit-drill", **here),))
    if _is_stuck(view, now):
        return Verdict("down", (Reason.of("port-stuck", **here, port=view.port),))
    if view.fresh_since is None:
        return Verdict("down", _why_no_data(view, now))
    if now < view.refuses_until:
        return Verdict("down", (Reason.of("unit-stays", **here, stay=f"{view.stay:g}"),))
    return None


def _without_requests(view: UnitView, now: float) -> Verdict | None:
    here = {"unit": view.unit, "line": view.line}
    if view.last_request is None or now - view.last_request > REQUESTED_WITHIN:
        if now - view.listening_since <= REQUESTED_WITHIN:
            return Verdict("degraded", (Reason.of("inverter-awaited", **here),), waiting=True)
        return Verdict("degraded", (_why_not_requested(view),))
    fresh_since = view.fresh_since or 0.0
    if view.last_request - max(fresh_since, view.last_data or fresh_since) > SERVED_WITHIN:
        return Verdict("degraded", (Reason.of("requests-refused", **here),))
    return None


def _is_stuck(view: UnitView, now: float) -> bool:
    """The inverter sends requests, and for a while no answer has left the port."""
    if view.unsent_since is None or view.last_request is None or now - view.last_request > REQUESTED_WITHIN:
        return False
    return now - view.unsent_since > SERVED_WITHIN


def _why_no_data(view: UnitView, now: float) -> tuple[Reason, ...]:
    here = {"unit": view.unit, "line": view.line}
    if not view.broker_up:
        return (Reason.of("node-without-broker", **here), *view.broker_reasons)
    meter = {**here, "meter": view.meter}
    if view.last_received is None:
        return (Reason.of("meter-unknown", **meter, topic=view.topic),)
    if view.meter_online is False:
        return (Reason.of("meter-offline", **meter),)
    if view.bad_mac is not None:
        return (why_refused(view.meter, view.bad_mac, has_key=view.has_key),)
    if view.last_block is None or now - view.last_block > BLOCK_WITHIN:
        return (Reason.of("blocks-missing", **meter, topic=view.topic),)
    if view.undated:
        return (Reason.of("blocks-undated", **meter, topic=view.topic),)
    return (Reason.of("blocks-too-old", **meter),)


def why_refused(meter: str, fault: MacFault, *, has_key: bool) -> Reason:
    """Name what is wrong with messages about a meter with a bad code, and the remedy."""
    if fault is MacFault.MISSING:
        return Reason.of("mac-missing", meter=meter)
    if fault is MacFault.KEYLESS:
        return Reason.of("mac-without-key", meter=meter)
    return Reason.of("mac-of-another-key" if has_key else "mac-of-unknown-key", meter=meter)


def _why_not_requested(view: UnitView) -> Reason:
    here = {"unit": view.unit, "line": view.line}
    if view.last_request is not None:
        return Reason.of("inverter-stopped", **here)
    return Reason.of("inverter-unreadable" if view.foreign_or_noise else "inverter-silent", **here)


FORGOTTEN_AFTER: Final = 3600.0
"""Seconds after which a range that is no longer requested leaves the list."""
DEMANDED_FOR: Final = 60.0
"""Seconds for which a range that no block holds remains requested of the meter."""
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
    """The node's state, which is its worst unit's, and the reasons of all units, the worst unit's first."""

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
    tcp: Iterable[UnitHealth] = (),
    broker: LinkHealth,
    transit: Mapping[str, Transit],
    no_data: NoData | None = None,
    now: float,
) -> NodeHealth:
    """Build the health message. Modbus TCP servers don't count for the node's state."""
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
        tcp=tuple(tcp),
        transit=transit,
        no_data=no_data,
    )


def requests_message(reports: Iterable[UnitReport], now: float) -> RequestsMessage:
    """List the requests of the last hour, the most frequent first.

    Where there is no room for all, ranges that the meter must be polled for stay, then the newest.
    """
    entries = []
    for report in reports:
        view = report.view
        for frame, requested in list(report.counters.units[view.unit].requested.items()):
            ago = max(0.0, now - requested.last)
            function, wanted = requested_range(frame)
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
                    per_s=round(requested.rate(now), 2),
                    last=requested.outcome,
                    last_ago_ms=int(1000 * ago),
                    demanded=function == 3 and wanted is not None and not touches_map(wanted) and ago <= DEMANDED_FOR,
                )
            )
    entries.sort(key=lambda entry: (not entry.demanded, entry.last_ago_ms))
    left_out = len(entries[MAX_ENTRIES:])
    return RequestsMessage(tuple(sorted(entries[:MAX_ENTRIES], key=lambda entry: -entry.per_s)), left_out)


def tcp_health(report: UnitReport, now: float) -> UnitHealth:
    """Return the health of one unit of a Modbus TCP server."""
    return _unit_health(report, judge_tcp(report.view, now), now)


def _unit_health(report: UnitReport, verdict: Verdict, now: float) -> UnitHealth:
    view, line = report.view, report.counters
    counters = line.units[view.unit]
    outcomes = dict(counters.outcomes)
    last = counters.last_request
    return UnitHealth(
        line=view.line,
        unit=view.unit,
        meter=view.meter,
        port=report.port,
        state=verdict.state,
        reasons=verdict.reasons[:1],  # `port`, and the node's `broker`, hold its causes
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
