"""Settings: what is taken, what is refused, and that every mistake is told at once with where and what is allowed."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service_runtime.common_settings import HomeAssistantSettings, MqttSettings
from service_runtime.setting import at_least_one, between, describe, each, name, one_of, positive, setting, toml_word
from service_runtime.settings import SettingsError, load, load_with_sources


@attrs.frozen(kw_only=True)
class Unit:
    id: int = setting(default=1, help="the unit id", allowed=between(1, 247))
    on_stale: str = setting(default="silent", help="what then", allowed=one_of("silent", "exception-4"))


@attrs.frozen(kw_only=True)
class Line:
    name: str = setting(default="rs485", help="a name for it", allowed=name())
    port: str = setting(help="the serial port")
    idle_gap: float = setting(default=0.025, help="the idle gap", allowed=positive("seconds"))
    rs485: bool = setting(default=False, help="kernel RS485 mode")
    unit: tuple[Unit, ...] = setting(factory=lambda: (Unit(),), help="the units", allowed=at_least_one())


@attrs.frozen(kw_only=True)
class Freshness:
    live: float = setting(default=1.5, help="seconds", allowed=positive())
    vital: tuple[str, ...] = setting(default=("live",), help="blocks", allowed=each(one_of("live", "energy")))


@attrs.frozen(kw_only=True)
class Service:
    line: tuple[Line, ...] = setting(factory=tuple, help="the lines", allowed=at_least_one())
    freshness: Freshness = setting(factory=Freshness, help="the limits")
    mqtt: MqttSettings = setting(factory=MqttSettings, help="the broker")
    homeassistant: HomeAssistantSettings = setting(factory=HomeAssistantSettings, help="discovery")


LINE = '[[line]]\nport = "/dev/rs485"\n'


def read(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> Service:
    path = tmp_path / "rtu-server.toml"
    path.write_text(text)
    return load(Service, path=path, environ=environ or {})


def mistakes(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """Without the folder in front of the file's name."""
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, text, environ)
    assert str(caught.value) == "\n".join(caught.value.mistakes)
    return [mistake.replace(f"{tmp_path}/", "") for mistake in caught.value.mistakes]


def test_what_is_not_given_has_its_default(tmp_path: Path) -> None:
    settings = read(tmp_path, LINE)
    assert settings.line == (Line(port="/dev/rs485"),)
    assert settings.line[0].unit == (Unit(),)
    assert settings.mqtt == MqttSettings()
    assert (settings.mqtt.host, settings.mqtt.port, settings.mqtt.keepalive) == ("localhost", 1883, 2)


def test_tables_arrays_and_nested_arrays_are_read(tmp_path: Path) -> None:
    text = LINE + "[[line.unit]]\nid = 3\n[[line.unit]]\nid = 4\n" + LINE + "[freshness]\nvital = []\nlive = 2\n"
    settings = read(tmp_path, text)
    assert [unit.id for unit in settings.line[0].unit] == [3, 4]
    assert [unit.id for unit in settings.line[1].unit] == [1]
    assert settings.freshness.vital == ()
    assert settings.freshness.live == 2.0
    assert isinstance(settings.freshness.live, float)


def test_the_environment_beats_the_file_and_reaches_into_arrays(tmp_path: Path) -> None:
    environ = {
        "AIRBRIDGE_MQTT__HOST": "broker.lan",
        "AIRBRIDGE_MQTT__USERNAME": "123",
        "AIRBRIDGE_MQTT__PASSWORD": "true",
        "AIRBRIDGE_LINE__0__IDLE_GAP": "1",
        "AIRBRIDGE_LINE__0__RS485": "true",
        "AIRBRIDGE_LINE__0__UNIT__0__ID": "7",
        "AIRBRIDGE_LINE__1__PORT": "/dev/second",
        "AIRBRIDGE_FRESHNESS__VITAL": '["live", "energy"]',
        "AIRBRIDGE_HOMEASSISTANT__DISCOVERY": "false",
        "AIRBRIDGE_METER__0__HOST": "of another service",
        "PATH": "/bin",
    }
    settings = read(tmp_path, LINE + '[mqtt]\nhost = "from file"\nport = 8884\n', environ)
    assert settings.mqtt == MqttSettings(host="broker.lan", port=8884, username="123", password="true")
    assert settings.line[0] == Line(port="/dev/rs485", idle_gap=1.0, rs485=True, unit=(Unit(id=7),))
    assert settings.line[1] == Line(port="/dev/second")
    assert settings.freshness.vital == ("live", "energy")
    assert settings.homeassistant.discovery is False


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    assert read(tmp_path, LINE, {"AIRBRIDGE_MQTT__USERNAME": "", "AIRBRIDGE_MQTT__PORT": ""}).mqtt == MqttSettings()


