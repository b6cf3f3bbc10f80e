from dataclasses import replace

import pytest

from ksem_contract.health import CheckFlag
from ksem_contract.reasons import Reason
from ksem_dashboard.faults import Verdict, find_faults, judge
from ksem_dashboard.report import health_verdict

from .house import DOWN, METER_HEALTH, NODE_HEALTH, STOPPED, TCP_UNIT, UNIT, House, explained, port_down


def texts(house: House) -> list[tuple[str, str]]:
    return [(fault.severity, fault.text) for fault in find_faults(house.state, house.now)]


def test_a_house_that_is_fine_is_called_fine() -> None:
    house = House().run_well()
    assert texts(house) == []
    assert judge(house.state, []) == Verdict("ok", "All is well. The inverter gets fresh data.")
    assert health_verdict(house.state, house.now) == (True, "All is well. The inverter gets fresh data.")


def test_without_an_inverter_the_meters_data_is_what_counts() -> None:
    house = House()
    house.status()
    house.pass_time(4)
    assert health_verdict(house.state, house.now) == (True, "The meter's data flows. No inverter is served yet.")
    (fault,) = find_faults(house.state, house.now)
    assert fault.severity == "warn"
    assert "rtu-server" in fault.remedy


def test_no_link_to_the_broker_hides_everything_else() -> None:
    house = House().run_well()
    house.state.on_link(False, (Reason.of("broker-unreachable", error="127.0.0.1:1883 is shut"),), house.now)
    assert texts(house) == [("bad", "No link to the broker: 127.0.0.1:1883 is shut.")]
    assert health_verdict(house.state, house.now)[0] is False


def test_a_house_that_says_nothing_is_given_a_moment() -> None:
    house = House()
    assert texts(house)[0][0] == "warn"
    house.now += 4
    assert texts(house) == [("bad", "No meter has been seen.")]
    assert health_verdict(house.state, house.now) == (False, "No meter has been seen.")


def test_a_named_meter_that_is_missing_is_named() -> None:
    house = House(meters=("main",))
    house.now += 4
    assert texts(house) == [("bad", "Nothing has been received from meter main.")]


def test_a_publisher_that_is_gone_is_told_from_a_meter_that_is_gone() -> None:
    house = House().run_well()
    house.status(b"offline")
    assert ("bad", "The publisher of meter main is gone.") in texts(house)
    unreachable = Reason.of("meter-unreachable", where="ksem:502")
    house.health(state="down", **explained(Reason.of("no-live-data"), unreachable, STOPPED))
    fault = find_faults(house.state, house.now)[0]
    assert (fault.text, fault.code) == ("Meter main gives no live data: no connection to ksem:502.", unreachable.code)
    assert "power and network cable" in fault.remedy
    assert fault.details == (str(STOPPED),)
    assert judge(house.state, [fault]) == Verdict("bad", "No data from the meter.")


def test_live_data_that_stops_while_the_status_says_online_is_a_fault() -> None:
    house = House().run_well()
    house.pass_time(5, power=None)
    assert ("bad", "No fresh live data of meter main arrives.") in texts(house)
    assert health_verdict(house.state, house.now) == (False, "No fresh live data of meter main arrives.")


def test_what_is_missing_while_data_flows_is_a_warning_with_its_remedy() -> None:
    house = House().run_well()
    phases, second = Reason.of("phases-differ", gap="412.0"), Reason.of("second-publisher", sessions="beef")
    house.health(
        state="degraded",
        **explained(Reason.of("polled-instead"), STOPPED, second, phases),
        push=replace(METER_HEALTH.push, link=DOWN),
        publishers=("beef",),
        checks=(CheckFlag("phases", "2026-11-22T10:02:00.000Z", phases),),
    )
    assert texts(house) == [
        ("warn", "Polled instead of pushed: the meter has stopped pushing."),
        ("warn", "Another publisher runs for this meter (session beef)."),
        ("warn", "The phases' power and the total's are 412.0 W apart (since 10:02 UTC)."),
    ]
    faults = find_faults(house.state, house.now)
    assert all(fault.remedy for fault in faults)
    assert "Modbus menu" in faults[0].remedy
    assert judge(house.state, faults).state == "warn"
    assert health_verdict(house.state, house.now)[0] is True


def test_an_inverter_without_data_is_a_fault_with_its_reason() -> None:
    house = House().run_well()
    house.node(b"offline", state="degraded", **explained(Reason.of("inverter-stopped", unit=1, line="rs485")))
    (fault,) = find_faults(house.state, house.now)
    assert (fault.severity, fault.text) == (
        "bad",
        "The inverter at attic gets no data: unit 1 on rs485: the inverter has stopped sending requests.",
    )
    assert fault.remedy.startswith("Check wiring A/B")
    assert judge(house.state, [fault]) == Verdict("bad", "The inverter gets no data.")


