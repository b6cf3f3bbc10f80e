"""Renders the bridge's state as Prometheus metrics, through prometheus_client [shell].

Values of a meter are left out while they are old, as they are on MQTT: a scrape never shows an old power as new.
Names are by Prometheus's conventions; the tables of names end this file.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ksem_contract.health import HealthCondition, Histogram, LinkHealth, NoData, Percentiles, UnitHealth
from ksem_contract.reason_catalogue import ENGLISH
from ksem_dashboard.picture import BridgeState
from ksem_dashboard.views import InverterView, MeterView, NodeView
from service_runtime.version import VERSION

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_STATES: Final[tuple[HealthCondition, ...]] = ("ok", "degraded", "down")
_PHASES: Final = ("l1", "l2", "l3")
_MOST: Final = 16
"""Units, servers, blocks and checks of one message that become series: whoever may publish can't fill a database."""
_is_outcome = re.compile(r"stale|silent|exception-([1-8]|10|11)").fullmatch
_JOULES: Final = 3.6e6
"""Of a kWh."""


class _Families:
    """All families, filled from the bridge's state."""

    def __init__(self) -> None:
        self._gauges = {name: GaugeMetricFamily(name, text, labels=labels) for name, (text, labels) in GAUGES.items()}
        self._counters = {
            name: CounterMetricFamily(name, text, labels=labels) for name, (text, labels) in COUNTERS.items()
        }
        self._histograms = {
            name: HistogramMetricFamily(name, text, labels=labels) for name, (text, labels) in HISTOGRAMS.items()
        }

    def gauge(self, name: str, value: float | None, *labels: str) -> None:
        """One sample; none where the value is not known."""
        if value is not None:
            self._gauges[name].add_metric(labels, value)

    def count(self, name: str, value: float | None, *labels: str) -> None:
        if value is not None:
            self._counters[name].add_metric(labels, value)

    def state(self, name: str, value: str, *labels: str) -> None:
        for state in _STATES:
            self.gauge(name, state == value, *labels, state)

    def quantiles(self, name: str, times: Percentiles, *labels: str) -> None:
        for quantile, value in (("0.5", times.p50), ("0.99", times.p99), ("1", times.max)):
            self.gauge(name, None if value is None else value / 1000, *labels, quantile)

    def histogram(self, name: str, reported: Histogram | None, *labels: str) -> None:
        if reported is not None:
            bounds = (*(f"{bound / 1000:.6g}" for bound in reported.le), "+Inf")
            buckets = list(zip(bounds, map(float, reported.counts), strict=True))
            self._histograms[name].add_metric(labels, buckets, reported.sum / 1000)

    def filled(self) -> Iterator[Metric]:
        for family in (*self._gauges.values(), *self._counters.values(), *self._histograms.values()):
            if family.samples:
                yield family


class StateCollector(Collector):
    """Reads the bridge's state at each scrape."""

    def __init__(self, state: BridgeState, clock: Callable[[], float]) -> None:
        self._state = state
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        """All families that have a sample now."""
        state, now, families = self._state, self._clock(), _Families()
        families.gauge("ksem_dashboard_broker_up", bool(state.link_up))
        families.gauge("ksem_build_info", 1, "dashboard", "dashboard", VERSION)
        families.count("ksem_dashboard_messages", state.messages)
        families.count("ksem_dashboard_unreadable_messages", state.unreadable)
        for meter in state.meters.values():
            _add_meter(families, meter, now)
        for node in state.nodes.values():
            _add_node(families, node, now)
        for inverter in state.inverters.values():
            _add_inverter(families, inverter, now)
        return list(families.filled())


