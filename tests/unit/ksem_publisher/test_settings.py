from pathlib import Path

import pytest

from ksem_publisher.settings import PublisherSettings
from service_runtime.settings import SettingsError, load


def loaded(text: str, tmp_path: Path, environ: dict[str, str] | None = None) -> PublisherSettings:
    path = tmp_path / "publisher.toml"
    path.write_text(text)
    return load(PublisherSettings, path=path, environ=environ or {})


def mistakes(text: str, tmp_path: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(text, tmp_path)
    return "\n".join(caught.value.mistakes)


def test_a_host_is_all_that_is_needed(tmp_path: Path) -> None:
    settings = loaded('[[meter]]\nhost = "ksem.lan"', tmp_path)
    (meter,) = settings.meter
    assert (meter.id, meter.poll_port, meter.unit, meter.timeout) == ("main", 502, 1, 2.0)
    assert (settings.push.enabled, settings.push.listen, settings.push.port) == (True, "0.0.0.0", 5020)
    poll = settings.poll
    assert (poll.live, poll.energy, poll.device, poll.sunspec) == (0.25, 10, 10, 10)
    assert (settings.checks.plausible, settings.checks.frozen_after) == (True, 10.0)
    assert (settings.demand.enabled, settings.demand.max_ranges) == (True, 8)
    assert (settings.values.enabled, settings.values.interval) == (True, 1.0)


def test_the_environment_alone_is_enough(tmp_path: Path) -> None:
    settings = load(PublisherSettings, path=None, environ={"AIRBRIDGE_METER__0__HOST": "ksem.lan"})
    assert settings.meter[0].host == "ksem.lan"


def test_with_tls_the_port_is_802_unless_another_is_given(tmp_path: Path) -> None:
    assert loaded('[[meter]]\nhost = "a"\ntls = true', tmp_path).meter[0].poll_port == 802
    assert loaded('[[meter]]\nhost = "a"\ntls = true\nport = 8802', tmp_path).meter[0].poll_port == 8802


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("", "meter"),
        ('[[meter]]\nid = "rtu"\nhost = "a"', "rtu"),
        ('[[meter]]\nhost = "a"\n[[meter]]\nhost = "b"', "twice"),
        ('[[meter]]\nhost = "a"\n[[meter]]\nid = "two"\nhost = "a"', "push_port"),
        ('[[meter]]\nhost = "a"\nunit = 256', "unit"),
        ('[[meter]]\nhost = "a"\n[poll]\nlive = 0', "live"),
        ('[[meter]]\nhost = "a"\n[poll]\nlife = 1', "life"),
        ('[[meter]]\nhost = "a"\n[checks]\nfrozen_after = -1', "frozen_after"),
    ],
)
def test_what_is_wrong_is_named(text: str, reported: str, tmp_path: Path) -> None:
    assert reported in mistakes(text, tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "named"),
    [
        ('host = "10.0.0.5"', 'host = "b"\npush_from = ["10.0.0.5"]', "10.0.0.5"),
        ('host = "a"\npush_from = ["c", "10.0.0.5"]', 'host = "::ffff:10.0.0.5"', "10.0.0.5"),
        ('host = "a"\npush_from = ["c"]', 'host = "b"\npush_from = ["d", "c"]', "c"),
        ('host = "a"\npush_from = ["c"]', 'host = "b"\npush_from = ["A."]', "A."),
        ('host = "a"', 'host = "a"', "a"),
    ],
)
def test_an_address_of_which_two_meters_may_push_is_refused_with_both_names(
    one: str, other: str, named: str, tmp_path: Path
) -> None:
    reported = mistakes(f'[[meter]]\nid = "x"\n{one}\n[[meter]]\nid = "y"\n{other}', tmp_path)
    assert f'{named}" may be those of "x" or of "y"' in reported
    assert "push_port" in reported
    apart = f'[[meter]]\nid = "x"\npush_port = 5021\n{one}\n[[meter]]\nid = "y"\n{other}'
    assert len(loaded(apart, tmp_path).meter) == 2


def test_two_meters_with_one_address_are_told_apart_by_push_ports(tmp_path: Path) -> None:
    text = '[[meter]]\nhost = "a"\npush_port = 5021\n[[meter]]\nid = "two"\nhost = "a"\npush_port = 5022'
    assert len(loaded(text, tmp_path).meter) == 2


def test_every_key_has_a_help_text() -> None:
    for table in (PublisherSettings, *(field.type for field in PublisherSettings.__attrs_attrs__)):
        for field in getattr(table, "__attrs_attrs__", ()):
            assert field.metadata["help"], f"{table}.{field.name}"