def test_what_only_follows_from_the_meter_is_not_told_twice() -> None:
    house = House().run_well()
    house.status(b"offline")
    house.node(b"offline", state="down", why="the publisher says offline")
    assert texts(house) == [("bad", "The publisher of meter main is gone.")]


def test_an_adapter_that_is_unplugged_is_named_with_what_to_do() -> None:
    house = House().run_well()
    port = port_down(Reason.of("port-missing", port="/dev/ttyUSB0"))
    house.node(b"offline", state="down", why="port", units=(replace(UNIT, port=port, state="down"),))
    (fault,) = find_faults(house.state, house.now)
    assert fault.text == "Line rs485: /dev/ttyUSB0: no such port."
    assert "by-id" in fault.remedy


def test_a_modbus_tcp_server_that_cannot_be_opened_is_named_once_and_costs_the_inverter_nothing() -> None:
    house = House().run_well()
    port = port_down(Reason.of("tcp-port-closed", address="0.0.0.0:1502", error="in use"))
    shut = replace(TCP_UNIT, port=port, state="down")
    house.node(tcp=(replace(shut, unit=1), shut))
    (fault,) = find_faults(house.state, house.now)
    assert (fault.severity, fault.text) == ("warn", "Modbus TCP server readers: can't listen on 0.0.0.0:1502: in use.")
    assert "[[tcp]]" in fault.remedy
    assert health_verdict(house.state, house.now)[0] is True


def test_a_silenced_unit_of_a_modbus_tcp_server_is_named_with_its_remedy() -> None:
    house = House().run_well()
    silenced = Reason.of("unit-silenced", unit=71, line="readers", error="register 0 is 5")
    house.node(tcp=(replace(TCP_UNIT, state="down", reasons=(silenced,)),))
    (fault,) = find_faults(house.state, house.now)
    assert (fault.severity, fault.code) == ("warn", "unit-silenced")
    assert fault.text == "Unit 71 on readers: silent since it gave a wrong answer (register 0 is 5)."
    assert "Restart rtu-server" in fault.remedy
    assert health_verdict(house.state, house.now)[0] is True


def test_an_rtu_server_that_was_killed_is_gone() -> None:
    house = House().run_well()
    house.node(b"offline")
    assert texts(house) == [("bad", "The RTU server attic is gone.")]


def test_a_service_that_tells_nothing_about_itself_any_more_is_noticed() -> None:
    house = House().run_well()
    house.pass_time(40)
    assert [severity for severity, _ in texts(house)] == ["warn", "warn"]


def test_a_message_that_cannot_be_read_is_told_for_a_minute() -> None:
    house = House().run_well()
    house.receive("ksem/main/health", b'{"v":2}')
    assert "ksem/main/health can't be read" in texts(house)[0][1]
    house.health()
    house.node()
    house.now += 61
    house.pass_time(1)
    assert not [text for _, text in texts(house) if "can't be read" in text]


@pytest.mark.parametrize("gone", ["main", "attic"])
def test_health_is_bad_while_anything_known_is_silent(gone: str) -> None:
    house = House().run_well()
    if gone == "main":
        house.status(b"offline")
    else:
        house.node(b"offline")
    assert health_verdict(house.state, house.now)[0] is False


def test_nodes_that_only_the_broker_remembers_do_not_make_a_house_ill_that_is_served() -> None:
    house = House().run_well()
    house.node()
    for number in range(15):
        house.receive(house.topics.node_status(f"old{number}"), b"offline", retained=True)
        house.receive(house.topics.meter_status(f"old{number}"), b"offline", retained=True)
    house.pass_time(1)
    assert health_verdict(house.state, house.now)[0] is True
    assert {severity for severity, _ in texts(house)} == {"warn"}


def test_a_node_that_ended_while_we_looked_is_a_fault_however_many_others_run() -> None:
    house = House().run_well()
    house.receive(house.topics.node_health("attic"), NODE_HEALTH.encode())
    house.receive(house.topics.node_status("cellar"), b"online")
    house.receive(house.topics.node_health("cellar"), NODE_HEALTH.encode())
    house.node(b"offline")
    assert ("bad", "The RTU server attic is gone.") in texts(house)


def test_a_node_that_was_killed_while_it_was_degraded_is_gone_after_a_while() -> None:
    house = House().run_well()
    house.node(b"offline", state="degraded", why="the inverter is silent")
    assert "The RTU server attic is gone." not in str(texts(house))
    house.pass_time(40)
    assert ("bad", "The RTU server attic is gone.") in texts(house)