class Exposition:
    """What `/metrics` answers."""

    def __init__(self, state: BridgeState, clock: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(StateCollector(state, clock))

    def text(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self._registry)


def _add_meter(families: _Families, view: MeterView, now: float) -> None:
    meter = view.meter
    families.gauge("ksem_meter_online", view.status == "online", meter)
    families.gauge("ksem_meter_fresh", view.is_live(now), meter)
    families.count("ksem_live_blocks", view.cycles, meter)
    for name in view.blocks:
        families.gauge("ksem_block_age_seconds", view.age(name, now), meter, name)
    if view.is_live(now):
        _add_values(families, meter, view.values)
    for way in ("import", "export"):
        counter = view.counters.get(f"energy_{way}")
        families.count(f"ksem_energy_{way}_joules", None if counter is None else counter * _JOULES, meter)
    health, reported = view.health, view.reported
    if health is None or reported is None:
        return
    families.gauge("ksem_meter_health_age_seconds", now - reported.received, meter)
    if not view.runs(now):
        return
    families.gauge("ksem_build_info", 1, "publisher", meter, health.version[:40])
    families.state("ksem_meter_state", health.state, meter)
    families.gauge("ksem_push_up", _is_up(health.push.link), meter)
    period = health.push.period_ms
    families.gauge("ksem_push_period_seconds", None if period is None else period / 1000, meter)
    families.count("ksem_push_writes", health.push.writes, meter)
    families.count("ksem_push_changes", health.push.link.changes, meter)
    families.gauge("ksem_poll_up", _is_up(health.poll.link), meter)
    families.count("ksem_poll_requests", health.poll.requests, meter)
    families.count("ksem_poll_errors", health.poll.errors, meter)
    families.count("ksem_poll_seqlock_retries", health.poll.seqlock_retries, meter)
    families.gauge("ksem_other_publishers", len(health.publishers), meter)
    for name in sorted({check.name[:40] for check in health.checks})[:_MOST]:
        families.gauge("ksem_check_failed", 1, meter, name)
    for name, block in islice(health.blocks.items(), _MOST):
        families.gauge(
            "ksem_block_limit_seconds", None if block.limit_ms is None else block.limit_ms / 1000, meter, name
        )
        families.count("ksem_block_messages", block.seq, meter, name)


def _add_values(families: _Families, meter: str, values: dict[str, float]) -> None:
    families.gauge("ksem_power_watts", values.get("power"), meter)
    families.gauge("ksem_frequency_hertz", values.get("frequency"), meter)
    for phase in _PHASES:
        families.gauge("ksem_phase_power_watts", values.get(f"power_{phase}"), meter, phase)
        families.gauge("ksem_phase_voltage_volts", values.get(f"voltage_{phase}"), meter, phase)
        families.gauge("ksem_phase_current_amperes", values.get(f"current_{phase}"), meter, phase)


def _add_node(families: _Families, view: NodeView, now: float) -> None:
    node, health = view.node, view.health
    families.gauge("ksem_node_online", view.status == "online", node)
    if health is None:
        return
    families.gauge("ksem_node_health_age_seconds", now - view.health_received, node)
    if not view.runs(now):
        return
    families.gauge("ksem_build_info", 1, "rtu-server", node, health.version[:40])
    families.state("ksem_node_state", health.state, node)
    families.gauge("ksem_node_broker_up", _is_up(health.broker), node)
    for meter, transit in islice(health.transit.items(), _MOST):
        trip = transit.rtt_ms
        families.gauge("ksem_node_round_trip_seconds", None if trip is None else trip / 1000, node, meter)
        families.count("ksem_node_bad_mac_messages", transit.bad_mac, node, meter)
    for code, seconds in _seconds_without_data(health.no_data).items():
        families.count("ksem_no_data_seconds", seconds, node, code)
    for unit in health.units[:_MOST]:
        labels = (node, unit.line, str(unit.unit), unit.meter)
        families.gauge("ksem_serial_port_up", _is_up(unit.port), *labels)
        families.state("ksem_unit_state", unit.state, *labels)
        families.count("ksem_requests", unit.requests, *labels)
        for outcome, count in _outcomes(unit).items():
            families.count("ksem_answers", count, *labels, outcome)
        families.count("ksem_foreign_frames", unit.foreign, *labels)
        families.count("ksem_noise_bytes", unit.noise, *labels)
        families.quantiles("ksem_turnaround_recent_seconds", unit.turnaround_ms, *labels)
        families.quantiles("ksem_inverter_data_recent_age_seconds", unit.age_ms, *labels)
        families.histogram("ksem_turnaround_seconds", unit.turnaround_histogram_ms, *labels)
        families.histogram("ksem_inverter_data_age_seconds", unit.age_histogram_ms, *labels)
        families.gauge("ksem_last_request_age_seconds", _requested_ago(unit, view, now), *labels)
    for tcp in health.tcp[:_MOST]:
        labels = (node, tcp.line, str(tcp.unit), tcp.meter)
        families.gauge("ksem_tcp_up", tcp.state == "ok", *labels)
        families.count("ksem_tcp_requests", tcp.requests, *labels)
        for outcome, count in _outcomes(tcp).items():
            families.count("ksem_tcp_answers", count, *labels, outcome)
        families.histogram("ksem_tcp_turnaround_seconds", tcp.turnaround_histogram_ms, *labels)
        families.histogram("ksem_tcp_data_age_seconds", tcp.age_histogram_ms, *labels)
        families.gauge("ksem_tcp_last_request_age_seconds", _requested_ago(tcp, view, now), *labels)


def _add_inverter(families: _Families, view: InverterView, now: float) -> None:
    name, health = view.inverter, view.health
    families.gauge("ksem_inverter_read", view.status == "online", name)
    families.gauge("ksem_inverter_believed_power_watts", view.believed(now), name)
    if health is None or not view.runs(now):
        return
    families.gauge("ksem_build_info", 1, "inverter-reader", name, health.version[:40])
    for quantile, delay in (("0.5", health.delay.p50_ms), ("0.99", health.delay.p99_ms)):
        families.gauge("ksem_inverter_delay_seconds", None if delay is None else delay / 1000, name, quantile)
    for reason in view.wrong(now)[:_MOST]:
        families.gauge("ksem_inverter_reason", 1, name, reason.code)


def _outcomes(unit: UnitHealth) -> Mapping[str, int]:
    """What requests got, by the names that the contract knows; anything else is `other`."""
    found = Counter({"data": unit.data})
    for name, count in unit.refused.items():
        found[name if _is_outcome(name) else "other"] += count
    return found


def _seconds_without_data(no_data: NoData | None) -> Mapping[str, float]:
    """Seconds by the codes that the catalogue knows; anything else is `other`."""
    found: dict[str, float] = {}
    for code, seconds in (no_data.start.reasons if no_data else {}).items():
        known = code if code in ENGLISH else "other"
        found[known] = found.get(known, 0.0) + seconds
    return found


def _requested_ago(unit: UnitHealth, view: NodeView, now: float) -> float | None:
    ago = unit.last_request_ago_ms
    return None if ago is None else ago / 1000 + now - view.health_received


def _is_up(link: LinkHealth) -> bool:
    return link.state == "up"


_METER: Final = ("meter",)
_BLOCK: Final = ("meter", "block")
_NODE: Final = ("node",)
_UNIT: Final = ("node", "line", "unit", "meter")
_INVERTER: Final = ("inverter",)
_TCP: Final = ("node", "server", "unit", "meter")

GAUGES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "ksem_dashboard_broker_up": ("Whether this service is connected to the broker.", ()),
    "ksem_build_info": ("Version of each service, always 1.", ("service", "name", "version")),
    "ksem_meter_online": ("Whether the publisher reports that live data flows.", _METER),
    "ksem_meter_fresh": ("Whether fresh live data of the meter arrives here.", _METER),
    "ksem_meter_state": ("1 for the state that the publisher is in.", (*_METER, "state")),
    "ksem_meter_health_age_seconds": ("Time since the publisher published its health.", _METER),
    "ksem_push_up": ("Whether the meter pushes.", _METER),
    "ksem_push_period_seconds": ("Learned time between two pushed cycles.", _METER),
    "ksem_poll_up": ("Whether the meter answers polls.", _METER),
    "ksem_other_publishers": ("Other publishers seen for the same meter.", _METER),
    "ksem_check_failed": ("1 for each check of the meter's values that fails.", (*_METER, "check")),
    "ksem_block_age_seconds": ("Age of a block's oldest measured word.", _BLOCK),
    "ksem_block_limit_seconds": ("Age from which on the publisher calls a block old.", _BLOCK),
    "ksem_power_watts": ("Power at the meter; above 0: taken from the grid.", _METER),
    "ksem_phase_power_watts": ("Power of a phase; above 0: taken from the grid.", (*_METER, "phase")),
    "ksem_phase_voltage_volts": ("Voltage of a phase.", (*_METER, "phase")),
    "ksem_phase_current_amperes": ("Current of a phase, with the sign of its power.", (*_METER, "phase")),
    "ksem_frequency_hertz": ("Frequency of the grid.", _METER),
    "ksem_node_online": ("Whether the inverter sends requests and gets data.", _NODE),
    "ksem_node_state": ("1 for the state that the RTU server is in.", (*_NODE, "state")),
    "ksem_node_health_age_seconds": ("Time since the RTU server published its health.", _NODE),
    "ksem_node_broker_up": ("Whether the RTU server was connected to the broker by its last health message.", _NODE),
    "ksem_node_round_trip_seconds": ("Round trip of the echo that dates blocks.", ("node", "meter")),
    "ksem_serial_port_up": ("Whether the serial port is open.", _UNIT),
    "ksem_unit_state": ("1 for the state that the unit is in.", (*_UNIT, "state")),
    "ksem_turnaround_recent_seconds": (
        "Turnaround of the last answers, a thousand at most; quantile 1 is the longest.",
        (*_UNIT, "quantile"),
    ),
    "ksem_inverter_data_recent_age_seconds": (
        "Age of the data in the last answers, a thousand at most; quantile 1 is the oldest.",
        (*_UNIT, "quantile"),
    ),
    "ksem_last_request_age_seconds": ("Time since the inverter's last request.", _UNIT),
    "ksem_inverter_read": ("Whether the inverter's own values are read.", _INVERTER),
    "ksem_inverter_believed_power_watts": ("Power that the inverter believes; above 0: from the grid.", _INVERTER),
    "ksem_inverter_delay_seconds": ("How far the inverter is behind the meter.", (*_INVERTER, "quantile")),
    "ksem_inverter_reason": ("1 for each reason why the inverter is not well.", (*_INVERTER, "code")),
    "ksem_tcp_up": ("Whether a Modbus TCP server is open, and has fresh data for requests.", _TCP),
    "ksem_tcp_last_request_age_seconds": ("Time since a reader's last request at a Modbus TCP server.", _TCP),
}
HISTOGRAMS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "ksem_turnaround_seconds": ("From a request's last byte to its answer's first.", _UNIT),
    "ksem_inverter_data_age_seconds": ("Age of the data as the inverter got it.", _UNIT),
    "ksem_tcp_turnaround_seconds": ("From a request's arrival at a Modbus TCP server to its answer's sending.", _TCP),
    "ksem_tcp_data_age_seconds": ("Age of the data as readers at a Modbus TCP server got it.", _TCP),
}
"""Exposed as `_bucket` with the label `le`, `_sum` and `_count`, since the RTU server's start."""
COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "ksem_dashboard_messages": ("MQTT messages of the contract received here.", ()),
    "ksem_dashboard_unreadable_messages": ("Messages that broke the contract.", ()),
    "ksem_live_blocks": ("Live blocks that arrived here.", _METER),
    "ksem_push_writes": ("Writes of the meter's push.", _METER),
    "ksem_push_changes": ("Changes of the push between up and down.", _METER),
    "ksem_poll_requests": ("Requests to the meter.", _METER),
    "ksem_poll_errors": ("Requests to the meter that failed.", _METER),
    "ksem_poll_seqlock_retries": ("Parts read again because a cycle went by meanwhile.", _METER),
    "ksem_block_messages": ("Messages of a block in the publisher's present session.", _BLOCK),
    "ksem_energy_import_joules": ("Energy taken from the grid, as the meter counts it.", _METER),
    "ksem_energy_export_joules": ("Energy fed into the grid, as the meter counts it.", _METER),
    "ksem_no_data_seconds": (
        "Time in which an inverter got no data, since the RTU server's start, by the code of the reason.",
        (*_NODE, "reason"),
    ),
    "ksem_node_bad_mac_messages": (
        "Blocks and pongs that the RTU server refused because of their code, since its start.",
        ("node", "meter"),
    ),
    "ksem_requests": ("Requests of the inverter to this unit.", _UNIT),
    "ksem_answers": ("What the inverter got.", (*_UNIT, "outcome")),
    "ksem_foreign_frames": ("Frames on the line that were for others.", _UNIT),
    "ksem_noise_bytes": ("Bytes on the line that were no frame.", _UNIT),
    "ksem_tcp_requests": ("Requests of readers at a Modbus TCP server to this unit.", _TCP),
    "ksem_tcp_answers": ("What readers at a Modbus TCP server got.", (*_TCP, "outcome")),
}
"""Names without the `_total` that prometheus_client adds."""
