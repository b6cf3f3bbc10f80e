"""The history in the real service: it outlives a stop and a kill, and a folder that is not there."""

import csv
import io
import sqlite3
import time
from pathlib import Path

from ksem_dashboard.store import FILE
from tests.browser.dashboard import DashboardService
from tests.chain import Chain


def rows(dashboard: DashboardService, table: str) -> list[dict[str, str]]:
    status, text, headers = dashboard.get(f"history/{table}.csv?meter=main")
    assert status == 200
    assert headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(text)))


def await_energy(dashboard: DashboardService) -> None:
    deadline = time.monotonic() + 30
    while dashboard.state()["meters"].get("main", {}).get("today") is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(12)  # a whole slot of 10 s


def test_what_was_seen_is_there_after_a_restart_and_after_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    with (
        Chain(tmp_path / "chain") as chain,
        DashboardService(tmp_path, chain.broker, environ={"STATE_DIRECTORY": str(folder)}) as dashboard,
    ):
        chain.start()
        chain.await_good()
        await_energy(dashboard)
        dashboard.stop()
        dashboard.start()
        dashboard.await_log("the page is at", times=2)
        assert rows(dashboard, "power")
        assert rows(dashboard, "energy")
        dashboard.kill()
        dashboard.start()
        dashboard.await_log("the page is at", times=3)
        assert rows(dashboard, "power")
        assert dashboard.get("history/nonsense.csv")[0] == 404
        dashboard.stop()
    assert sqlite3.connect(folder / FILE).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_folder_that_is_not_there_is_a_warning_on_the_page_and_nothing_else(tmp_path: Path) -> None:
    more = f'[history]\ndirectory = "{tmp_path / "missing"}"\n'
    with (
        Chain(tmp_path / "chain") as chain,
        DashboardService(tmp_path, chain.broker, more=more) as dashboard,
    ):
        chain.start()
        chain.await_good()
        deadline = time.monotonic() + 20
        while dashboard.state()["verdict"]["state"] != "warn" or not dashboard.state()["meters"]:
            assert time.monotonic() < deadline, dashboard.state()["verdict"]
            time.sleep(0.1)
        (fault,) = [one for one in dashboard.state()["faults"] if one["where"] == "dashboard"]
        assert fault["code"] == "history-not-written"
        assert str(tmp_path / "missing") in fault["remedy"]
        assert dashboard.get("history/power.csv")[0] == 200
        assert dashboard.get("healthz")[0] in {200, 503}
