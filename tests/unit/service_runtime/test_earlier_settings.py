"""Settings of every released version load in this one: an upgrade never ends in a service that refuses its file."""

from pathlib import Path
from typing import Any

import pytest

from ksem_dashboard.settings import KsemDashboardSettings
from ksem_publisher.settings import PublisherSettings
from rtu_server.settings import RtuServerSettings
from service_runtime.settings import load
from service_runtime.version import VERSION

FOLDER = Path(__file__).parents[2] / "data" / "settings"
CLASSES: dict[str, type[Any]] = {
    "publisher": PublisherSettings,
    "rtu-server": RtuServerSettings,
    "dashboard": KsemDashboardSettings,
}
FILES = sorted(FOLDER.glob("*/*.toml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_settings_of_an_earlier_version_load(file: Path) -> None:
    service = next(name for name in CLASSES if file.name.startswith(name))
    load(CLASSES[service], path=file, environ={})


def test_there_are_settings_of_this_version_with_every_key() -> None:
    found = {file.name for file in (FOLDER / VERSION).iterdir()}
    assert found == {f"{name}-{kind}.toml" for name in CLASSES for kind in ("as-shipped", "all-keys")}
