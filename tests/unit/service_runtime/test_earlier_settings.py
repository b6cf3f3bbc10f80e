"""Settings of every released version load in this one: an upgrade never ends in a service that refuses its file."""

from pathlib import Path
from typing import Any

import attrs
import pytest

from ksem_dashboard.settings import KsemDashboardSettings
from ksem_publisher.settings import PublisherSettings
from rtu_server.settings import RtuServerSettings
from service_runtime.setting import setting
from service_runtime.settings import Loaded, SettingsError, load, load_with_sources
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


@attrs.frozen(kw_only=True)
class _Table:
    patience: float = setting(default=1.0, help="how long", was=("timeout", "wait"))


@attrs.frozen(kw_only=True)
class _Settings:
    poll: _Table = setting(factory=_Table, help="a table")


class TestRenamedKeys:
    def load(self, tmp_path: Path, text: str, **environ: str) -> Loaded[_Settings]:
        path = tmp_path / "x.toml"
        path.write_text(text)
        return load_with_sources(_Settings, path=path, environ=environ)

    def test_a_key_is_taken_by_its_old_name_and_reported(self, tmp_path: Path) -> None:
        loaded = self.load(tmp_path, "[poll]\ntimeout = 5.0\n")
        assert loaded.settings.poll.patience == 5.0
        assert len(loaded.renamed) == 1
        assert "timeout" in loaded.renamed[0]
        assert "patience" in loaded.renamed[0]

    def test_a_variable_is_taken_by_its_old_name_too(self, tmp_path: Path) -> None:
        assert self.load(tmp_path, "", AIRBRIDGE_POLL__WAIT="7").settings.poll.patience == 7.0

    def test_old_and_new_name_together_are_a_mistake(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="patience is set too"):
            self.load(tmp_path, "[poll]\ntimeout = 5.0\npatience = 6.0\n")

    def test_a_new_variable_beats_the_old_name_in_the_file(self, tmp_path: Path) -> None:
        loaded = self.load(tmp_path, "[poll]\ntimeout = 5.0\n", AIRBRIDGE_POLL__PATIENCE="6")
        assert loaded.settings.poll.patience == 6.0
