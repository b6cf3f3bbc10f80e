"""Ready settings for other programs, each read as that program reads it and fed what the publisher publishes.

The names are the rules of the programs: HA = Home Assistant, and so on. Sources stand in the snippets' modules.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from airbridge.command import app
from ksem_contract.blocks import ENERGY
from ksem_contract.topics import Topics
from ksem_contract.values import VALUE_KEYS
from ksem_publisher.block_publisher import Message
from ksem_publisher.settings import PublisherSettings
from ksem_publisher.value_publisher import ValuePublisher, counter_messages
from service_runtime.settings import load
from tests.unit.ksem_publisher.model_meter import live_words

PROGRAMS = ("evcc", "openwb", "homeassistant", "uni-meter", "telegraf", "node-red")
OWN = ("--prefix", "site/house", "--meter", "attic", "--broker", "192.0.2.7", "--username", "reader")
UNITS = {key.key: key.unit for key in VALUE_KEYS}


def snippet(program: str, *options: str) -> str:
    ran = CliRunner().invoke(app, ["snippets", program, *(options or OWN)])
    assert ran.exit_code == 0, ran.output
    return ran.stdout


class Published:
    """What the publisher has put on the broker: the newest payload of each topic, and which are retained."""

    def __init__(self) -> None:
        self.payloads: dict[str, bytes] = {}
        self.retained: set[str] = set()

    def publish(self, messages: Sequence[Message]) -> bool:
        self.payloads |= {topic: payload for topic, payload, *_ in messages}
        self.retained |= {topic for topic, _, retain, _ in messages if retain}
        return True

    def number(self, topic: str) -> float:
        assert topic in self.payloads, f"nobody publishes {topic}"
        return float(self.payloads[topic])


def house(watts: tuple[int, int, int]) -> Published:
    """A meter that sees these watts on its phases, with 2 A and 230 V on each, and 1234.5678 kWh imported."""
    words = live_words(1, watts)
    for base in (60, 100, 140):
        words[base : base + 4] = [0, 2000, *divmod(230_000, 65536)]
    counters = [0] * ENERGY.count
    for base in (0, 80, 160, 240):
        counters[base + 2 : base + 4] = divmod(12_345_678, 65536)
        counters[base + 6 : base + 8] = divmod(20_000, 65536)
    published = Published()
    values = ValuePublisher("attic", Topics("site/house"), published.publish, 1.0, lambda: 100.0)
    values.energy(tuple(counters), 100.0, 100.0)
    published.publish(values.live(tuple(words), 100.0))
    return published


@pytest.fixture
def importing() -> Published:
    return house((500, 300, 434))


@pytest.fixture
def exporting() -> Published:
    return house((-500, -300, -434))


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_snippet_holds_a_secret_or_needs_one_on_the_command_line(program: str) -> None:
    text = snippet(program)
    assert all("PASSWORD" in line for line in text.splitlines() if re.search(r"\bpassword\b *[:=]", line))
    assert "ksem/" not in text.replace("ksem/custom", ""), "the own prefix, everywhere"


def test_a_prefix_that_can_be_none_is_refused() -> None:
    ran = CliRunner().invoke(app, ["snippets", "evcc", "--prefix", "a/#"])
    assert ran.exit_code == 2
    assert "prefix" in ran.output


# --- evcc


def evcc() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(snippet("evcc"))
    return found


def evcc_sources() -> Iterator[tuple[str, Mapping[str, str]]]:
    (grid,) = evcc()["meters"]
    for key, source in grid.items():
        if isinstance(source, dict):
            yield key, source
        elif isinstance(source, list):
            yield from ((key, one) for one in source)


def test_evcc_every_source_has_a_timeout() -> None:
    assert len(list(evcc_sources())) == 12
    for _, source in evcc_sources():
        assert re.fullmatch(r"[1-9]\d*s", source["timeout"])


def test_evcc_every_topic_is_one_the_publisher_publishes(importing: Published) -> None:
    for _, source in evcc_sources():
        importing.number(source["topic"])


def test_evcc_power_is_positive_for_import(importing: Published, exporting: Published) -> None:
    topic = dict(evcc_sources())["power"]["topic"]
    assert importing.number(topic) == 1234.0
    assert exporting.number(topic) == -1234.0


def test_evcc_currents_are_three_and_signed_like_power(importing: Published, exporting: Published) -> None:
    topics = [source["topic"] for key, source in evcc_sources() if key == "currents"]
    assert [importing.number(topic) for topic in topics] == [2.0, 2.0, 2.0]
    assert [exporting.number(topic) for topic in topics] == [-2.0, -2.0, -2.0]


def test_evcc_powers_and_voltages_are_three_entries_each(exporting: Published) -> None:
    for key, each in (("powers", [-500.0, -300.0, -434.0]), ("voltages", [230.0] * 3)):
        topics = [source["topic"] for name, source in evcc_sources() if name == key]
        assert [exporting.number(topic) for topic in topics] == each


def test_evcc_waits_for_a_first_value_longer_than_one_takes_to_come() -> None:
    """It waits up to `timeout` on its first read: live values come each second, counters each 10 s, by default."""
    for key, source in evcc_sources():
        assert int(source["timeout"].rstrip("s")) >= (60 if key in {"energy", "returnenergy"} else 10)


def test_evcc_logs_in_with_the_name_that_was_given() -> None:
    assert evcc()["mqtt"]["user"] == "reader"
    assert "user" not in yaml.safe_load(snippet("evcc", "--broker", "192.0.2.7"))["mqtt"]


def test_evcc_energy_is_in_kwh(importing: Published) -> None:
    sources = dict(evcc_sources())
    assert importing.number(sources["energy"]["topic"]) == 1234.5678
    assert importing.number(sources["returnenergy"]["topic"]) == 2.0


def test_evcc_a_live_value_is_never_retained_so_its_age_is_true(importing: Published) -> None:
    """The age starts at receipt: a retained live value would count as new."""
    for key, source in evcc_sources():
        assert (source["topic"] in importing.retained) == (key in {"energy", "returnenergy"})


def test_evcc_no_payload_is_one_of_its_commands_or_not_a_number(importing: Published) -> None:
    """ErrAsleep, ErrMustRetry and ErrNotAvailable are commands; NaN and Inf are rejected."""
    for topic, payload in importing.payloads.items():
        assert b"Err" not in payload
        if "/value/" in topic:
            assert re.fullmatch(rb"-?\d+(\.\d+)?", payload), topic


def test_evcc_the_meter_it_names_is_the_one_its_site_uses() -> None:
    assert evcc()["site"]["meters"]["grid"] == evcc()["meters"][0]["name"]
    assert evcc()["mqtt"]["broker"] == "192.0.2.7:1883"
    assert yaml.safe_load(snippet("evcc", "--tls"))["mqtt"]["broker"] == "tls://localhost:8883"


# --- openWB


def openwb(published: Published) -> dict[str, Any]:
    values = json.loads(published.payloads["site/house/attic/values"])
    prefix = "openWB/set/mqtt/counter/7/get/"
    return {topic.removeprefix(prefix): json.loads(payload) for topic, payload in counter_messages(7, values)}


def test_openwb_the_snippet_is_what_the_publisher_reads(tmp_path: Path) -> None:
    path = tmp_path / "publisher.toml"
    path.write_text('[[meter]]\nhost = "ksem.lan"\n' + snippet("openwb", "--counter", "7"))
    (counter,) = load(PublisherSettings, path=path, environ={}).openwb.counter
    assert (counter.meter, counter.id) == ("main", 7)


def test_openwb_keys_are_those_it_knows(importing: Published) -> None:
    known = {"power", "powers", "currents", "voltages", "power_factors", "frequency", "imported", "exported"}
    assert openwb(importing).keys() <= known
    assert openwb(importing).keys() >= known - {"power_factors"}


def test_openwb_topics_are_those_that_it_takes_a_counter_from() -> None:
    topics = [topic for topic, _ in counter_messages(7, {"power": 1.0, "frequency": 50.0})]
    assert topics == ["openWB/set/mqtt/counter/7/get/power", "openWB/set/mqtt/counter/7/get/frequency"]


def test_openwb_power_which_it_requires_is_a_number_in_watts(importing: Published, exporting: Published) -> None:
    assert openwb(importing)["power"] == 1234.0
    assert openwb(exporting)["power"] == -1234.0


def test_openwb_frequency_and_counters_are_never_negative(exporting: Published) -> None:
    found = openwb(exporting)
    assert all(found[key] >= 0 for key in ("frequency", "imported", "exported"))


def test_openwb_a_counter_that_is_not_known_is_left_out_and_never_0() -> None:
    """It adds up power by itself where a counter is missing or 0."""
    topics = [topic for topic, _ in counter_messages(7, {"power": 1.0, "energy_import": 2.0})]
    assert "openWB/set/mqtt/counter/7/get/imported" in topics
    assert "openWB/set/mqtt/counter/7/get/exported" not in topics


def test_openwb_no_payload_is_empty_since_it_knows_no_age_and_stopping_is_all_that_can_be_done() -> None:
    assert counter_messages(7, {}) == []
    values = {"power": 0.0, **{f"current_l{phase}": 0.0 for phase in (1, 2, 3)}}
    assert all(payload for _, payload in counter_messages(7, values))


def test_openwb_phases_are_arrays_of_three_numbers(importing: Published) -> None:
    for key in ("powers", "currents", "voltages"):
        phases = openwb(importing)[key]
        assert len(phases) == 3
        assert all(isinstance(value, float) for value in phases)


def test_openwb_counters_are_in_wh(importing: Published) -> None:
    assert openwb(importing)["imported"] == 1_234_567.8
    assert openwb(importing)["exported"] == 2000.0


def test_openwb_currents_have_the_sign_of_powers(exporting: Published) -> None:
    found = openwb(exporting)
    assert all(current < 0 for current in found["currents"])
    assert all(power < 0 for power in found["powers"])


def test_openwb_what_is_outside_its_ranges_is_not_sent() -> None:
    values = {f"{key}_l{phase}": 600.0 for key in ("voltage", "power_factor") for phase in (1, 2, 3)}
    assert counter_messages(7, values) == []
    assert counter_messages(7, {"power_l1": 1.0, "power_l2": 2.0}) == [], "two phases are not three"


def test_openwb_is_told_at_the_pace_of_the_values_and_never_retained() -> None:
    published = Published()
    now = [100.0]
    values = ValuePublisher("main", Topics(), published.publish, 1.0, lambda: now[0], openwb=[3])
    published.publish(values.live(tuple(live_words(1)), now[0]))
    topic = "openWB/set/mqtt/counter/3/get/power"
    assert topic in published.payloads
    assert topic not in published.retained
    published.payloads.clear()
    now[0] += 0.2
    published.publish(values.live(tuple(live_words(2)), now[0]))
    assert topic not in published.payloads
    now[0] += 0.9
    published.publish(values.live(tuple(live_words(3)), now[0]))
    assert topic in published.payloads


# --- Home Assistant without discovery


def sensors() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(snippet("homeassistant"))["mqtt"]["sensor"]
    return found


def values_sensors() -> list[tuple[str, dict[str, Any]]]:
    return [
        (sensor["state_topic"].rpartition("/")[2], sensor) for sensor in sensors() if "/value/" in sensor["state_topic"]
    ]


def test_ha_every_value_topic_is_one_the_publisher_publishes(importing: Published) -> None:
    for _, sensor in values_sensors():
        importing.number(sensor["state_topic"])


def test_ha_units_are_those_of_the_values() -> None:
    for key, sensor in values_sensors():
        assert sensor.get("unit_of_measurement", "") == UNITS[key]


def test_ha_every_value_expires() -> None:
    for key, sensor in values_sensors():
        assert sensor["expire_after"] == (4000 if key.startswith("energy") else 15)


def test_ha_energy_dashboard_takes_the_counters() -> None:
    for key, sensor in values_sensors():
        if key.startswith("energy"):
            assert (sensor["device_class"], sensor["state_class"]) == ("energy", "total_increasing")
            assert sensor["unit_of_measurement"] == "kWh"


def test_ha_power_is_a_measurement_in_watts() -> None:
    power = dict(values_sensors())["power"]
    assert (power["device_class"], power["state_class"], power["unit_of_measurement"]) == ("power", "measurement", "W")


def test_ha_availability_is_a_list_of_topics() -> None:
    power = dict(values_sensors())["power"]
    assert power["availability"] == [{"topic": "site/house/attic/status"}]


def test_ha_ids_are_unique_and_all_belong_to_one_device() -> None:
    ids = [sensor["unique_id"] for sensor in sensors()]
    assert len(set(ids)) == len(ids)
    assert len({json.dumps(sensor["device"], sort_keys=True) for sensor in sensors()}) == 1


# --- uni-meter


def test_uni_meter_channels_find_their_numbers_in_the_json(importing: Published) -> None:
    text = snippet("uni-meter")
    assert 'url = "tcp://192.0.2.7:1883"' in text
    assert text.count("{") == text.count("}")
    rows = re.findall(r'\{ type = "json", topic = "(.+?)", json-path = "\$\.(\w+)", channel = "([a-z0-9-]+)" \}', text)
    found = {channel: json.loads(importing.payloads[topic])[key] for topic, key, channel in rows}
    assert found["power-l1"] == 500.0
    assert found["energy-consumption-l2"] == 1234.5678
    assert found["energy-production-l3"] == 2.0
    assert len(found) == 9


def test_uni_meter_takes_the_phases_apart_and_logs_in() -> None:
    text = snippet("uni-meter")
    assert 'power-phase-mode = "tri-phase"' in text
    assert 'username = "reader"' in text
    assert "password" in text


# --- Telegraf


def test_telegraf_takes_every_number_and_the_meters_time(importing: Published) -> None:
    (consumer,) = tomllib.loads(snippet("telegraf"))["inputs"]["mqtt_consumer"]
    assert consumer["servers"] == ["tcp://192.0.2.7:1883"]
    assert consumer["tags"] == {"meter": "attic"}
    (topic,) = consumer["topics"]
    payload = json.loads(importing.payloads[topic])
    assert topic not in importing.retained
    assert consumer["data_format"] == "json"
    assert datetime.fromisoformat(payload.pop(consumer["json_time_key"])).tzinfo
    assert all(isinstance(value, int | float) for value in payload.values())
    # Go's layout: milliseconds, and Z for UTC
    assert consumer["json_time_format"] == "2006-01-02T15:04:05.000Z07:00"


# --- Node-RED


def test_node_red_flow_is_whole_and_says_when_values_stop(importing: Published) -> None:
    nodes = {node["id"]: node for node in json.loads(snippet("node-red"))}
    for node in nodes.values():
        for wires in node.get("wires", []):
            assert all(target in nodes for target in wires)
    values = next(node for node in nodes.values() if node.get("datatype") == "json")
    assert json.loads(importing.payloads[values["topic"]])["power"] == 1234.0
    assert nodes[values["broker"]]["broker"] == "192.0.2.7"
    trigger = next(node for node in nodes.values() if node["type"] == "trigger")
    assert trigger["id"] in values["wires"][0]
    assert trigger["extend"] is True
    assert (trigger["duration"], trigger["units"]) == ("10", "s")


# --- logins, TLS, the publisher's settings


@pytest.fixture
def publisher_toml(tmp_path: Path) -> Path:
    path = tmp_path / "publisher.toml"
    password = tmp_path / "password"
    password.write_text("hunter2\n")
    path.write_text(
        '[[meter]]\nid = "cellar"\nhost = "ksem.lan"\n'
        f'[mqtt]\nprefix = "site/house"\nusername = "publisher"\npassword_file = "{password}"\n'
        "[values]\ninterval = 20\n[poll]\nenergy = 30\n"
    )
    return path


def test_the_publishers_settings_give_topics_login_address_and_time_outs(publisher_toml: Path) -> None:
    text = snippet("evcc", "--config", str(publisher_toml))
    found = yaml.safe_load(text)
    power, energy = (found["meters"][0][key] for key in ("power", "energy"))
    assert power == {"source": "mqtt", "topic": "site/house/cellar/value/power", "timeout": "60s"}
    assert energy["timeout"] == "90s"
    assert found["mqtt"]["user"] == "reader"
    assert not found["mqtt"]["broker"].startswith(("localhost", "127."))
    assert "sudo cat /etc/ksem-airbridge/logins/reader/password" in text
    assert "hunter2" not in text


def test_ha_time_outs_follow_the_settings_and_its_login_is_its_own(publisher_toml: Path) -> None:
    text = snippet("homeassistant", "--config", str(publisher_toml))
    sensors = yaml.safe_load(text)["mqtt"]["sensor"]
    assert next(one for one in sensors if one["name"] == "Power")["expire_after"] == 60
    assert "user homeassistant" in text


@pytest.mark.parametrize("program", PROGRAMS)
def test_where_no_values_are_published_nobody_gets_a_snippet(publisher_toml: Path, program: str) -> None:
    publisher_toml.write_text(publisher_toml.read_text().replace("interval = 20", "enabled = false"))
    ran = CliRunner().invoke(app, ["snippets", program, "--config", str(publisher_toml)])
    assert ran.exit_code == 2
    assert "[values] enabled = false" in ran.output


def test_evcc_publishes_nothing_with_a_login_that_may_only_read() -> None:
    assert evcc()["mqtt"]["topic"] == ""


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("evcc", ("caCert: |", "clientCert: |", "clientKey: |", "tls://192.0.2.7:8883")),
        ("homeassistant", ("port 8883", "client certificate")),
        ("telegraf", ("tls_ca = ", "tls_cert = ", "tls_key = ", "ssl://192.0.2.7:8883")),
        ("uni-meter", ("ssl://192.0.2.7:8883", "javax.net.ssl.trustStore", "javax.net.ssl.keyStore")),
        ("node-red", ('"tls-config"', '"tls": "airbridge-tls"', '"port": "8883"')),
    ],
)
def test_with_tls_each_program_gets_its_certificates(program: str, words: tuple[str, ...]) -> None:
    text = snippet(program, *OWN, "--tls")
    for word in (*words, "/etc/ksem-airbridge/logins/"):
        assert word in text
    if program in ("evcc", "homeassistant"):
        yaml.safe_load(text)
    elif program == "telegraf":
        tomllib.loads(text)
    elif program == "node-red":
        json.loads(text)


@pytest.mark.parametrize("program", ["evcc", "homeassistant", "telegraf", "uni-meter", "node-red"])
def test_without_tls_each_says_how_to_get_it(program: str) -> None:
    assert "8883" in snippet(program)


def test_uni_meter_forgets_values_that_stop() -> None:
    assert "forget-interval = 10s" in snippet("uni-meter")


def test_openwb_says_what_its_user_management_needs() -> None:
    text = snippet("openwb")
    assert "remote_username" in text
    assert "does not look at a value's age" in text
