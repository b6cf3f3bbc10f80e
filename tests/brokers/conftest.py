"""Runs every test on every broker that is installed, and writes docs/brokers.md from what they saw."""

from pathlib import Path
from typing import Any

import pytest

from .page import render
from .programs import BROKERS, NamedBroker

_FACTS = pytest.StashKey[dict[str, Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--brokers-page", metavar="FILE", help="write docs/brokers.md here")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FACTS] = {}


def pytest_unconfigure(config: pytest.Config) -> None:
    wanted = config.getoption("--brokers-page", None)
    found: dict[str, Any] = config.stash[_FACTS]
    if wanted and found:
        Path(wanted).write_text(render(found))


@pytest.fixture(scope="module", params=BROKERS, ids=lambda kind: kind.name.replace(" ", "-"))
def kind(request: pytest.FixtureRequest) -> type[NamedBroker]:
    """One kind of broker; its tests are skipped where it is not installed."""
    cls: type[NamedBroker] = request.param
    if cls.program() is None:
        pytest.skip(f"{cls.name} is not installed (tests/brokers/install)")
    return cls


@pytest.fixture
def facts(request: pytest.FixtureRequest, kind: type[NamedBroker]) -> dict[str, Any]:
    """What the page says of this broker."""
    every: dict[str, Any] = request.config.stash[_FACTS]
    found: dict[str, Any] = every.setdefault(kind.name, {"version": kind.version(), "remarks": kind.anomalies})
    return found
