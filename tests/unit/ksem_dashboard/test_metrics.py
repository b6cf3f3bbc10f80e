import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ksem_contract.health import CheckFlag, Outage, Transit
from ksem_contract.reasons import Reason
from ksem_dashboard.metrics import COUNTERS, GAUGES, HISTOGRAMS, Exposition

from .house import NO_DATA, UNIT, WHEN, House

_DOCS = Path(__file__).parents[3] / "docs"
_PARTS = {f"{name}_{part}" for name in HISTOGRAMS for part in ("bucket", "sum", "count")}
_NAMES = {*GAUGES, *(f"{name}_total" for name in COUNTERS), *_PARTS}


def samples(house: House) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = Exposition(house.state, lambda: house.now).text().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(house: House, name: str, **labels: str) -> float | None:
    return samples(house).get((name, frozenset(labels.items())))


def test_power_energy_and_links_are_told_in_base_units() -> None:
    house = House().run_well()
    house.energy(123, 45)
    unit = {"node": "attic", "line": "rs485", "unit": "1", "meter": "main"}
    assert value(house, "ksem_power_watts", meter="main") == 1234.5
    assert value(house, "ksem_frequency_hertz", meter="main") == 50.01
    assert value(house, "ksem_energy_import_joules_total", meter="main") == 123 * 3.6e6
    assert value(house, "ksem_push_up", meter="main") == 1
    assert value(house, "ksem_push_period_seconds", meter="main") == 0.2
    assert value(house, "ksem_answers_total", outcome="stale", **unit) == 2
    assert value(house, "ksem_answers_total", outcome="data", **unit) == 1810
    assert value(house, "ksem_turnaround_recent_seconds", quantile="0.99", **unit) == pytest.approx(0.0034)
    assert value(house, "ksem_inverter_data_recent_age_seconds", quantile="1", **unit) == pytest.approx(0.31)
    assert value(house, "ksem_node_state", node="attic", state="ok") == 1
    assert value(house, "ksem_node_state", node="attic", state="down") == 0


def test_turnaround_and_age_at_the_inverter_are_histograms_in_seconds() -> None:
    house = House().run_well()
    unit = {"node": "attic", "line": "rs485", "unit": "1", "meter": "main"}
    text = Exposition(house.state, lambda: house.now).text().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for name, reported in (
        ("ksem_turnaround_seconds", UNIT.turnaround_histogram_ms),
        ("ksem_inverter_data_age_seconds", UNIT.age_histogram_ms),
    ):
        assert reported is not None
        assert families[name].type == "histogram"
        bounds = [sample.labels["le"] for sample in families[name].samples if sample.name == f"{name}_bucket"]
        assert bounds == [f"{bound / 1000:g}" for bound in reported.le] + ["+Inf"]
        for bound, count in zip(bounds, reported.counts, strict=True):
            assert value(house, f"{name}_bucket", le=bound, **unit) == count
        assert value(house, f"{name}_count", **unit) == reported.counts[-1]
        assert value(house, f"{name}_sum", **unit) == pytest.approx(reported.sum / 1000)


def test_a_node_of_an_older_version_has_no_histogram_and_all_the_rest() -> None:
    house = House().run_well()
    house.node(units=(replace(UNIT, turnaround_histogram_ms=None, age_histogram_ms=None),))
    names = {name for name, _ in samples(house)}
    assert "ksem_turnaround_recent_seconds" in names
    assert not any(name.startswith("ksem_turnaround_seconds") for name in names)


def test_a_modbus_tcp_server_is_told_apart_from_the_inverters_line() -> None:
    house = House().run_well()
    server = {"node": "attic", "server": "readers", "unit": "71", "meter": "main"}
    assert value(house, "ksem_tcp_up", **server) == 1
    assert value(house, "ksem_tcp_requests_total", **server) == 400
    assert value(house, "ksem_tcp_answers_total", outcome="exception-1", **server) == 1
    assert value(house, "ksem_tcp_turnaround_seconds_count", **server) == 400
    assert not [labels for name, labels in samples(house) if name == "ksem_requests_total" and ("unit", "71") in labels]


@pytest.mark.promise(2)
def test_messages_refused_because_of_their_code_are_counted_by_meter() -> None:
    house = House().run_well()
    house.node(transit={"main": Transit(1.9, "aaaa", bad_mac=12), "garage": Transit(None, None)})
    assert value(house, "ksem_node_bad_mac_messages_total", node="attic", meter="main") == 12
    assert value(house, "ksem_node_bad_mac_messages_total", node="attic", meter="garage") == 0


