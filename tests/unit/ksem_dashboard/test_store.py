"""The history on disk: bounded, whole after a crash, never in the way of the rest."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ksem_dashboard import store as store_module
from ksem_dashboard.outages import Outage
from ksem_dashboard.record import Batch, Day, Minute
from ksem_dashboard.store import FILE, MINUTES, Store

MINUTE = 29_000_000
WALL = MINUTE * 60.0


def batch(minute: int, power: int = 1000, meter: str = "main", **more: object) -> Batch:
    row = Minute(meter, minute, power - 10, power, power + 10)
    return Batch(minute, True, (row,), **more)  # type: ignore[arg-type]


def outage(begun: float, *, subject: str = "meter main", span: float = 60.0, over: bool = True) -> Outage:
    return Outage(subject, begun, span, span, 1, "push-stopped", "The push stopped.", "See there.", over)


def count(store: Store, table: str) -> int:
    found: int = store._base.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
    return found


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path if request.param == "disk" else None)


def test_power_comes_back_in_steps_and_gaps_stay_gaps(store: Store) -> None:
    for minute in (0, 1, 2, 5, 6):
        store.write(batch(MINUTE + minute, 1000 + 100 * minute))
    assert store.power("main", MINUTE, MINUTE + 10, 5) == [(0, 990, 1100, 1210), (1, 1490, 1550, 1610)]
    assert store.power("main", MINUTE + 3, MINUTE + 5, 1) == []
    assert store.power("other", MINUTE, MINUTE + 10, 5) == []


def test_a_minute_that_two_runs_of_the_service_share_is_one(store: Store) -> None:
    store.write(batch(MINUTE, 1000))
    store.write(batch(MINUTE, 2000))
    assert store.power("main", MINUTE, MINUTE + 1, 1) == [(0, 990, 1500, 2010)]


def test_an_open_outage_grows_and_ends_as_one_row(store: Store) -> None:
    store.write(batch(MINUTE, current=(outage(WALL, span=30, over=False),)))
    store.write(batch(MINUTE + 1, current=(outage(WALL, span=90, over=False),)))
    assert [(one.span_s, one.is_over) for one in store.outages(WALL - 10, WALL + 10)] == [(90, False)]
    store.write(batch(MINUTE + 2, finished=(outage(WALL, span=100),)))
    assert [(one.span_s, one.is_over) for one in store.outages(WALL - 10, WALL + 10)] == [(100, True)]


def test_an_outage_that_nobody_follows_any_more_is_over(store: Store) -> None:
    store.write(batch(MINUTE, current=(outage(WALL, over=False),)))
    store.write(batch(MINUTE + 1))
    assert [one.is_over for one in store.outages(WALL - 10, WALL + 10)] == [True]


def test_it_is_known_when_nobody_watched(store: Store) -> None:
    for minute in (0, 1, 2, 20, 21):
        store.write(batch(MINUTE + minute))
    assert store.watched(WALL - 1) == [(WALL, WALL + 180), (WALL + 1200, WALL + 1320)]


def test_everything_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MINUTES", 50)
    monkeypatch.setattr(store_module, "METERS", 3)
    monkeypatch.setattr(store_module, "OUTAGES", 40)
    monkeypatch.setattr(store_module, "WATCHED", 20)
    monkeypatch.setattr(store_module, "DAYS", 10)
    for number in range(400):
        minute = MINUTE + 10 * number
        day = Day("main", f"2026-{1 + number // 28:02}-{1 + number % 28:02}", 1.0, 1.0, True, WALL, 1.0, 1.0)
        meter = f"m{number % 7}"
        store.write(batch(minute, meter=meter, finished=(outage(60.0 * minute),), days=(day,)))
    assert count(store, "minute") <= 3 * 50 + 60
    assert count(store, "day") <= 10 + 60
    assert count(store, "outage") <= 40 + 60
    assert count(store, "watched") <= 20 + 60
    assert store.outages(0, 1e12)[-1].begun == 60.0 * (MINUTE + 3990), "the newest stay"


def test_a_clock_that_was_ahead_for_a_while_costs_no_row(store: Store) -> None:
    for minute in range(130):
        store.write(batch(MINUTE + minute))
    store.write(batch(MINUTE + 10_000_000))
    for minute in range(130, 260):
        store.write(batch(MINUTE + minute))
    assert len(store.power("main", MINUTE, MINUTE + 260, 1)) == 260
    assert store.watched(WALL - 1)[0] == (WALL, WALL + 260 * 60)


def test_a_week_of_a_meter_is_below_a_megabyte(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rows = tuple(Minute("main", MINUTE + n, -1000, n, 12_345) for n in range(MINUTES))
    store.write(Batch(MINUTE, True, rows))
    store.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1_000_000


def test_a_crash_costs_nothing_that_was_written(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib\n"
        "from ksem_dashboard.store import Store\n"
        "from tests.unit.ksem_dashboard.test_store import MINUTE, batch\n"
        "store = Store(pathlib.Path(sys.argv[1]))\n"
        "for minute in range(30): store.write(batch(MINUTE + minute))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    root = Path(__file__).parents[3]
    environ = {**os.environ, "PYTHONPATH": f"{root}:{root / 'shared'}"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, env=environ)
    assert len(Store(tmp_path).power("main", MINUTE, MINUTE + 60, 1)) == 30


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100] + os.urandom(9000))


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"nonsense" * 999), _cut])
def test_a_file_that_cannot_be_read_is_put_aside(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    first = Store(tmp_path)
    first.write(batch(MINUTE))
    first.close()
    damage(tmp_path / FILE)
    store = Store(tmp_path)
    assert store.was_damaged
    assert (tmp_path / f"{FILE}.damaged").exists()
    store.write(batch(MINUTE))
    assert len(store.power("main", MINUTE, MINUTE + 1, 1)) == 1


def test_what_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    store = Store(tmp_path)
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("BEGIN IMMEDIATE")
    store._base.execute("PRAGMA busy_timeout = 10")
    for minute in range(3):
        with pytest.raises(sqlite3.OperationalError):
            store.write(batch(MINUTE + minute))
    other.rollback()
    store.write(batch(MINUTE + 3))
    assert len(store.power("main", MINUTE, MINUTE + 10, 1)) == 4


def test_it_remembers_a_value(store: Store) -> None:
    assert store.recall("x") is None
    store.remember("x", {"a": [1, 2]})
    assert store.recall("x") == {"a": [1, 2]}
