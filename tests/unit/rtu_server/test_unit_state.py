from dataclasses import replace

import pytest

from ksem_contract.mac import MacFault
from ksem_contract.reasons import Reason
from rtu_server.health import TCP_OK, UnitView, judge, judge_tcp

SERVED = UnitView(
    line="rs485",
    unit=1,
    meter="main",
    topic="ksem/main",
    enabled=True,
    port_up=True,
    port_reasons=(),
    broker_up=True,
    broker_reasons=(),
    meter_online=True,
    fresh_since=50.0,
    last_received=99.9,
    last_block=99.9,
    undated=False,
    last_request=99.9,
    last_data=99.9,
    foreign_or_noise=0,
)
NOW = 100.0
GONE = (Reason.of("port-missing", port="/dev/x"),)
REFUSED = (Reason.of("broker-login", error="refused"),)


def test_a_unit_whose_inverter_asks_and_gets_data_is_ok() -> None:
    assert judge(SERVED, NOW).state == "ok"
    assert judge(SERVED, NOW).is_served


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({"enabled": False}, "degraded", "enabled = false"),
        ({"port_up": False, "port_reasons": GONE}, "down", "no such port"),
        (
            {"fresh_since": None, "broker_up": False, "broker_reasons": REFUSED},
            "down",
            "no link to the broker; refused",
        ),
        ({"fresh_since": None, "last_received": None}, "down", "ACL"),
        ({"fresh_since": None, "meter_online": False}, "down", "reports offline"),
        ({"fresh_since": None, "last_block": None}, "down", "ACL keeps ksem/main/block/+"),
        ({"fresh_since": None, "last_block": 90.0}, "down", "has stalled"),
        ({"fresh_since": None, "bad_mac": MacFault.MISSING}, "down", "upgrade ksem-publisher"),
        ({"fresh_since": None, "bad_mac": MacFault.KEYLESS, "has_key": True}, "down", "this host's key"),
        ({"fresh_since": None, "bad_mac": MacFault.WRONG, "has_key": True}, "down", "the same key into [integrity]"),
        ({"fresh_since": None, "bad_mac": MacFault.WRONG}, "down", "give rtu-server the key"),
        ({"silenced": "register 0 is 5"}, "down", "gave a wrong answer (register 0 is 5): restart rtu-server"),
        ({"fresh_since": None, "undated": True}, "down", "answers no ping"),
        ({"fresh_since": None}, "down", "arrive too old"),
        ({"last_request": None, "last_data": None}, "degraded", "never sent"),
        ({"last_request": None, "last_data": None, "foreign_or_noise": 3}, "degraded", "baudrate"),
        ({"last_request": 80.0, "last_data": 80.0}, "degraded", "stopped sending"),
        ({"unsent_since": 98.0, "port": "/dev/x", "last_data": 98.0}, "down", "/dev/x takes no answers"),
        ({"last_data": 90.0}, "degraded", "ranges that the meter does not have"),
    ],
)
def test_each_fault_is_named_with_its_remedy(change: dict[str, object], state: str, words: str) -> None:
    verdict = judge(replace(SERVED, **change), NOW)  # type: ignore[arg-type]
    assert verdict.state == state
    assert words in verdict.why
    assert not judge(replace(SERVED, **change), NOW).is_served  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "state", "code"),
    [
        ({"enabled": False}, "degraded", "unit-off"),
        ({"silenced": "register 0 is 5"}, "down", "unit-silenced"),
        ({"port_up": False}, "down", "unit-has-no-port"),
        ({"fresh_since": None, "broker_up": False}, "down", "node-without-broker"),
        ({"fresh_since": None, "meter_online": False}, "down", "meter-offline"),
        ({"fresh_since": None, "bad_mac": MacFault.WRONG}, "down", "mac-of-unknown-key"),
        ({"stay": 10.0, "refuses_until": NOW + 3}, "down", "unit-stays"),
    ],
)
def test_a_unit_of_a_modbus_tcp_server_gives_the_reasons_of_a_line_s_unit(
    change: dict[str, object], state: str, code: str
) -> None:
    view = replace(SERVED, line="tcp", last_request=None, last_data=None)
    assert judge_tcp(view, NOW) == TCP_OK, "whether any client sends requests or not"
    verdict = judge_tcp(replace(view, **change), NOW)  # type: ignore[arg-type]
    assert (verdict.state, verdict.reasons[0].code) == (state, code)


def test_a_link_that_is_down_does_no_harm_while_the_data_is_fresh() -> None:
    assert judge(replace(SERVED, broker_up=False), NOW).state == "ok"


def test_an_odd_range_that_is_refused_between_good_answers_is_no_fault() -> None:
    assert judge(replace(SERVED, last_request=99.95, last_data=99.9), NOW).state == "ok"


def test_a_refusal_from_before_the_data_came_back_is_no_fault_of_the_range() -> None:
    assert judge(replace(SERVED, fresh_since=99.8, last_request=99.9, last_data=20.0), NOW).state == "ok"
    assert judge(replace(SERVED, fresh_since=99.8, last_request=99.9, last_data=None), NOW).state == "ok"


def test_an_inverter_that_gets_no_data_though_there_is_some_is_told_why() -> None:
    assert judge(replace(SERVED, fresh_since=98.0, last_request=99.9, last_data=None), NOW).state == "degraded"


@pytest.mark.parametrize("last_request", [None, 80.0])
def test_a_line_that_was_opened_just_now_gives_the_inverter_time_to_ask(last_request: float | None) -> None:
    view = replace(SERVED, last_request=last_request, listening_since=96.0)
    assert judge(view, NOW).waiting
    assert not judge(view, NOW).is_served
    assert not judge(view, NOW + 2).waiting


def test_a_unit_that_refuses_fresh_data_because_of_stay_is_down_and_names_the_setting() -> None:
    verdict = judge(replace(SERVED, stay=10.0, refuses_until=NOW + 3), NOW)
    assert (verdict.state, verdict.is_served) == ("down", False)
    assert "10 s after the last refusal (stay)" in verdict.why
    assert judge(replace(SERVED, stay=10.0, refuses_until=NOW), NOW).is_served
