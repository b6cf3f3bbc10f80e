"""The setup's questions, decided without a network, a port or a terminal."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from airbridge.setup.settings_text import EMPTY, UnreadableSettings
from airbridge.setup.steps import (
    BrokerAnswer,
    FindAnnounced,
    LineAnswer,
    LineMode,
    ListAdapters,
    ListenToLine,
    LookAtMeter,
    PushAnswer,
    Restart,
    Save,
    ScanNetworks,
    TryBroker,
    WaitForPush,
)
from airbridge.setup.texts import ENGLISH, OPTIONS
from airbridge.setup.wizard_input import Address, Given
from tests.unit.airbridge.setup_script import CH340, FTDI, STICK, Script, all_devices, existing, ksem, other, refuses

BOTH = ("ksem-publisher", "rtu-server")


class TestFirstRun:
    def test_in_a_house_where_all_is_well_two_questions_are_enough(self) -> None:
        script = Script(results=all_devices(ksem("192.168.1.50")))
        assert script.run(Given(services=BOTH), existing()) == 0
        assert script.questions == ["scan", "meter", "save"]
        publisher = tomllib.loads(script.saved["publisher.toml"])
        assert publisher == {"meter": [{"host": "192.168.1.50"}], "mqtt": {"host": "127.0.0.1", "port": 1884}}
        assert tomllib.loads(script.saved["rtu-server.toml"])["line"] == [{"port": FTDI.path}]

    def test_a_meter_that_announces_itself_needs_no_search(self) -> None:
        script = Script(results={FindAnnounced: (ksem("192.168.1.50"),)})
        assert script.run(Given(services=("ksem-publisher",)), existing()) == 0
        assert not any(isinstance(step, ScanNetworks) for step in script.steps)

    def test_everything_is_saved_in_one_step_after_the_last_question(self) -> None:
        script = Script(results=all_devices(ksem("192.168.1.50")))
        script.run(Given(services=BOTH), existing())
        saves = [number for number, step in enumerate(script.steps) if isinstance(step, Save)]
        assert len(saves) == 1
        last = max(n for n, step in enumerate(script.steps) if hasattr(step, "key"))
        assert saves[0] > last

    def test_who_answers_no_at_the_end_has_nothing_written(self) -> None:
        script = Script({"save": False}, all_devices(ksem("192.168.1.50")))
        assert script.run(Given(services=BOTH), existing()) == 4
        assert not script.saved


class TestMeter:
    def test_it_is_found_among_five_other_modbus_devices(self) -> None:
        strangers = [other(f"192.168.1.{number}") for number in (3, 4, 5)]
        inverter = refuses("192.168.1.6", inverter_port=True)
        found = all_devices(*strangers, inverter, refuses("192.168.1.7"), ksem("192.168.1.50"))
        script = Script(results=found)
        assert script.run(Given(services=("ksem-publisher",)), existing()) == 0
        assert 'host = "192.168.1.50"' in script.saved["publisher.toml"]
        assert script.has_shown("192.168.1.6", "an inverter, not the meter")
        assert script.has_shown("192.168.1.3", "another Modbus device")

    def test_of_two_meters_none_is_taken_without_a_choice(self) -> None:
        found = all_devices(ksem("192.168.1.50"), ksem("192.168.1.51", serial="79999999"))
        script = Script({"meter": "192.168.1.51"}, found)
        assert script.run(Given(services=("ksem-publisher",)), existing()) == 0
        assert 'host = "192.168.1.51"' in script.saved["publisher.toml"]
        assert script.has_shown("192.168.1.51", "79999999")

    def test_where_nothing_is_found_the_address_is_asked_for_until_a_meter_answers(self) -> None:
        found = {**all_devices(ksem("192.168.1.50")), ScanNetworks: ()}
        script = Script({"meter": ["192.168.1.99", "http://192.168.1.50/"]}, found)
        assert script.run(Given(services=("ksem-publisher",)), existing()) == 0
        assert script.has_shown("No KSEM was found")
        assert script.has_shown("192.168.1.99", "nothing answers")
        assert 'host = "192.168.1.50"' in script.saved["publisher.toml"]

    def test_an_inverter_instead_of_the_meter_is_named_and_not_taken(self) -> None:
        found = all_devices(refuses("192.168.1.6", inverter_port=True), ksem("192.168.1.50"))
        script = Script({"meter": "192.168.1.50"}, found)
        given = Given(services=("ksem-publisher",), meter=Address("192.168.1.6"))
        assert script.run(given, existing()) == 0
        assert script.has_shown("192.168.1.6", "an inverter, not the meter")
        assert 'host = "192.168.1.50"' in script.saved["publisher.toml"]

    def test_a_meter_that_speaks_tls_only_is_set_up_with_tls(self) -> None:
        answers = [refuses("192.168.1.50", tls_port=True), ksem("192.168.1.50", tls=True)]
        script = Script(results={LookAtMeter: answers})
        given = Given(services=("ksem-publisher",), meter=Address("192.168.1.50"))
        assert script.run(given, existing()) == 0
        assert tomllib.loads(script.saved["publisher.toml"])["meter"] == [{"host": "192.168.1.50", "tls": True}]

    def test_what_failed_its_test_is_written_only_when_that_is_wanted(self) -> None:
        script = Script({"untested": True}, all_devices())
        given = Given(services=("ksem-publisher",), meter=Address("192.168.1.9"))
        assert script.run(given, existing()) == 0
        assert 'host = "192.168.1.9"' in script.saved["publisher.toml"]

    def test_no_address_is_tried_without_consent(self) -> None:
        script = Script({"scan": False, "meter": "192.168.1.50"}, all_devices(ksem("192.168.1.50")))
        assert script.run(Given(services=("ksem-publisher",)), existing()) == 0
        assert not any(isinstance(step, ScanNetworks) for step in script.steps)

    def test_the_menu_is_shown_with_this_hosts_own_address_and_the_push_awaited(self) -> None:
        script = Script(
            {"wait": True},
            {
                **all_devices(ksem("192.168.1.50")),
                WaitForPush: [PushAnswer("nothing"), PushAnswer("pushed", "192.168.1.50")],
            },
        )
        assert script.run(Given(services=("ksem-publisher",)), existing()) == 0
        assert script.has_shown("192.168.1.2, port 5020")
        assert script.has_shown("The meter at 192.168.1.50 writes to this host.")


class TestPort:
    @pytest.mark.parametrize("there", [(FTDI, CH340), (CH340, FTDI)])
    def test_of_two_adapters_none_is_taken_without_a_choice(self, there: tuple[object, ...]) -> None:
        script = Script({"port": CH340.path}, {ListAdapters: there})
        assert script.run(Given(services=("rtu-server",)), existing()) == 0
        assert tomllib.loads(script.saved["rtu-server.toml"])["line"] == [{"port": CH340.path}]

    def test_a_zigbee_stick_is_named_and_left_alone(self) -> None:
        script = Script(results={ListAdapters: (STICK, FTDI)})
        assert script.run(Given(services=("rtu-server",)), existing()) == 0
        assert script.has_shown(STICK.path, "Zigbee", "left alone")
        assert FTDI.path in script.saved["rtu-server.toml"]

    def test_the_program_on_a_port_is_named_and_the_port_not_taken(self) -> None:
        held = replace(FTDI, holders=((4711, "mbusd"),))
        script = Script({"port": CH340.path}, {ListAdapters: (held, CH340)})
        assert script.run(Given(services=("rtu-server",)), existing()) == 0
        assert script.has_shown(FTDI.path, "mbusd (4711)")
        assert "port" not in script.questions
        assert CH340.path in script.saved["rtu-server.toml"]

    def test_our_own_server_may_hold_it_and_is_not_disturbed(self) -> None:
        ours = replace(FTDI, holders=((4711, "rtu-server"),), ours=True)
        script = Script(results={ListAdapters: (ours,)})
        assert script.run(Given(services=("rtu-server",)), existing()) == 0
        assert not any(isinstance(step, ListenToLine) for step in script.steps)

    def test_the_adapter_may_come_while_the_setup_runs(self) -> None:
        script = Script({"port": "again"}, {ListAdapters: [(), (FTDI,)]})
        assert script.run(Given(services=("rtu-server",)), existing()) == 0
        assert script.has_shown("No serial adapter")
        assert FTDI.path in script.saved["rtu-server.toml"]

    def test_an_inverter_at_another_speed_is_found_and_its_speed_written(self) -> None:
        script = Script(results={ListenToLine: LineAnswer("requests", LineMode(9600, "N", 1), (1,))})
        assert script.run(Given(services=("rtu-server",)), existing()) == 0
        line = {"port": FTDI.path, "baudrate": 9600, "stopbits": 1}
        assert tomllib.loads(script.saved["rtu-server.toml"])["line"] == [line]

    def test_bytes_that_are_modbus_at_no_speed_mean_swapped_wires(self) -> None:
        script = Script(results={ListenToLine: [LineAnswer("noise"), LineAnswer("requests", units=(1,))]})
        assert script.run(Given(services=("rtu-server",)), existing()) == 0
        assert script.has_shown("A and B are most likely swapped")

    def test_a_silent_line_shows_the_inverters_menu_and_waits(self) -> None:
        silent = [LineAnswer("silent"), LineAnswer("silent"), LineAnswer("requests", units=(1,))]
        script = Script({"wait": True}, {ListenToLine: silent})
        assert script.run(Given(services=("rtu-server",)), existing()) == 0
        assert script.has_shown("type KOSTAL Smart Energy Meter")
        assert script.has_shown("The inverter requests unit 1 at 38400 8N2.")

    def test_another_unit_than_1_is_named_with_the_key_to_set(self) -> None:
        script = Script(results={ListenToLine: LineAnswer("requests", units=(3,))})
        script.run(Given(services=("rtu-server",)), existing())
        assert script.has_shown("unit 3", "[[line.unit]]")


class TestBroker:
    def test_a_wrong_password_is_asked_for_again_and_kept_out_of_the_settings(self) -> None:
        states = [
            BrokerAnswer("down"),
            BrokerAnswer("login"),
            BrokerAnswer("login"),
            BrokerAnswer("login"),
            BrokerAnswer("up"),
        ]
        script = Script({"username": ["me", "me"], "password": ["wrong", "right"]}, {TryBroker: states})
        assert script.run(Given(services=("rtu-server",)), existing()) == 0
        assert script.saved["logins/rtu/password"] == "right\n"
        assert "right" not in script.saved["rtu-server.toml"]
        mqtt = tomllib.loads(script.saved["rtu-server.toml"])["mqtt"]
        assert (mqtt["username"], mqtt["password_file"]) == ("me", "/etc/ksem-airbridge/logins/rtu/password")

    def test_where_no_broker_is_here_its_address_is_asked_for(self) -> None:
        states = [BrokerAnswer("down", "refused")] * 3 + [BrokerAnswer("up")]
        script = Script({"broker": ["nowhere", "ha.lan:1884"]}, {TryBroker: states})
        assert script.run(Given(services=("rtu-server",)), existing()) == 0
        assert tomllib.loads(script.saved["rtu-server.toml"])["mqtt"] == {"host": "ha.lan", "port": 1884}

    def test_each_service_logs_in_with_its_own_login_where_there_is_one(self) -> None:
        found = replace(existing(), logins=frozenset({"publisher", "rtu"}))
        script = Script(results=all_devices(ksem("192.168.1.50")))
        assert script.run(Given(services=BOTH), found) == 0
        tried = [step.mqtt.username for step in script.steps if isinstance(step, TryBroker)]
        assert tried == ["publisher", "rtu"]
        assert set(script.saved) == {"publisher.toml", "rtu-server.toml"}


PUBLISHER = """\
# my notes
[[meter]]
id = "house"      # not main
host = "192.168.1.50"
timeout = 3.0

