"""The file that keeps the time without data over a restart."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from rtu_server.outage_file import NAME, OutageFile, local_time
from rtu_server.outages import WRITE_EVERY, Kept, Outages


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING):
        yield caplog


def kept(days: float = 0.0) -> Kept:
    day = local_time()
    return Kept((day - timedelta(days=days)).timestamp(), True, {day.date(): {"meter-offline": 7.5}})


def test_what_an_earlier_run_wrote_is_read_again(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(kept().encode())
    outages = Outages(0.0)
    OutageFile(tmp_path, outages, 0.0)
    assert outages.totals(local_time().date()).days.reasons["meter-offline"] == 7.5


def test_it_is_written_once_a_minute_and_replaced_as_a_whole(tmp_path: Path) -> None:
    file = OutageFile(tmp_path, Outages(0.0), 0.0)
    written = []
    for now in range(10 * int(WRITE_EVERY)):
        file.tick(float(now))
        if (tmp_path / NAME).exists():
            written.append((tmp_path / NAME).stat().st_ino)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert sum(one != other for one, other in pairwise(written)) <= 9


def test_without_a_folder_nothing_is_kept_and_nothing_logged(warnings: pytest.LogCaptureFixture) -> None:
    file = OutageFile(None, Outages(0.0), 0.0)
    file.write(0.0, ended=True)
    assert not warnings.messages


@pytest.mark.parametrize("folder", ["gone", "file"])
def test_a_folder_that_cant_be_written_is_logged_once_and_costs_nothing(
    folder: str, tmp_path: Path, warnings: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    file = OutageFile(tmp_path / folder, Outages(0.0), 0.0)
    file.write(0.0, ended=False)
    file.write(0.0, ended=False)
    assert sum("can't be written" in line for line in warnings.messages) == 1


@pytest.mark.parametrize("content", [b"", b"{}", b'{"v":1,"until":1.0,"ended":true,"days":[]}'])
def test_a_damaged_file_is_logged_and_replaced(
    content: bytes, tmp_path: Path, warnings: pytest.LogCaptureFixture
) -> None:
    (tmp_path / NAME).write_bytes(content)
    file = OutageFile(tmp_path, Outages(0.0), 0.0)
    assert "is damaged" in warnings.text
    file.write(0.0, ended=True)
    assert Kept.decode((tmp_path / NAME).read_bytes()).ended
