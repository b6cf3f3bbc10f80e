"""What the meter pushes is late, partial, double, too slow or gone: polling carries `live`, nothing is ever mixed."""

import struct
import time
from pathlib import Path
from typing import Any, Final

import pytest

from ksem_simulators.simulator import KsemHandle
from tests.bridge.simulator_peers import RawClient
from tests.chain import FaultRow, kinds

from .meter_scene import MeterScene, only_good, told_once

AS_USUAL: Final[dict[str, Any]] = {
    "enabled": True,
    "groups": ["total", "phases"],
    "split": "groups",
    "interval": 0.0,
    "gap": 0.0,
    "second_half": 0.0,
    "jitter": 0.0,
    "offset": 0.0,
    "order": "up",
    "pipeline": False,
    "unit": 1,
    "connections": 1,
    "reconnect": False,
}
ALL_GROUPS: Final = ("total", "phases", "energy_total", "energy_phases")
RANGES: Final = {"total": "0-27", "phases": "40-145", "energy_total": "512-551", "energy_phases": "592-791"}

STYLES: Final[dict[str, tuple[dict[str, Any], str | None]]] = {
    "in one write for each value": ({"split": "values"}, "push"),
    "in one write for each value, without waiting for answers": ({"split": "values", "pipeline": True}, "push"),
    "over the gaps, 0-99 and 100-147": ({"split": "hundred"}, "push"),
    "over the gaps, 0-122 and 123-147": ({"split": "longest"}, "push"),
    "in odd parts": ({"split": "0-9,10-27,40-64,65-99,100-145", "gap": 0.005}, "push"),
    "backwards": ({"split": "phases", "order": "down"}, "push"),
    "in overlapping writes": ({"split": "overlap"}, "poll"),
    "in another order each time": ({"split": "phases", "order": "shuffled"}, "poll"),
    "as unit 255": ({"unit": 255}, "push"),
    "on a new connection for each cycle": ({"reconnect": True, "gap": 0.01}, "push"),
    "over two connections in turn": ({"connections": 2}, "poll"),
    "with its second half 0.1 s late (0.5 periods)": ({"second_half": 0.1}, "poll"),
    "with its second half 0.06 s late (0.3 periods)": ({"second_half": 0.06}, "push"),
    "up to 50 ms late": ({"jitter": 0.05}, None),
    "up to 2 s late": ({"jitter": 2.0}, "poll"),
    "in 720 writes a second": ({"interval": 0.05, "split": "values", "pipeline": True}, None),
}
"""How a cycle is pushed, and what carries `live` then; None where that is left open."""

INTERVALS: Final = {0.5: "push", 0.02: "push", 1.0: "poll", 10.0: "poll", 60.0: "poll"}

FAST_POLLS: Final = """
[poll]
energy = 0.4
device = 0.4
sunspec = 5
"""
ENERGY_LIKE_LIVE: Final = """
[freshness]
energy = 1.5
"""


def push(scene: MeterScene, **changes: Any) -> None:
    """The meter pushes as usual but for these settings."""
    scene.meter.command("push", **AS_USUAL | changes)


@pytest.mark.promise(1, 6)
def test_a_push_that_stops_is_replaced_by_polling_before_data_is_old(tmp_path: Path, kept_rows: list[FaultRow]) -> None:
    with MeterScene(tmp_path, kept_rows) as scene:
        scene.carried_by("push")
        lines, statuses = scene.lines(), len(scene.statuses())
        with scene.fault("the push stops, polling goes on", "push") as row:
            push(scene, enabled=False)
            scene.carried_by("poll", within=3)
            scene.await_health("degraded", "stopped pushing", within=2)
            scene.publisher.await_log("push is down", within=3)
            push(scene)
        scene.carried_by("push", within=5)
        assert only_good(row), row
        scene.assert_never_offline(statuses)
        told_once(lines, "push is down: the meter has stopped pushing", "push is up")
        assert len(list(lines)) <= 4, list(lines)


@pytest.mark.slow
@pytest.mark.promise(6)
def test_without_polling_live_goes_on_by_push_and_only_the_counters_become_stale(
    tmp_path: Path, kept_rows: list[FaultRow]
) -> None:
    with MeterScene(tmp_path, kept_rows, publisher=FAST_POLLS, server=ENERGY_LIKE_LIVE) as scene:
        scene.carried_by("push")
        scene.ask("0-27,40-145,512-611", limits={"energy": 1.5})
        scene.inverter.wait_for("good", 12)
        lines, statuses = scene.lines(), len(scene.statuses())
        with scene.fault("the meter's Modbus port closes, the push goes on", "push") as row:
            scene.meter.command("poll", open=False)
            scene.inverter.wait_for("exception-4", 10)
            scene.await_health("degraded", "no answers to polls", "no connection to")
            live, energy = scene.outcomes("0-27") | scene.outcomes("40-145"), scene.outcomes("512-611")
            scene.meter.command("poll", open=True)
        assert kinds(live) == {"good"}
        assert kinds(energy) == {"good", "exception-4"}
        assert kinds(row.inverter_saw) == {"good", "exception-4"}
        scene.inverter.command("reset")
        scene.inverter.wait_for("good", 12)
        deadline = time.monotonic() + 5
        while not scene.outcomes("512-611").get("good"):
            assert time.monotonic() < deadline, "the counters are not read again"
        scene.await_health("ok", within=5)
        scene.assert_never_offline(statuses)
        told_once(lines, "poll is down: no connection to", "poll is up")
        assert len(list(lines)) <= 5, list(lines)


