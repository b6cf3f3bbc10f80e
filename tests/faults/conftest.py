"""The chain for fault tests, and the table that they make."""

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chain import Chain, keep_rows

_ROWS = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-table", metavar="FILE", help="write the table of docs/faults.md here")


def pytest_configure(config: pytest.Config) -> None:
    wanted = config.getoption("--faults-table", None)
    if wanted:
        config.stash[_ROWS] = Path(wanted).resolve().with_suffix(".rows")
        if not _is_worker(config):
            config.stash[_ROWS].unlink(missing_ok=True)


def _is_worker(config: pytest.Config) -> bool:
    """Whether this process is one of several that run the tests, and not the one that hands them out."""
    return hasattr(config, "workerinput")


def pytest_unconfigure(config: pytest.Config) -> None:
    rows = config.stash.get(_ROWS, None)
    if rows is not None and rows.exists() and not _is_worker(config):
        found = [json.loads(line) for line in rows.read_text().splitlines()]
        Path(config.getoption("--faults-table")).write_text(_table(found))
        rows.unlink()


def _table(rows: list[dict[str, object]]) -> str:
    lines = [
        "# Faults, and what the inverter saw",
        "",
        "Made by `make faults-table`, which runs `tests/faults` on a paced RS485 line; not typed. The inverter asks",
        "at least 12 times a second. *Longest age* is from the meter's writing of the oldest register in an answer to",
        "the answer's first byte, over all answers given as valid; the limit in force is 1500 ms unless the fault says",
        "otherwise. *Recovery* is from the fault's end to the first good answer.",
        "",
        "| family | fault | the inverter saw | longest age served as valid, ms | recovery, s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in sorted(rows, key=lambda row: (str(row["family"]), str(row["fault"]))):
        saw = row["inverter_saw"]
        assert isinstance(saw, dict)
        reported = ", ".join(f"{count} {name}" for name, count in saw.items())
        age, recovery = row["longest_age_ms"], row["recovery_s"]
        age_text = "-" if age is None else f"{age:.0f}"
        lines.append(
            f"| {row['family']} | {row['fault']} | {reported} | {age_text} | {'-' if recovery is None else recovery} |"
        )
    return "\n".join(lines) + "\n"


@pytest.fixture(autouse=True)
def others(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests run two at a time, but for those that are marked `alone`: they measure what others would add to."""
    base = tmp_path_factory.getbasetemp()
    with ((base.parent if _is_worker(request.config) else base) / "others").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH)
        yield


@pytest.fixture
def kept_rows(request: pytest.FixtureRequest) -> Iterator[list[object]]:
    """Rows that a test appends stand in the table."""
    rows: list[object] = []
    yield rows
    path = request.config.stash.get(_ROWS, None)
    if path is not None:
        keep_rows(rows, path)  # type: ignore[arg-type]


@pytest.fixture
def chain(tmp_path: Path, kept_rows: list[object]) -> Iterator[Chain]:
    """The chain, running, with good answers."""
    with Chain(tmp_path) as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.start()
        chain.await_well()
        yield chain
