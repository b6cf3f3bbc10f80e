import json
from pathlib import Path

import pytest

from ksem_contract.health import AGE_BOUNDS_MS, TURNAROUND_BOUNDS_MS, Histogram, NodeHealth
from ksem_contract.message_fields import Fields, InvalidMessage
from tests.unit.ksem_dashboard.house import NODE_HEALTH


def read(**changes: object) -> Histogram:
    found: dict[str, object] = {"le": [1, 2.5], "counts": [3, 4, 4], "sum": 5.0}
    return Histogram.from_json(Fields(found | changes))


def test_it_comes_back_as_it_was_told() -> None:
    reported = Histogram((1.0, 2.5), (3, 4, 4), 5.0)
    assert read() == reported
    assert Histogram.from_json(Fields(reported.to_json())) == reported


@pytest.mark.parametrize(
    "changes",
    [
        {"le": []},
        {"le": [2, 1]},
        {"le": [1, 1]},
        {"le": [1, "2"]},
        {"counts": [3, 4]},
        {"counts": [4, 3, 4]},
        {"counts": [3, 4, 4.5]},
        {"le": list(range(65)), "counts": [0] * 66},
        {"sum": -1},
    ],
)
def test_what_is_no_histogram_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidMessage):
        read(**changes)


def test_the_bounds_ascend() -> None:
    for bounds in (TURNAROUND_BOUNDS_MS, AGE_BOUNDS_MS):
        assert list(bounds) == sorted(set(bounds))


def test_the_contracts_document_names_the_bounds() -> None:
    page = (Path(__file__).parents[3] / "docs" / "contract.md").read_text(encoding="utf-8")
    for name, bounds in (("turnaround", TURNAROUND_BOUNDS_MS), ("age", AGE_BOUNDS_MS)):
        assert f"| {name} | {', '.join(f'{bound:g}' for bound in bounds)} |" in page


def test_a_node_of_an_older_version_that_tells_none_is_understood() -> None:
    fields = json.loads(NODE_HEALTH.encode())
    for unit in fields["units"]:
        del unit["turnaround_histogram_ms"], unit["age_histogram_ms"]
    (unit,) = NodeHealth.decode(json.dumps(fields).encode()).units
    assert unit.turnaround_histogram_ms is None
    assert unit.age_histogram_ms is None
    assert "turnaround_histogram_ms" not in unit.to_json(), "as it was told"