def test_all_mistakes_are_told_at_once_with_file_table_key_value_and_what_is_allowed(tmp_path: Path) -> None:
    text = """
        [mqtt]
        port = 70000
        hots = "x"
        tls = "yes"
        [freshness]
        live = "1"
        vital = ["life"]
        [[line]]
        idle_gap = 0
        [[line.unit]]
        id = 300
    """
    environ = {"AIRBRIDGE_MQTT__KEEPALIVE": "soon", "AIRBRIDGE_LINE__0__UNIT__0__IDD": "4"}
    assert sorted(mistakes(tmp_path, text, environ)) == sorted(
        [
            "rtu-server.toml: [mqtt] port = 70000: a port, 1 to 65535",
            "rtu-server.toml: [mqtt] hots: unknown key; did you mean host?",
            'rtu-server.toml: [mqtt] tls = "yes": true or false',
            'rtu-server.toml: [freshness] live = "1": a number, above 0',
            'rtu-server.toml: [freshness] vital = ["life"]: a list, each item one of "live", "energy"',
            "rtu-server.toml: [[line]] #1: port is missing (or AIRBRIDGE_LINE__0__PORT): the serial port",
            "rtu-server.toml: [[line]] #1 idle_gap = 0: above 0 seconds",
            "rtu-server.toml: [[line.unit]] #1.1 id = 300: 1 to 247",
            'environment: AIRBRIDGE_MQTT__KEEPALIVE = "soon": a whole number, 1 to 600 seconds',
            "environment: AIRBRIDGE_LINE__0__UNIT__0__IDD: unknown key; did you mean id?",
        ]
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[mqqt]\nhost = 1\n", "[mqqt]: unknown table; did you mean mqtt?"),
        ("host = 1\n", "host: stands outside of any table"),
        ('[line]\nport = "x"\n', "[line]: write [[line]], it may stand several times"),
        ("[[mqtt]]\nport = 1\n", "[mqtt]: write [mqtt], it stands once"),
        ("mqtt = 3\n", "[mqtt]: must be a table"),
        ("[mqtt\n", "not TOML: "),
        ("line = []\n", "[[line]]: at least one is needed"),
        ('[[line]]\nport = "x"\nunit = []\n', "[[line.unit]]: at least one is needed"),
        ('[mqtt]\npassword = "secret"\n', "[mqtt]: username is needed where a password is given"),
        ('[mqtt]\nprefix = "/ksem"\n', "a topic prefix like ksem"),
        ("[mqtt]\nport = 1883.0\n", "[mqtt] port = 1883.0: a whole number, a port, 1 to 65535"),
        ("[mqtt]\nport = true\n", "[mqtt] port = true: a whole number"),
        ("[mqtt]\nhost = 5\n", "[mqtt] host = 5: a text"),
        ("[freshness]\nlive = true\n", "[freshness] live = true: a number"),
        ("[freshness]\nlive = nan\n", "[freshness] live = nan: a number"),
        ("[freshness]\nlive = inf\n", "[freshness] live = inf: a number"),
        ('[freshness]\nvital = "live"\n', '[freshness] vital = "live": a list, each item a text'),
        ('[mqtt]\nca_file = "/no/such"\ntls = true\n', 'ca_file = "/no/such": a file that this user may read'),
    ],
)
def test_each_kind_of_mistake_in_a_file_has_its_words(tmp_path: Path, text: str, words: str) -> None:
    found = mistakes(tmp_path, text if "line" in text else text + LINE)
    assert len(found) == 1, found
    assert found[0].startswith("rtu-server.toml: ")
    assert words in found[0]


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("AIRBRIDGE_MQTT_HOST", "did you mean AIRBRIDGE_MQTT__HOST? (two underscores"),
        ("AIRBRIDGE_MQTTT__HOST", "unknown table mqttt; did you mean mqtt?"),
        ("AIRBRIDGE_X", "names look like AIRBRIDGE_MQTT__HOST"),
        ("AIRBRIDGE_MQTT__HOSTS", "unknown key; did you mean host?"),
        ("AIRBRIDGE_MQTT__HOST__X", "host is one value, not a table"),
        ("AIRBRIDGE_LINE__PORT", "[[line]] needs a number, counted from 0"),
        ("AIRBRIDGE_LINE__2__PORT", "there is no [[line]] before it; count from 0"),
        ("AIRBRIDGE_LINE__0__UNIT", "a table can't be given whole"),
        ("AIRBRIDGE_LINE__0", "a table can't be given whole"),
        ("AIRBRIDGE_LINE__0__UNIT__0__ID", '= "x": a whole number, 1 to 247'),
    ],
)
def test_each_kind_of_mistake_in_the_environment_names_its_variable(tmp_path: Path, variable: str, words: str) -> None:
    found = mistakes(tmp_path, LINE, {variable: "x"})
    assert len(found) == 1, found
    assert found[0].startswith(f"environment: {variable}")
    assert words in found[0]


