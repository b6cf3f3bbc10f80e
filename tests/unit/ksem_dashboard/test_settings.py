import tomllib
from pathlib import Path

import pytest

from ksem_dashboard.settings import KsemDashboardSettings
from service_runtime.settings import SettingsError, load


def loaded(text: str, folder: Path, **environ: str) -> KsemDashboardSettings:
    path = folder / "dashboard.toml"
    path.write_text(text)
    return load(KsemDashboardSettings, path=path, environ=environ)


def test_without_any_settings_it_listens_on_loopback_and_shows_everything(tmp_path: Path) -> None:
    settings = loaded("", tmp_path).dashboard
    assert (settings.listen, settings.port, settings.meters, settings.nodes) == ("127.0.0.1", 8080, (), ())


def test_meters_and_nodes_can_be_named_in_the_environment_too(tmp_path: Path) -> None:
    settings = loaded('[dashboard]\nmeters = ["main"]', tmp_path, AIRBRIDGE_DASHBOARD__NODES='["attic"]').dashboard
    assert (settings.meters, settings.nodes) == (("main",), ("attic",))


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded('[dashboard]\nport = 0\nmeters = ["Main"]\nold_after = 0\ncolour = "red"', tmp_path)
    text = str(caught.value)
    assert all(word in text for word in ("port = 0", "meters", "old_after", "colour"))


def test_the_example_of_the_documentation_is_good(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "dashboard.md").read_text(encoding="utf-8")
    example = page.split("```toml\n")[1].split("```")[0]
    loaded(example, tmp_path)
    assert set(tomllib.loads(example)) == {"dashboard", "mqtt"}
