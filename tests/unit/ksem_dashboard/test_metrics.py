import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ksem_dashboard.metric_table import COUNTERS, GAUGES
from ksem_dashboard.metrics import Exposition

from .house import House

_DOCS = Path(__file__).parents[3] / "docs"
_NAMES = {*GAUGES, *(f"{name}_total" for name in COUNTERS)}


def samples(house: House) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = Exposition(house.picture, lambda: house.now).text().decode()
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
    assert value(house, "ksem_turnaround_seconds", quantile="0.99", **unit) == pytest.approx(0.0034)
    assert value(house, "ksem_inverter_data_age_seconds", quantile="1", **unit) == pytest.approx(0.31)
    assert value(house, "ksem_node_state", node="attic", state="ok") == 1
    assert value(house, "ksem_node_state", node="attic", state="down") == 0


def test_old_values_are_left_out() -> None:
    house = House().run_well()
    house.now += 3
    assert value(house, "ksem_power_watts", meter="main") is None
    assert value(house, "ksem_meter_fresh", meter="main") == 0
    age = value(house, "ksem_block_age_seconds", meter="main", block="live")
    assert age == pytest.approx(3.0, abs=0.01)


def test_every_name_keeps_the_conventions() -> None:
    for name in (*GAUGES, *COUNTERS):
        assert re.fullmatch(r"ksem_[a-z]+(_[a-z]+)*", name)
        assert not name.endswith(("_total", "_count", "_ms", "_percent")), name


def test_every_metric_shows_in_a_house_where_everything_has_happened() -> None:
    house = House().run_well()
    house.energy(123, 45)
    house.say(
        "ksem/main/health",
        _with_check(),
    )
    assert {name for name, _ in samples(house)} == _NAMES


def _with_check() -> bytes:
    from ksem_contract.health import CheckFlag, MeterHealth  # noqa: PLC0415

    from .house import METER_HEALTH, WHEN  # noqa: PLC0415

    fields = json.loads(METER_HEALTH.encode())
    fields["checks"] = [CheckFlag("phases", WHEN, "text").to_json()]
    return MeterHealth.decode(json.dumps(fields).encode()).encode()


def test_the_grafana_dashboard_asks_only_for_metrics_that_there_are() -> None:
    board = json.loads((_DOCS / "grafana-dashboard.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    asked += [one["query"] for one in board["templating"]["list"] if isinstance(one.get("query"), str)]
    names = {name for expression in asked for name in re.findall(r"\bksem_[a-z_]+", expression)}
    assert len(names) > 15
    assert names <= _NAMES


def test_the_documentation_lists_every_metric_with_its_labels() -> None:
    page = (_DOCS / "dashboard.md").read_text(encoding="utf-8")
    for name, (text, labels) in (
        *GAUGES.items(),
        *((f"{name}_total", told) for name, told in COUNTERS.items()),
    ):
        told = ", ".join(f"`{label}`" for label in labels)
        assert f"| `{name}` | {told} | {text} |" in page, f"{name}: run: python docs/generate_metrics.py"
