"""Which files of a service's folder go into a bundle."""

import os
from pathlib import Path

import pytest

from airbridge.doctor import bundle as module
from airbridge.doctor.bundle import fault_files
from airbridge.doctor.facts import SettingsFacts
from ksem_contract.capture_file import CaptureHeader

HEADER = CaptureHeader("bridge", "0.1.0", "2026-11-29T10:00:00+00:00", 0.0).encode() + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "rtu-server"
    made.mkdir()
    (made / "good.jsonl").write_text(HEADER)
    os.utime(made / "good.jsonl", (1, 1))  # the oldest: odd files don't push it out
    return made


def found(folder: Path) -> dict[str, str]:
    return fault_files([SettingsFacts("rtu-server", "", tables={"recorder": {"directory": str(folder)}})])


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(HEADER)
    (folder / "link.jsonl").symlink_to(secret)
    (folder / "hard.jsonl").hardlink_to(secret)
    (folder / "dangling.jsonl").symlink_to("nowhere")
    assert list(found(folder)) == ["fault-rtu-server-good.jsonl"]


def test_a_fifo_or_a_folder_does_not_hang_it(folder: Path) -> None:
    os.mkfifo(folder / "fifo.jsonl")
    (folder / "dir.jsonl").mkdir()
    assert list(found(folder)) == ["fault-rtu-server-good.jsonl"]


def test_a_file_whose_first_line_is_no_header_is_left_out(folder: Path) -> None:
    (folder / "text.jsonl").write_text("hunter2\n")
    (folder / "empty.jsonl").write_text("")
    assert list(found(folder)) == ["fault-rtu-server-good.jsonl"]


def test_a_file_that_is_too_long_is_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", len(HEADER))
    (folder / "long.jsonl").write_text(HEADER + "x")
    assert list(found(folder)) == ["fault-rtu-server-good.jsonl"]
