"""A service tells its health in a file, and the container's health check understands it."""

import os
import subprocess
from pathlib import Path

import pytest

from service_runtime.clock import boottime
from service_runtime.systemd import HealthFile

HEALTHCHECK = Path(__file__).resolve().parent.parent.parent / "deploy/docker/healthcheck"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "health"


def check(file: Path) -> tuple[int, str]:
    ended = subprocess.run(
        ["sh", str(HEALTHCHECK)],
        env={"HEALTH_FILE": str(file), "PATH": os.environ["PATH"]},
        check=False,
        capture_output=True,
        text=True,
    )
    return ended.returncode, ended.stdout.strip()


def test_healthy_while_data_flows(file: Path) -> None:
    HealthFile({"HEALTH_FILE": str(file)}).write(True, "", boottime())
    assert check(file) == (0, "ok: -")


def test_unhealthy_with_the_reason_while_it_does_not(file: Path) -> None:
    HealthFile({"HEALTH_FILE": str(file)}).write(False, "no link to the broker (refused; 2 tries) $(x) `y`", boottime())
    assert check(file) == (1, "bad: no link to the broker (refused; 2 tries) $(x) `y`")


def test_unhealthy_before_the_first_word(file: Path) -> None:
    assert check(file)[0] == 1


def test_unhealthy_when_the_loop_stands_still(file: Path) -> None:
    HealthFile({"HEALTH_FILE": str(file)}).write(True, "", boottime())
    written, reported = file.read_text().split(" ", 1)
    file.write_text(f"{int(written) - 20} {reported}")
    code, words = check(file)
    assert code == 1
    assert words.startswith("hung: the last word is")


def test_a_change_is_told_at_once_and_the_same_once_a_second(file: Path) -> None:
    health = HealthFile({"HEALTH_FILE": str(file)})

    def written(ok: bool, why: str, now: float) -> str:
        """What this call writes."""
        file.unlink(missing_ok=True)
        health.write(ok, why, now)
        return file.read_text().split(" ", 1)[1] if file.exists() else ""

    assert written(True, "", 100.0) == "ok -\n"
    assert written(True, "", 100.8) == ""
    assert written(False, "stale", 100.85) == "bad stale\n"
    assert written(False, "stale", 102.0) == "bad stale\n"


def test_without_the_variable_nothing_is_written(tmp_path: Path) -> None:
    HealthFile({}).write(True, "", 1.0)
    assert not list(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_stops_no_service_and_looks_unhealthy(tmp_path: Path) -> None:
    file = tmp_path / "missing" / "health"
    HealthFile({"HEALTH_FILE": str(file)}).write(True, "", boottime())
    assert check(file)[0] == 1