def test_two_variables_where_one_is_inside_the_other_are_refused(tmp_path: Path) -> None:
    found = mistakes(tmp_path, LINE, {"AIRBRIDGE_MQTT__HOST": "a", "AIRBRIDGE_MQTT__HOST__X": "b"})
    assert found == ["environment: AIRBRIDGE_MQTT__HOST__X: AIRBRIDGE_MQTT__HOST is set too; give one of them"]


def test_tables_of_another_service_are_ignored(tmp_path: Path) -> None:
    read(tmp_path, LINE + '[[meter]]\nid = 5\nnonsense = true\n[poll]\nx = "y"\n', {"AIRBRIDGE_PUSH__PORT": "x"})


def test_a_default_file_may_be_missing_but_a_named_one_may_not(tmp_path: Path) -> None:
    environ = {"AIRBRIDGE_LINE__0__PORT": "/dev/x"}
    missing = tmp_path / "none.toml"
    assert load(Service, path=None, default_path=missing, environ=environ).line[0].port == "/dev/x"
    with pytest.raises(SettingsError, match=r"none\.toml: can't be read: No such file"):
        load(Service, path=missing, environ=environ)
    missing.write_text("[mqtt]\nport = 1\n")
    assert load(Service, path=None, default_path=missing, environ=environ).mqtt.port == 1


def test_a_secret_may_be_given_as_a_file_and_the_nearer_source_wins(tmp_path: Path) -> None:
    secret, other = tmp_path / "secret", tmp_path / "other"
    secret.write_text("from file\n")
    text = LINE + f'[mqtt]\nusername = "rtu"\npassword_file = "{secret}"\n'
    assert read(tmp_path, text).mqtt.password == "from file"
    assert read(tmp_path, text, {"AIRBRIDGE_MQTT__PASSWORD": "direct"}).mqtt.password == "direct"
    direct = LINE + '[mqtt]\nusername = "rtu"\npassword = "direct"\n'
    assert read(tmp_path, direct, {"AIRBRIDGE_MQTT__PASSWORD_FILE": str(secret)}).mqtt.password == "from file"
    both = mistakes(tmp_path, text + 'password = "x"\n')
    assert both == ["rtu-server.toml: [mqtt]: password and password_file: give one of them"]
    assert "can't be read" in mistakes(tmp_path, text.replace(str(secret), str(other)))[0]
    other.write_text("\n")
    assert "the file is empty" in mistakes(tmp_path, text.replace(str(secret), str(other)))[0]


def test_a_wrong_secret_is_not_shown(tmp_path: Path) -> None:
    assert "12345" not in mistakes(tmp_path, LINE + '[mqtt]\nusername = "u"\npassword = 12345\n')[0]


def test_what_is_in_force_is_shown_with_its_origin_and_without_secrets(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(LINE + '[mqtt]\nusername = "rtu"\n')
    loaded = load_with_sources(Service, path=path, environ={"AIRBRIDGE_MQTT__PASSWORD": "tell nobody"})
    text = describe(loaded.settings, loaded.sources)
    assert "tell nobody" not in text
    assert 'password = "********"  # AIRBRIDGE_MQTT__PASSWORD' in text
    assert f'port = "/dev/rs485"  # {path}' in text
    assert "port = 1883  # default" in text
    assert "# ca_file is not set" in text


def test_what_is_shown_can_be_read_again(tmp_path: Path) -> None:
    text = (
        LINE
        + "[[line.unit]]\nid = 3\n[[line.unit]]\n"
        + LINE
        + '[freshness]\nlive = 1e-3\n[mqtt]\nhost = "a\\"b\\\\"\n'
    )
    settings = read(tmp_path, text)
    assert read(tmp_path, describe(settings)) == settings


@given(st.text())
def test_any_text_is_spelled_so_that_toml_reads_it_back(text: str) -> None:
    assert tomllib.loads(f"x = {toml_word(text)}")["x"] == text


def test_rules_hold_for_settings_made_in_code_too() -> None:
    with pytest.raises(ValueError, match="port = 0: a port, 1 to 65535"):
        MqttSettings(port=0)
    with pytest.raises(ValueError, match="cert_file and key_file"):
        MqttSettings(cert_file=Path(__file__))


@pytest.mark.parametrize("table", [MqttSettings, HomeAssistantSettings])
def test_every_key_has_a_help_text(table: type[Any]) -> None:
    assert all(field.metadata["help"] for field in attrs.fields(table))


_leaf = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.text(max_size=3)))
_keys = st.sampled_from(["line", "mqtt", "freshness", "unit", "port", "id", "live", "vital", "password_file", "meter"])
_tree = st.recursive(
    _leaf,
    lambda inner: st.one_of(st.dictionaries(_keys, inner, max_size=4), st.lists(inner, max_size=3)),
    max_leaves=12,
)
_variables = st.dictionaries(
    st.lists(st.sampled_from(["LINE", "MQTT", "0", "1", "UNIT", "PORT", "ID", "", "X"]), max_size=4).map(
        lambda parts: "AIRBRIDGE_" + "__".join(parts)
    ),
    st.text(max_size=6),
    max_size=4,
)