@pytest.mark.slow
@pytest.mark.promise(6)
def test_each_push_group_alone_may_be_switched_off_and_is_named(tmp_path: Path, kept_rows: list[FaultRow]) -> None:
    with MeterScene(tmp_path, kept_rows, meter_options=("--groups", ",".join(ALL_GROUPS))) as scene:
        scene.carried_by("push")
        statuses = len(scene.statuses())
        for missing in ALL_GROUPS:
            lines = scene.lines()
            is_live = missing in ("total", "phases")
            with scene.fault(f"the push group {RANGES[missing]} is switched off", "push") as row:
                push(scene, groups=[group for group in ALL_GROUPS if group != missing])
                scene.carried_by("poll" if is_live else "push", within=3)
                words = f"registers {RANGES[missing]} are not pushed"
                scene.await_health("degraded" if is_live else "ok", words, within=4 if is_live else 8)
                if is_live:
                    told_once(lines, f"push is down: {words}")
                push(scene, groups=list(ALL_GROUPS))
            scene.carried_by("push", within=5)
            assert only_good(row), row
            assert len(list(lines)) <= 4, list(lines)
        scene.assert_never_offline(statuses)


@pytest.mark.slow
@pytest.mark.promise(3)
def test_however_a_cycle_is_pushed_the_inverter_gets_whole_cycles_in_time(
    tmp_path: Path, kept_rows: list[FaultRow]
) -> None:
    with MeterScene(tmp_path, kept_rows) as scene:
        scene.carried_by("push")
        statuses = len(scene.statuses())
        for name, (settings, source) in STYLES.items():
            with scene.fault(f"a cycle is pushed {name}", "push", recovery=None) as row:
                push(scene, **settings)
                if source is not None:
                    scene.carried_by(source, within=6)
                scene.inverter.wait_for("good", 10 if source else 30)
            assert only_good(row), f"{name}: {row}\n{scene.chain.logs()}"
        push(scene)
        scene.carried_by("push", within=5)
        scene.assert_never_offline(statuses)


@pytest.mark.slow
@pytest.mark.promise(3)
def test_connections_that_break_in_the_middle_of_cycles_cost_the_inverter_nothing(
    tmp_path: Path, kept_rows: list[FaultRow]
) -> None:
    with MeterScene(tmp_path, kept_rows, meter_options=("--split", "phases", "--gap", "15")) as scene:
        scene.carried_by("push")
        lines = scene.lines()
        with scene.fault("all of the meter's connections are cut, 10 times in 3 s", "push") as row:
            for _ in range(10):
                scene.meter.command("drop-connections")
                scene.inverter.wait_for("good", 4)
        scene.carried_by("push", within=5)
        assert only_good(row), row
        assert len(list(lines)) <= 6, list(lines)


@pytest.mark.slow
@pytest.mark.promise(6)
def test_a_fixed_interval_too_long_for_live_data_leaves_it_to_polling(
    tmp_path: Path, kept_rows: list[FaultRow]
) -> None:
    with MeterScene(tmp_path, kept_rows) as scene:
        scene.carried_by("push")
        statuses = len(scene.statuses())
        for interval, source in INTERVALS.items():
            with scene.fault(f"a fixed interval of {interval:g} s is set in the meter", "push", recovery=None) as row:
                push(scene, interval=interval)
                block = scene.carried_by(source, within=6)[-1]
                if interval == 0.5:
                    assert block.cycle_ms == pytest.approx(500, abs=50)
                if interval == 1.0:
                    scene.await_health("degraded", "a cycle every 1 s is too slow")
                scene.inverter.wait_for("good", 20)
            assert only_good(row), f"{row}\n{scene.chain.logs()}"
        with scene.fault("the interval is that of the meter's cycles again", "push") as row:
            push(scene)
            scene.carried_by("push", within=5)
        assert only_good(row), row
        scene.assert_never_offline(statuses)


