"""The product stays readable: few modules, none without a reason to be small or long."""

import ast
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    **{name: ROOT / name for name in ("airbridge", "inverter_reader", "ksem_dashboard", "ksem_publisher")},
    **{name: ROOT / name for name in ("ksem_simulators", "rtu_server")},
    **{name: ROOT / "shared" / name for name in ("ksem_contract", "modbus_codec", "service_runtime")},
}
MOST_MODULES = 230
MOST_CORES = 90
SMALL, LONG = 60, 350
"""Lines below which a module with one importer needs a reason, and above which any module does."""
TABLES = {"ksem_contract.health", "ksem_contract.reason_catalogue", "ksem_contract.reason_german"}
"""One table each, as their docstrings explain."""
ABOVE = {
    "ksem_publisher.meter": 400,
    "rtu_server.register_cache": 400,
    "rtu_server.service": 380,
    "service_runtime.mqtt_connection": 390,
    "service_runtime.mqtt_link": 360,
}
"""Longer than they should be, and may not grow. No other module may join them."""


def _modules() -> dict[str, Path]:
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            if path.name != "__init__.py":
                found[".".join((package, *path.relative_to(folder).with_suffix("").parts))] = path
    return found


MODULES = _modules()


def _lines(module: str) -> int:
    return len(MODULES[module].read_text(encoding="utf-8").splitlines())


def _cores() -> set[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (named,) = (one["source_modules"] for one in contracts if one["name"].startswith("cores do no IO"))
    return {module for module in MODULES for name in named if module == name or module.startswith(f"{name}.")}


def _importers() -> dict[str | None, set[str]]:
    importers: dict[str | None, set[str]] = defaultdict(set)
    for importer, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                for name in (node.module, *(f"{node.module}.{one.name}" for one in node.names)):
                    importers[name].add(importer)
    return importers


def test_the_product_has_few_modules() -> None:
    assert len(MODULES) <= MOST_MODULES


def test_the_decisions_are_in_few_cores() -> None:
    cores = _cores()
    assert 50 < len(cores) <= MOST_CORES


def test_a_small_module_that_one_other_imports_explains_why_it_stands_apart() -> None:
    importers = _importers()
    assert len(importers["service_runtime.clock"]) > 10
    for module, path in MODULES.items():
        if module.endswith("__main__") or _lines(module) >= SMALL or len(importers[module]) > 1:
            continue
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        assert text.count(". ") + text.count(".\n") > 0, f"{module}: no reason, beside what it does"


@pytest.mark.parametrize("module", sorted(MODULES.keys() - TABLES))
def test_no_module_is_too_long_to_read(module: str) -> None:
    assert _lines(module) <= ABOVE.get(module, LONG)
