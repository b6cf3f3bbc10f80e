import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from airbridge.monitor.run import status_line
from airbridge.monitor.screen import screen
from ksem_contract.reasons import Reason
from tests.unit.ksem_dashboard.house import DOWN, TCP_UNIT, UNIT, House


def lines(house: House, width: int) -> list[str]:
    console = Console(width=width, height=40, file=io.StringIO(), force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(screen(house.state, house.now, width=width, broker="broker:1883, ksem/#"))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [80, 100, 140, 200])
def test_everything_is_on_the_screen_and_nothing_runs_over_its_edge(width: int) -> None:
    house = House().run_well()
    house.energy(123, 45)
    house.pass_time(12)
    drawn = lines(house, width)
    text = "\n".join(drawn)
    for word in ("All is well", "+1234.5", "RS485", "40-145", "p99 3.4", "1810 of 1812", "stale", "0.00 kWh in", "█"):
        assert word in text or (word == "█" and "▁" in text), word
    assert max(len(line) for line in drawn) <= width


@pytest.mark.parametrize("width", [80, 140])
def test_modbus_tcp_servers_are_shown_with_who_got_what(width: int) -> None:
    house = House().run_well()
    text = "\n".join(lines(house, width))
    assert "Modbus TCP servers at attic" in text
    assert "unit 71 on readers: 399 of 400 got data, 1 exception-1" in text
    assert "p50 0.2  p99 0.4  max 1.1 ms" in text
    house.node(tcp=(replace(TCP_UNIT, port=replace(DOWN, why="in use"), state="down"),))
    assert "readers: in use" in "\n".join(lines(house, width))
    old = Reason.of("meter-offline", unit=71, line="readers", meter="main")
    house.node(tcp=(replace(TCP_UNIT, state="down", reasons=(old,)),))
    assert "the publisher of meter main reports offline" in " ".join(" ".join(lines(house, width)).split())
    house.node(tcp=())
    assert "Modbus TCP servers" not in "\n".join(lines(house, width))


def test_the_time_without_data_stands_below_the_inverters_answers() -> None:
    house = House().run_well()
    text = " ".join(" ".join(lines(house, 80)).split())
    assert "without data for 12 s today, 13 min in 30 days, mostly meter-offline" in text
    house.node(no_data=None)
    assert "without data" not in "\n".join(lines(house, 80))


def test_what_the_inverter_believes_stands_in_its_box_and_in_a_line() -> None:
    house = House().run_well()
    house.inverter()
    text = "\n".join(lines(house, 100))
    assert "-347 W" in text
    assert "inverter roof: believes -347 W, 0.9 s behind" in text


def test_old_values_give_way_to_a_word() -> None:
    house = House().run_well()
    house.pass_time(5, power=None)
    text = "\n".join(lines(house, 100))
    assert "1234.5" not in text
    assert "old, 5.0 s" in text
    assert "No fresh live data of meter main arrives." in text


def test_a_fault_comes_with_its_remedy() -> None:
    house = House().run_well()
    house.status(b"offline")
    text = "\n".join(lines(house, 100))
    assert "The publisher of meter main is gone." in text
    assert "systemctl status ksem-publisher" in text


def test_what_comes_over_mqtt_cannot_steer_the_terminal() -> None:
    house = House().run_well()
    evil = "\x1b]0;title\x07\x1b[2Jgone"
    unit = replace(UNIT, line=evil, refused={evil: 1})
    house.node(b"offline", state="degraded", why=evil, reasons=(Reason("gone", evil, evil),), units=(unit,))
    drawn = "\n".join(lines(house, 140)) + status_line(house.state, house.now)
    assert "gone" in drawn
    assert "]0;title" in drawn
    assert "\x1b]" not in drawn
    assert "\x1b[2J" not in drawn
    assert "\x07" not in drawn


def test_nothing_at_all_is_drawn_too() -> None:
    assert "No meter has been seen." in "\n".join(lines(House(), 80))


def test_one_line_tells_the_verdict_the_power_and_the_nodes() -> None:
    house = House().run_well()
    reported = (
        r"All is well\. The inverter gets fresh data\.  \|  main \+1234\.5 W, [23] ms old, 5\.0/s  \|  attic online"
    )
    assert re.fullmatch(reported, status_line(house.state, house.now))
    house.now += 3
    assert "main no fresh data" in status_line(house.state, house.now)