@given(tree=st.dictionaries(_keys, _tree, max_size=5), environ=_variables)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@pytest.mark.promise(10)
def test_no_settings_whatever_end_in_anything_but_settings_or_mistakes(
    tmp_path: Path, tree: dict[str, Any], environ: dict[str, str]
) -> None:
    text = "\n".join(f"{key} = {toml_word(value)}" for key, value in tree.items())
    reported = ["nothing wrong"]
    try:
        read(tmp_path, text, environ)
    except SettingsError as error:
        reported = error.mistakes
    assert reported
    assert all(reported)


def test_a_password_outside_of_any_table_is_not_printed(tmp_path: Path) -> None:
    found = mistakes(tmp_path, 'password = "hunter2"\n' + LINE)
    assert "hunter2" not in str(found)
    assert "password: stands outside of any table" in found[0]


@pytest.mark.parametrize(
    "name", ["AIRBRIDGE_LINE__²__PORT", "AIRBRIDGE_LINE__" + "9" * 5000 + "__PORT", "AIRBRIDGE_LINE__٣__PORT"]
)
def test_an_odd_number_in_a_variable_name_is_a_mistake(tmp_path: Path, name: str) -> None:
    assert "needs a number" in mistakes(tmp_path, LINE, {name: "/dev/x"})[0]


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 5000])
def test_a_number_with_thousands_of_digits_is_a_mistake(tmp_path: Path, number: str) -> None:
    assert mistakes(tmp_path, LINE + f"[mqtt]\nport = {number}\n")
    assert mistakes(tmp_path, LINE, {"AIRBRIDGE_MQTT__PORT": number})
    assert mistakes(tmp_path, LINE, {"AIRBRIDGE_FRESHNESS__LIVE": number})


def test_text_without_quotes_is_named_by_its_key_and_line(tmp_path: Path) -> None:
    found = mistakes(tmp_path, LINE + "[mqtt]\nhost = 192.168.77.50\n")
    assert "line 4" in found[0]
    assert 'text stands in quotes: host = "..."' in found[0]


def test_a_password_without_quotes_is_not_printed(tmp_path: Path) -> None:
    assert "hunter2" not in str(mistakes(tmp_path, LINE + "[mqtt]\npassword = hunter2\n"))


def test_without_a_settings_file_the_error_names_the_file_and_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Service, path=None, environ={}, default_path=tmp_path / "none.toml")
    assert caught.value.mistakes[0] == f"no settings file at {tmp_path / 'none.toml'}"
    assert "[[line]]: at least one is needed, with port" in caught.value.mistakes[1]


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ('[mqtt]\nhost = {password = "hunter2"}\n', {}),
        ('[mqtt.host]\npassword = "hunter2"\n', {}),
        ('[mqtt]\nhost = [[{password = "hunter2"}]]\n', {}),
        ('[freshness]\nvital = [{password = "hunter2"}]\n', {}),
        ("", {"AIRBRIDGE_MQTT__PORT": '{password = "hunter2"}'}),
    ],
)
def test_a_password_in_a_table_where_a_value_belongs_is_not_printed(
    tmp_path: Path, text: str, environ: dict[str, str]
) -> None:
    found = mistakes(tmp_path, LINE + text, environ)
    assert len(found) == 1
    assert "password = ..." in found[0]
    assert "hunter2" not in found[0]
