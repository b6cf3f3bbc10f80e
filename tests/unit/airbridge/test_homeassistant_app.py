"""Home Assistant's app: its files by the Supervisor's rules, its options, when a service is started again."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from airbridge.homeassistant_app.keeper import HUNG, LONGEST_PAUSE, START_PATIENCE, Keeper
from airbridge.homeassistant_app.options import PAGE_PORT, PUSH_PORT, BadOptions, plans
from service_runtime.version import VERSION

ROOT = Path(__file__).parents[3]
APP = ROOT / "homeassistant-app" / "ksem_airbridge"
CONFIG: dict[str, Any] = yaml.safe_load((APP / "config.yaml").read_text())
RULES = json.loads((ROOT / "tests" / "data" / "homeassistant-app.schema.json").read_text())
BROKER = {"host": "core-mosquitto", "port": 1883, "username": "addons", "password": 'a"b\\c', "ssl": False}
OPTIONS = {"meter_host": "192.168.1.50", "serial_port": "/dev/ttyUSB0"}


class TestFiles:
    def test_the_configuration_holds_by_the_supervisors_rules(self) -> None:
        jsonschema.validate(CONFIG, RULES)

    def test_the_rules_refuse_what_the_supervisor_refuses(self) -> None:
        for broken in (
            {"schema": {"x": "string"}},
            {"services": ["mqtt:maybe"]},
            {"watchdog": "http://localhost:8100"},
            {"arch": ["riscv64"]},
            {"schema": {"x": [["str"]]}},
        ):
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({**CONFIG, **broken}, RULES)

    def test_it_asks_the_host_for_nothing_but_a_serial_port_of_the_options(self) -> None:
        rights = (
            "privileged",
            "full_access",
            "host_network",
            "devices",
            "uart",
            "usb",
            "map",
            "hassio_role",
            "docker_api",
        )
        assert not set(rights) & set(CONFIG)
        assert CONFIG["schema"]["serial_port"] == "device(subsystem=tty)?"

    def test_every_option_has_a_name_and_a_description_in_both_languages(self) -> None:
        for language in ("en", "de"):
            shown = yaml.safe_load((APP / "translations" / f"{language}.yaml").read_text())
            assert set(shown["configuration"]) == set(CONFIG["schema"])
            for name, texts in shown["configuration"].items():
                assert texts["name"], name
                assert texts["description"], name
            assert set(shown["network"]) == set(CONFIG["ports"])

    def test_required_options_have_a_default_or_must_be_given(self) -> None:
        required = {key for key, kind in CONFIG["schema"].items() if not (isinstance(kind, str) and kind.endswith("?"))}
        assert required == set(CONFIG["options"])

    def test_version_and_ports_are_those_of_the_code(self) -> None:
        assert CONFIG["version"] == VERSION
        assert CONFIG["ingress_port"] == PAGE_PORT
        assert set(CONFIG["ports"]) == {f"{PUSH_PORT}/tcp"}

    def test_the_repository_is_found_from_the_top_and_in_its_folder(self) -> None:
        for place in (ROOT, ROOT / "homeassistant-app"):
            assert yaml.safe_load((place / "repository.yaml").read_text())["name"] == "KSEM AirBridge"

    def test_the_pattern_of_further_settings_takes_keys_and_nothing_else(self) -> None:
        pattern = CONFIG["schema"]["settings"][0]["name"].removeprefix("match(").removesuffix(")")
        assert re.match(pattern, "line.0.baudrate")
        assert not re.match(pattern, "PATH")
        assert not re.match(pattern, "poll")


class TestOptions:
    def test_the_supervisors_broker_is_used_with_its_login(self) -> None:
        for plan in plans(OPTIONS, BROKER):
            mqtt = tomllib.loads(plan.settings)["mqtt"]
            assert mqtt == {"host": "core-mosquitto", "port": 1883, "username": "addons", "password": 'a"b\\c'}

    def test_a_broker_of_the_options_goes_before(self) -> None:
        (plan, *_) = plans({**OPTIONS, "mqtt_host": "b.lan", "mqtt_tls": True}, BROKER)
        assert tomllib.loads(plan.settings)["mqtt"] == {"host": "b.lan", "tls": True}

    def test_without_an_adapter_the_inverters_side_does_not_run(self) -> None:
        services = [plan.service for plan in plans({"meter_host": "a"}, BROKER)]
        assert services == ["ksem-publisher", "ksem-dashboard"]

    @pytest.mark.parametrize(
        ("options", "mqtt", "words"),
        [({"meter_host": None}, BROKER, "meter_host"), (OPTIONS, None, "Mosquitto broker")],
    )
    def test_what_is_missing_is_named_with_the_remedy(self, options: Any, mqtt: Any, words: str) -> None:
        with pytest.raises(BadOptions, match=words):
            plans(options, mqtt)

    def test_further_settings_become_variables_that_beat_the_file(self) -> None:
        more = {"settings": [{"name": "line.0.baudrate", "value": "9600"}]}
        assert all(
            plan.environ == {"AIRBRIDGE_LINE__0__BAUDRATE": "9600"} for plan in plans({**OPTIONS, **more}, BROKER)
        )

    def test_a_password_is_not_shown_with_a_plan(self) -> None:
        assert "hunter2" not in repr(plans(OPTIONS, {**BROKER, "password": "hunter2"}))


class TestKeeper:
    def test_a_service_that_ends_is_due_within_a_second(self) -> None:
        keeper = Keeper()
        assert keeper.is_due(0)
        keeper.started(0)
        keeper.ended(100)
        assert not keeper.is_due(100)
        assert keeper.is_due(101)

    def test_one_that_ends_at_once_is_started_more_and_more_rarely(self) -> None:
        keeper, now, pauses = Keeper(), 0.0, []
        for _ in range(8):
            keeper.started(now)
            keeper.ended(now)
            begun = now
            while not keeper.is_due(now):
                now += 0.5
            pauses.append(now - begun)
        assert pauses == sorted(pauses)
        assert pauses[0] <= 0.5
        assert pauses[-1] == LONGEST_PAUSE

    def test_one_that_ran_well_is_started_soon_again(self) -> None:
        keeper = Keeper()
        for _ in range(5):
            keeper.started(0)
            keeper.ended(1)
        keeper.started(100)
        keeper.ended(1000)
        assert keeper.is_due(1000.5)

    def test_a_loop_that_does_not_turn_is_hung_but_not_while_it_starts(self) -> None:
        keeper = Keeper()
        keeper.started(0)
        assert not keeper.is_hung(START_PATIENCE, None)
        assert keeper.is_hung(START_PATIENCE + 1, None)
        assert not keeper.is_hung(100, 1)
        assert keeper.is_hung(100, HUNG + 1)
        assert not keeper.is_hung(10, 500)  # the run before
