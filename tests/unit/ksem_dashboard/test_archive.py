"""From a house that goes on for hours to what the page and a spreadsheet get, over restarts too."""

import asyncio
import csv
import io
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ksem_dashboard.archive import Archive
from ksem_dashboard.outages import Outage, OutageWatch, conditions
from ksem_dashboard.settings import HistorySettings
from tests.unit.ksem_dashboard.house import STOPPED, House, explained

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Kept:
    """A house, its watch and its archive; time is virtual."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.house = House().run_well()
        self.begun = self.house.now
        self.open()

    def open(self) -> None:
        self.archive, self.watch = Archive(HistorySettings(directory=self.folder)), OutageWatch()

    @property
    def local(self) -> datetime:
        return NOON + timedelta(seconds=self.house.now - self.begun)

    async def run(self, seconds: int, *, power: float | None = 1000.0, energy: int = 0) -> None:
        for second in range(seconds):
            self.house.local = self.local
            self.house.pass_time(1.0, power=power)
            if second % 10 == 0:
                lost: dict[str, object] = {"state": "down", **explained(STOPPED)}
                self.house.status(b"online" if power is not None else b"offline")
                self.house.health(**({} if power is not None else lost))
                self.house.node()
                if energy:
                    self.house.energy(energy)
            finished = self.watch.step(
                conditions(self.house.state, self.house.now), self.house.now, self.local.timestamp()
            )
            self.archive.step(self.house.state, self.watch.current(), finished, self.house.now, self.local)
            if self.archive._writing is not None:
                await self.archive._writing

    def page(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(json.dumps(self.archive.as_json("main", self.local)))
        return found

    def table(self, name: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self.archive.as_csv(name, "main", self.local))))


@pytest.mark.parametrize("stored", [True, False])
def test_the_page_gets_power_energy_and_outages(tmp_path: Path, stored: bool) -> None:
    async def scene() -> None:
        kept = Kept(tmp_path if stored else None)
        await kept.run(400, power=1000.0, energy=300)
        await kept.run(200, power=None)
        found = kept.page()
        assert found["is_stored"] is stored
        assert len(found["day"]["points"]) == 288
        assert len(found["week"]["points"]) == 336
        assert [1000, 1000, 1000] in found["day"]["points"]
        assert [(one["subject"], one["is_over"]) for one in found["outages"]] == [("meter main", False)]
        assert "has stopped pushing" in found["outages"][0]["text"]
        assert len(found["days"]) == 30
        assert found["energy"] == [{"day": "2026-11-22", "imported": 0.0, "exported": 0.0, "whole": False}]
        assert len(json.dumps(found)) < 20_000
        await kept.run(200, power=-500.0, energy=301)
        assert [one["is_over"] for one in kept.page()["outages"]] == [True]
        assert kept.page()["energy"][0]["imported"] == 1.0

    asyncio.run(scene())


def test_a_restart_goes_on_with_everything(tmp_path: Path) -> None:
    async def scene() -> None:
        kept = Kept(tmp_path)
        await kept.run(130, energy=300)
        await kept.run(100, power=None)
        kept.archive.remember({"line 1 (json)": {"sent": [], "reported": {}}})
        before = kept.page()
        await kept.archive.stop(kept.house.state, kept.house.now, kept.local)
        kept.house.now += 30
        kept.open()
        memory = kept.archive.resume(kept.watch, kept.house.now, kept.local.timestamp())
        assert memory == {"line 1 (json)": {"sent": [], "reported": {}}}
        assert [one.subject for one in kept.watch.current()] == ["meter main"]
        await kept.run(200, energy=302)
        after = kept.page()
        assert [one["begun"] for one in after["outages"]] == [one["begun"] for one in before["outages"]]
        assert after["outages"][0]["is_over"]
        assert after["energy"][0]["imported"] == 2.0

    asyncio.run(scene())


def test_a_power_cut_takes_one_minute_at_most(tmp_path: Path) -> None:
    async def scene() -> None:
        kept = Kept(tmp_path)
        await kept.run(630)
        kept.open()  # what was not written is gone
        assert len(kept.table("power")) >= 9

    asyncio.run(scene())


def test_a_folder_that_cannot_be_used_is_reported_and_costs_nothing_else(tmp_path: Path) -> None:
    async def scene() -> None:
        kept = Kept(tmp_path / "missing")
        await kept.run(200)
        (reason,) = kept.archive.reasons()
        assert reason.code == "history-not-written"
        assert str(tmp_path) in reason.remedy
        assert kept.page()["is_stored"] is False
        assert len(kept.table("power")) >= 2

    asyncio.run(scene())


def test_tables_can_be_read_by_a_spreadsheet_and_hold_no_formula(tmp_path: Path) -> None:
    async def scene() -> None:
        kept = Kept(tmp_path)
        await kept.run(190, energy=300)
        evil = Outage("meter main", NOON.timestamp(), 60, 60, 1, "x", "=HYPERLINK(1)", "@remedy")
        kept.archive.step(kept.house.state, (evil,), (), kept.house.now, kept.local)
        power = kept.table("power")
        assert power[0].keys() == {"time", "least_w", "mean_w", "greatest_w"}
        assert power[1] == {"time": "2026-11-22T12:01:00Z", "least_w": "1000", "mean_w": "1000", "greatest_w": "1000"}
        assert kept.table("energy")[0]["day"] == "2026-11-22"
        (row,) = kept.table("outages")
        assert (row["what"], row["begin"], row["end"]) == ("meter main", "2026-11-22T12:00:00Z", "2026-11-22T12:01:00Z")
        assert (row["reason"], row["remedy"]) == ("'=HYPERLINK(1)", "'@remedy")

    asyncio.run(scene())


def test_a_disk_that_hangs_holds_up_nothing_and_fills_no_memory(tmp_path: Path) -> None:
    async def scene() -> None:
        kept, goes_on = Kept(tmp_path), threading.Event()
        kept.archive._thread.submit(goes_on.wait, 20)
        for minute in range(300):
            kept.archive.step(kept.house.state, (), (), kept.house.now, NOON + timedelta(minutes=minute))
        assert kept.archive._waiting == 60
        goes_on.set()
        assert kept.archive._writing is not None
        await kept.archive._writing
        assert kept.archive._waiting == 0

    asyncio.run(scene())
