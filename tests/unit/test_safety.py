"""docs/safety.md: each hazard names its cause, what stops it, a test that exists, and what is left."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "safety.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if re.match(r"\| \d+ \|", line)
]
KINDS = {"wrong", "old", "mixed", "foreign", "missing"}


def test_every_kind_of_hazard_is_there_and_every_cell_is_filled() -> None:
    assert 15 <= len(ROWS) <= 25
    assert {row[1].split(":")[0] for row in ROWS} == KINDS
    assert [int(row[0]) for row in ROWS] == list(range(1, len(ROWS) + 1))
    assert all(len(row) == 7 and all(row) for row in ROWS)


def test_every_test_that_is_named_exists() -> None:
    written = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = [re.fullmatch(r"`(test_\w+)`", row[5]) for row in ROWS]
    assert all(named)
    assert not [found[1] for found in named if found and not re.search(rf"def {found[1]}\(", written)]
