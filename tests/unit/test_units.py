"""The systemd units and the example settings, by the tools that judge them."""

import importlib.util
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from service_runtime.settings import load

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
ANALYZE = shutil.which("systemd-analyze") or ""

needs_systemd = pytest.mark.skipif(not ANALYZE, reason="systemd-analyze is not there")


def test_there_is_a_unit_for_each_service() -> None:
    assert [unit.stem for unit in UNITS] == ["inverter-reader", "ksem-dashboard", "ksem-publisher", "rtu-server"]


@needs_systemd
def test_the_units_are_verified_clean(tmp_path: Path) -> None:
    for unit in UNITS:
        # Where nothing is installed there is no command to start.
        text = unit.read_text().replace(f"ExecStart={unit.stem}\n", "ExecStart=/bin/true\n")
        assert "ExecStart=/bin/true" in text
        (tmp_path / unit.name).write_text(text)
    written = run(ANALYZE, "verify", "--recursive-errors=no", *(str(tmp_path / unit.name) for unit in UNITS))
    assert (written.returncode, written.stdout) == (0, "")


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_units_exposure_is_two_at_most(unit: Path) -> None:
    written = run(ANALYZE, "security", "--no-pager", "--offline=true", "--threshold=20", str(unit))
    assert written.returncode == 0, written.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "WatchdogSec=10",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "RestartPreventExitStatus=2",
        "ProtectSystem=strict",
        "WantedBy=multi-user.target",
    ],
)
def test_a_unit_keeps_what_operation_rests_on(unit: Path, line: str) -> None:
    assert line in unit.read_text().splitlines()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_service_has_a_user_of_its_own_and_waits_for_its_settings(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert f"User={unit.stem}" in lines
    assert f"ConditionPathExists=|/etc/ksem-airbridge/{unit.stem.removeprefix('ksem-')}.toml" in lines


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_service_has_a_memory_limit_and_needs_no_folder_to_start(unit: Path) -> None:
    """On a read-only root StateDirectory= fails for ever (238) where the folder was never made."""
    keys = {line.partition("=")[0] for line in unit.read_text().splitlines() if not line.startswith("#")}
    assert "MemoryMax" in keys
    assert "StateDirectory" not in keys
    for line in unit.read_text().splitlines():
        if line.startswith(("ExecStartPre=", "ReadWritePaths=")):
            assert line.partition("=")[2].startswith("-"), "it may fail"


def example_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_settings", ROOT / "deploy/packaging" / "example_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


EXAMPLES = example_module()


@pytest.mark.parametrize("example", EXAMPLES.EXAMPLES, ids=lambda example: example.command)
class TestExampleSettings:
    def test_are_what_the_settings_classes_say(self, example: "EXAMPLES.Example") -> None:  # type: ignore[name-defined]
        assert example.path.read_text() == example.render(), "run: python deploy/packaging/example_settings.py"

    def test_load_and_leave_everything_else_at_its_default(self, example: "EXAMPLES.Example") -> None:  # type: ignore[name-defined]
        settings = load(example.settings, path=example.path, environ={})
        given = tomllib.loads(example.path.read_text())
        needed = {"ksem-publisher": ["host"], "rtu-server": ["port"], "inverter-reader": ["host"], "ksem-dashboard": []}
        assert [key for table in given.values() for key in keys(table)] == needed[example.command]
        assert settings.mqtt.host == "localhost"

    def test_show_defaults_that_are_the_defaults(self, example: "EXAMPLES.Example", tmp_path: Path) -> None:  # type: ignore[name-defined]
        """Each commented line, made active by itself, changes nothing."""
        lines = example.path.read_text().splitlines()
        as_is = load(example.settings, path=example.path, environ={})
        tried = 0
        for number, line in enumerate(lines):
            key, _, value = line.removeprefix("# ").partition(" = ")
            if not line.startswith("# ") or not value or " " in key or value.startswith("("):
                continue
            if key in ("username", "password_file"):  # a pair, and an example instead of a default
                continue
            path = tmp_path / "one.toml"
            path.write_text("\n".join([*lines[:number], line.removeprefix("# "), *lines[number + 1 :]]))
            assert load(example.settings, path=path, environ={}) == as_is, line
            tried += 1
        assert tried >= 10


def keys(table: object) -> list[str]:
    """The keys with a value in a table, or in the tables of an array."""
    if isinstance(table, list):
        return [key for one in table for key in keys(one)]
    assert isinstance(table, dict)
    return [
        key for key, value in table.items() if not (isinstance(value, list) and value and isinstance(value[0], dict))
    ]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