@pytest.mark.slow
@pytest.mark.promise(1)
def test_a_slow_push_alone_is_served_as_long_as_it_is_young_enough(tmp_path: Path, kept_rows: list[FaultRow]) -> None:
    with MeterScene(tmp_path, kept_rows) as scene:
        scene.carried_by("push")
        scene.meter.command("poll", open=False)
        with scene.fault("an interval of 1 s, and no polling", "push", recovery=None) as row:
            push(scene, interval=1.0)
            scene.carried_by("push", within=12)
            scene.inverter.wait_for("good", 20)
        assert row.inverter_saw["good"] > 20
        with scene.fault("an interval of 4 s, and no polling", "push") as row:
            push(scene, interval=4.0)
            scene.inverter.wait_for("exception-4", 20, 15)
            scene.await_offline()
            push(scene)
            scene.carried_by("push", within=5)
        scene.await_online()


@pytest.mark.slow
@pytest.mark.promise(2)
def test_pushes_of_anyone_but_the_meter_are_refused_and_of_its_own_never_mixed(
    tmp_path: Path, kept_rows: list[FaultRow]
) -> None:
    with MeterScene(tmp_path, kept_rows) as scene:
        scene.carried_by("push")
        receiver = ("127.0.0.1", scene.chain.push_port)
        lines, statuses = scene.lines(), len(scene.statuses())
        stranger = KsemHandle(tmp_path, name="stranger", host="127.0.0.2", push=receiver, options=("--seed", "7"))
        with scene.fault("another meter pushes from another address", "push", recovery=None) as row, stranger:
            scene.await_health(
                "degraded",
                'push from 127.0.0.2 was refused: if it is the meter\'s, set push_from = ["127.0.0.1", "127.0.0.2"]',
            )
            scene.inverter.wait_for("good", 30)
            assert stranger.status()["push"][0]["cycles"] == 0
        assert only_good(row), row
        told_once(lines, "push from 127.0.0.2 was refused")
        other_source = KsemHandle(
            tmp_path, name="twin", push=receiver, options=("--seed", "7", "--offset", "90", "--gap", "20")
        )
        with scene.fault("another meter pushes from the same address", "push", recovery=None) as row, other_source:
            scene.inverter.wait_for("good", 60)
            assert other_source.status()["push"][0]["cycles"] > 5, "it was not heard"
        assert only_good(row), row
        scene.carried_by("push", within=5)
        scene.assert_never_offline(statuses)
        assert len(list(lines)) <= 4, list(lines)


@pytest.mark.slow
@pytest.mark.promise(2)
def test_other_writes_of_the_meter_are_answered_and_change_nothing(tmp_path: Path, kept_rows: list[FaultRow]) -> None:
    with MeterScene(tmp_path, kept_rows) as scene:
        scene.carried_by("push")
        lines = scene.lines()
        with (
            scene.fault("the meter writes registers that nobody asked for", "push", recovery=None) as row,
            RawClient(scene.chain.push_port) as client,
        ):
            write = struct.pack(">BHHB3H", 16, 9000, 3, 6, 7, 8, 9)
            for _ in range(20):
                assert client.ask(write, unit=255)[7:] == write[:5]
                assert client.ask(struct.pack(">BHH", 6, 300, 42))[7:] == struct.pack(">BHH", 6, 300, 42)
            # Of `live`, but on a connection that does not carry the cycles.
            assert client.ask(struct.pack(">BHH", 6, 1, 0))[7:] == struct.pack(">BHH", 6, 1, 0)
            assert client.read(9000, 3, unit=71) == [7, 8, 9]
            assert client.read(300, 1) == [42]
            assert client.ask(struct.pack(">BHH", 3, 9000, 4))[7:] == b"\x83\x02"
            assert client.ask(struct.pack(">BHH", 4, 9000, 3))[7:] == b"\x84\x01"
            assert client.ask(b"\x2b\x0e\x01\x00")[7:] == b"\xab\x01"
            scene.inverter.wait_for("good", 20)
        scene.carried_by("push")
        assert only_good(row), row
        told_once(lines, "9000-9002 (acknowledged, not used)", "300-300 (acknowledged, not used)")
        assert len(list(lines)) <= 3, list(lines)


@pytest.mark.slow
@pytest.mark.promise(3)
def test_attached_anywhere_in_the_cycle_no_block_is_torn_or_a_cycle_late(
    tmp_path: Path, kept_rows: list[FaultRow]
) -> None:
    with MeterScene(tmp_path, kept_rows, meter_options=("--gap", "60")) as scene:
        scene.carried_by("push")
        for offset in (20, 120):
            with scene.fault(f"the publisher joins, {offset} ms later, a cycle whose writes are 60 ms apart", "push"):
                scene.publisher.kill()
                time.sleep(offset / 1000)  # what is tested
                scene.publisher.start()
                scene.carried_by("push", within=8)
            ages = [block.age_ms for block in scene.carried_by("push", 8)]
            assert max(ages) < 200, "a cycle late"
