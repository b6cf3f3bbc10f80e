"""A captured file is shown as text, whatever stands in it."""

from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from airbridge.command import app
from ksem_contract.capture_file import CaptureHeader

HEADER = CaptureHeader("push", "0.1.0", "2026-11-29T10:00:00+00:00", 0.0)


@pytest.mark.parametrize("source", ["port [push] open", "ends in [/x", "closes [/push] nothing"])
def test_brackets_are_no_markup(tmp_path: Path, source: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(replace(HEADER, source=source).encode() + "\n")
    result = CliRunner().invoke(app, ["capture", "show", str(file)])
    assert result.exit_code == 0
    assert source in result.output


def test_escape_sequences_do_not_reach_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(replace(HEADER, source="a\x1b]0;owned\x07b\x9b31m").encode() + "\n")
    result = CliRunner().invoke(app, ["capture", "show", str(file)])
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert "\x07" not in result.output
    assert "\x9b" not in result.output
