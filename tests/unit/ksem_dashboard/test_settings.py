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


def test_all_mistakes_of_notifications_are_reported_at_once_and_no_address_is_shown(tmp_path: Path) -> None:
    addresses = tmp_path / "addresses"
    addresses.write_text("# mail\nntfy://ntfy.example/house\nsecret-without-a-kind\n")
    text = f'[notify]\nurls_file = "{addresses}"\nrepeat = 60\nquiet = "22:00-22:00"\n'
    with pytest.raises(SettingsError) as caught:
        loaded(text, tmp_path)
    reported = str(caught.value)
    assert all(word in reported for word in ("urls_file", "line 3 is no address", "repeat = 60", "quiet"))
    assert "secret" not in reported


def test_a_file_without_addresses_or_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("# nobody\n")
    for name, words in (("empty", "holds no address"), ("missing", "may read")):
        with pytest.raises(SettingsError, match=words):
            loaded(f'[notify]\nurls_file = "{tmp_path / name}"\n', tmp_path)


def test_the_example_of_notifications_is_good_but_for_its_file(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "dashboard.md").read_text(encoding="utf-8")
    example = page.split("```toml\n")[2].split("```")[0]
    (tmp_path / "addresses").write_text("ntfy://ntfy.example/house\n")
    text = example.replace("/etc/ksem-airbridge/notify-urls", str(tmp_path / "addresses"))
    settings = loaded(text, tmp_path).notify
    assert (settings.rules.after, settings.receivers()[0].name) == (60.0, "line 1 (ntfy)")