[mqtt]
host = "broker.lan"
username = "me"   # from the admin
password_file = "/etc/ksem-airbridge/logins/publisher/password"

[values]
interval = 5.0
"""


class TestRunAgain:
    def test_an_example_file_that_nobody_changed_answers_nothing(self) -> None:
        example = '[[meter]]\nhost = "192.168.1.50"\n[mqtt]\nhost = "localhost"\n'
        found = replace(existing(publisher=example), templates={**EMPTY, "publisher.toml": example})
        script = Script(results=all_devices(ksem("192.168.1.77")))
        assert script.run(Given(services=("ksem-publisher",)), found) == 0
        assert 'host = "192.168.1.77"' in script.saved["publisher.toml"]

    def test_one_thing_is_changed_and_everything_else_kept_comments_included(self) -> None:
        script = Script({"change": "meter"}, all_devices(ksem("192.168.1.51")))
        found = existing(publisher=PUBLISHER)
        assert script.run(Given(services=("ksem-publisher",)), found) == 0
        assert script.saved == {"publisher.toml": PUBLISHER.replace("192.168.1.50", "192.168.1.51")}

    def test_an_option_names_what_is_changed(self) -> None:
        script = Script(results=all_devices(ksem("192.168.1.51")))
        given = Given(services=("ksem-publisher",), meter=Address("192.168.1.51"))
        assert script.run(given, existing(publisher=PUBLISHER)) == 0
        assert script.questions == ["save"]
        assert not any(isinstance(step, TryBroker) for step in script.steps)

    def test_the_same_answer_again_writes_nothing(self) -> None:
        script = Script(results=all_devices(ksem("192.168.1.50")))
        given = Given(services=("ksem-publisher",), meter=Address("192.168.1.50"))
        assert script.run(given, existing(publisher=PUBLISHER)) == 0
        assert not script.saved
        assert not any(isinstance(step, Save | Restart) for step in script.steps)

    def test_by_default_nothing_changes_and_the_doctor_looks(self) -> None:
        script = Script()
        assert script.run(Given(services=("ksem-publisher",)), existing(publisher=PUBLISHER)) == 0
        assert script.questions == ["change"]
        assert not script.saved

    def test_a_login_under_another_name_is_kept_when_the_broker_is_looked_at_again(self) -> None:
        found = replace(existing(publisher=PUBLISHER), logins=frozenset({"publisher"}))
        script = Script({"change": "broker"})
        assert script.run(Given(services=("ksem-publisher",)), found) == 0
        assert not script.saved

    def test_settings_that_can_not_be_read_are_never_overwritten(self) -> None:
        script = Script(results=all_devices(ksem("192.168.1.51")))
        with pytest.raises(UnreadableSettings):
            script.run(Given(services=("ksem-publisher",)), existing(publisher="[[meter]\nhost"))
        assert not script.saved


def test_every_question_without_a_default_has_an_option_that_answers_it() -> None:
    folder = Path(__file__).parents[3] / "airbridge" / "setup"
    keys = set()
    for file in folder.glob("*_questions.py"):
        text = file.read_text()
        keys |= {
            part.split('"')[1] for call in ("Choose(", "Enter(") for part in text.split(call)[1:] if '"' in part[:3]
        }
    assert keys <= set(OPTIONS)


def test_every_text_that_is_named_exists_and_none_is_left_over() -> None:
    folder = Path(__file__).parents[3] / "airbridge" / "setup"
    source = "".join(file.read_text() for file in folder.glob("*.py") if file.name != "texts.py")
    unused = [
        name
        for name in ENGLISH
        if f'"{name}"' not in source
        and not name.startswith(("device ", "remedy ", "push ", "line ", "broker ", "change ", "adapter "))
    ]
    assert not set(unused) - {"yes", "no"}