def test_old_values_are_left_out() -> None:
    house = House().run_well()
    house.now += 3
    assert value(house, "ksem_power_watts", meter="main") is None
    assert value(house, "ksem_meter_fresh", meter="main") == 0
    age = value(house, "ksem_block_age_seconds", meter="main", block="live")
    assert age == pytest.approx(3.0, abs=0.01)


def test_every_name_keeps_the_conventions() -> None:
    for name in (*GAUGES, *COUNTERS, *HISTOGRAMS):
        assert re.fullmatch(r"ksem_[a-z]+(_[a-z]+)*", name)
        assert not name.endswith(("_total", "_count", "_sum", "_bucket", "_ms", "_percent")), name


def test_every_metric_shows_in_a_house_where_everything_has_happened() -> None:
    house = House().run_well()
    house.energy(123, 45)
    house.receive(
        "ksem/main/health",
        _with_check(),
    )
    house.inverter(state="down", reasons=(Reason.of("inverter-wrong-sign", believed=100, served=-100),))
    assert {name for name, _ in samples(house)} == _NAMES


def _with_check() -> bytes:
    from ksem_contract.health import CheckFlag, MeterHealth  # noqa: PLC0415

    from .house import METER_HEALTH, WHEN  # noqa: PLC0415

    fields = json.loads(METER_HEALTH.encode())
    fields["checks"] = [CheckFlag("phases", WHEN, Reason.of("phases-differ", gap="9.0")).to_json()]
    return MeterHealth.decode(json.dumps(fields).encode()).encode()


def test_the_grafana_dashboard_asks_only_for_metrics_that_there_are() -> None:
    board = json.loads((_DOCS / "grafana-dashboard.json").read_text(encoding="utf-8"))
    requested = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    requested += [one["query"] for one in board["templating"]["list"] if isinstance(one.get("query"), str)]
    names = {name for expression in requested for name in re.findall(r"\bksem_[a-z_]+", expression)}
    assert len(names) > 15
    assert names <= _NAMES


def test_the_documentation_lists_every_metric_with_its_labels() -> None:
    page = (_DOCS / "dashboard.md").read_text(encoding="utf-8")
    for name, kind, (text, labels) in (
        *((name, "gauge", reported) for name, reported in GAUGES.items()),
        *((f"{name}_total", "counter", reported) for name, reported in COUNTERS.items()),
        *((name, "histogram", reported) for name, reported in HISTOGRAMS.items()),
    ):
        reported = ", ".join(f"`{label}`" for label in labels)
        assert f"| `{name}` | {kind} | {reported} | {text} |" in page, f"{name}: run: python docs/generate_metrics.py"


def test_invented_names_do_not_become_series() -> None:
    house = House().run_well()
    before = len(samples(house))
    refused = {"stale": 2, **{f"invented-{number}": 1 for number in range(20)}}
    units = tuple(replace(UNIT, unit=number, refused=refused) for number in range(1, 40))
    checks = tuple(CheckFlag(f"check-{number}", WHEN, Reason.of("phases-differ", gap="9.0")) for number in range(300))
    house.health(checks=checks, version="9" * 5000)
    house.node(units=units, transit={f"m{number}": Transit(1.0, "aaaa") for number in range(100)})
    assert len(samples(house)) < 20 * before
    labels = {"node": "attic", "line": "rs485", "unit": "1", "meter": "main"}
    assert value(house, "ksem_answers_total", **labels, outcome="other") == 20
    assert value(house, "ksem_answers_total", **labels, outcome="stale") == 2


def test_a_service_that_has_ended_leaves_no_state_as_the_present() -> None:
    house = House().run_well()
    house.node(b"offline")
    house.status(b"offline")
    names = {name for name, _ in samples(house)}
    assert {"ksem_node_online", "ksem_node_health_age_seconds", "ksem_meter_online"} <= names
    assert not names & {"ksem_serial_port_up", "ksem_unit_state", "ksem_push_up", "ksem_node_state", "ksem_meter_state"}


def test_the_time_without_data_is_a_counter_by_reason_and_foreign_codes_are_one() -> None:
    house = House().run_well()
    assert value(house, "ksem_no_data_seconds_total", node="attic", reason="meter-offline") == 8.0
    many = {f"made-up-{number}": 1.0 for number in range(50)}
    house.node(no_data=replace(NO_DATA, start=Outage(50.0, many)))
    assert value(house, "ksem_no_data_seconds_total", node="attic", reason="other") == 50.0
    assert value(house, "ksem_no_data_seconds_total", node="attic", reason="made-up-1") is None
