"""The meter's Modbus port fails in every way: with a push nothing is lost, without it nothing wrong is served."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bridge.certificates import make_certificates
from tests.chain import Chain, FaultRow, kinds

from .ear import METER_STATUS, NODE_STATUS, TOLD_WITHIN, Ear
from .meter_scene import OLD_HEALTH, MeterScene, only_good, told_once

FAST_POLLS: Final = """
[poll]
energy = 0.4
device = 0.4
sunspec = 0.4
"""
LIKE_LIVE: Final = """
[freshness]
energy = 1.5
sunspec = 1.5
"""
LIMITS: Final = {"energy": 1.5, "sunspec": 1.5}

FAULTS: Final[dict[str, dict[str, Any]]] = {
    "accepts connections and stays silent": {"name": "silent"},
    "closes in the middle of an answer": {"name": "close"},
    "answers everything with exception 4": {"name": "exception"},
    "sends a register too few": {"name": "short"},
    "answers 0.7 s late, one request too late": {"name": "late", "seconds": 0.7},
    "answers as another transaction": {"name": "wrong-transaction"},
    "answers as another unit": {"name": "wrong-unit"},
    "answers with what is no Modbus": {"name": "garbage"},
}
"""What reads meet; the publisher waits 0.5 s for an answer."""


def begin(scene: MeterScene, fault: dict[str, Any]) -> None:
    """The meter's Modbus port has this fault from now on."""
    scene.meter.command("fault", **fault)


def end(scene: MeterScene) -> None:
    """All faults of reading end."""
    scene.meter.command("clear")


@pytest.mark.promise(1, 7)
def test_a_meter_that_falls_silent_is_offline_and_refused_until_it_answers(
    tmp_path: Path, kept_rows: list[FaultRow]
) -> None:
    with MeterScene(tmp_path, kept_rows, push=False) as scene:
        lines = scene.lines()
        with scene.fault("without push, the meter accepts connections and stays silent", "meter") as row:
            begin(scene, FAULTS["accepts connections and stays silent"])
            scene.await_offline()
            scene.publisher.await_log("poll is down", within=3)
            end(scene)
        scene.await_online()
        assert kinds(row.inverter_saw) == {"good", "exception-4"}
        told_once(lines, "poll is down: read", "poll is up", "live data has stopped", "live data flows")
        assert len(list(lines)) <= 6, list(lines)


@pytest.mark.slow
@pytest.mark.promise(2)
def test_without_push_whatever_the_meters_port_does_is_refused_and_told_and_heals(
    tmp_path: Path, kept_rows: list[FaultRow]
) -> None:
    with MeterScene(tmp_path, kept_rows, push=False) as scene:
        for name, fault in FAULTS.items():
            lines = scene.lines()
            with scene.fault(f"without push, the meter {name}", "meter") as row:
                begin(scene, fault)
                scene.await_offline()
                scene.await_health("down", "no live data")
                scene.inverter.wait_for("exception-4", 5)
                end(scene)
            scene.await_online()
            assert kinds(row.inverter_saw) == {"good", "exception-4"}, f"{name}: {row}"
            assert len(list(lines)) <= 6, list(lines)
            assert "Traceback" not in scene.publisher.log_text()


@pytest.mark.slow
@pytest.mark.promise(5)
def test_without_push_a_port_that_refuses_connections_is_told_and_heals(
    tmp_path: Path, kept_rows: list[FaultRow]
) -> None:
    with MeterScene(tmp_path, kept_rows, push=False) as scene:
        lines = scene.lines()
        with scene.fault("without push, the meter's port refuses connections", "meter") as row:
            scene.meter.command("poll", open=False)
            scene.await_offline()
            scene.await_health("down", "no live data", "no connection to 127.0.0.1")
            scene.publisher.await_log("poll is down", within=3)
            scene.meter.command("poll", open=True)
        scene.await_online()
        assert kinds(row.inverter_saw) == {"good", "exception-4"}
        told_once(lines, "poll is down: no connection", "poll is up", "live data has stopped", "live data flows")
        assert len(list(lines)) <= 6, list(lines)


@pytest.mark.slow
@pytest.mark.promise(2)
def test_with_push_whatever_the_meters_port_does_live_data_flows_and_no_counter_is_wrong(
    tmp_path: Path, kept_rows: list[FaultRow]
) -> None:
    with MeterScene(tmp_path, kept_rows, publisher=FAST_POLLS, server=LIKE_LIVE) as scene:
        scene.carried_by("push")
        statuses = len(scene.statuses())
        scene.ask("0-27,40-145,512-611,712-791,40000-40099", limits=LIMITS)
        scene.inverter.wait_for("good", 10)
        for name, fault in FAULTS.items():
            lines = scene.lines()
            with scene.fault(f"with push, the meter {name}", "meter") as row:
                begin(scene, fault)
                scene.inverter.wait_for("exception-4", 3)
                scene.inverter.wait_for("good", 4)
                live = scene.outcomes("0-27") | scene.outcomes("40-145")
                end(scene)
            assert kinds(live) == {"good"}, f"{name}: {row}"
            assert kinds(row.inverter_saw) == {"good", "exception-4"}, f"{name}: {row}"
            assert len(list(lines)) <= 7, list(lines)
        scene.await_health("ok")
        scene.assert_never_offline(statuses)


@pytest.mark.slow
@pytest.mark.promise(6)
def test_counters_that_are_not_answered_leave_live_data_alone(tmp_path: Path, kept_rows: list[FaultRow]) -> None:
    scene = MeterScene(tmp_path, kept_rows, push=False, publisher=FAST_POLLS, server=LIKE_LIVE)
    path = scene.publisher.settings_path
    path.write_text(path.read_text().replace("timeout = 0.5", "timeout = 2.0"))  # the default, longer than the limit
    with scene:
        scene.ask("0-27,40-145,512-611", limits=LIMITS)
        scene.inverter.wait_for("good", 10)
        statuses = len(scene.statuses())
        for name in ("silent", "exception", "close"):
            with scene.fault(f"without push, reads of the energy counters alone: {name}", "meter") as row:
                begin(scene, {"name": name, "only": "512-791"})
                scene.inverter.wait_for("exception-4", 5)
                live = scene.outcomes("0-27") | scene.outcomes("40-145")
                end(scene)
            assert kinds(live) == {"good"}, row
        scene.assert_never_offline(statuses)


@pytest.mark.slow
@pytest.mark.parametrize("push", [True, False], ids=["pushed", "polled"])
@pytest.mark.promise(2)
def test_a_meter_that_boots_with_0_hz_is_not_believed(tmp_path: Path, kept_rows: list[FaultRow], push: bool) -> None:
    with MeterScene(tmp_path, kept_rows, push=push) as scene:
        lines = scene.lines()
        way = "pushes" if push else "is polled"
        with scene.fault(f"the meter ({way}) is away for 2 s, then measures 0 Hz for 3 s", "meter") as row:
            scene.meter.command("reboot", gone=2, zero=3)
            scene.await_offline()
            scene.await_health("down", "0.0 Hz, a grid has 40 to 70")
            while scene.meter.status()["booting"]:
                time.sleep(0.05)
        scene.await_online()
        assert kinds(row.inverter_saw) == {"good", "exception-4"}
        told_once(lines, "check frequency", "live data has stopped", "live data flows")
        assert len(list(lines)) <= 12, list(lines)


@pytest.mark.slow
@pytest.mark.parametrize("push", [True, False], ids=["pushed", "polled"])
@pytest.mark.promise(1)
def test_a_frozen_meter_is_refused_and_named(tmp_path: Path, kept_rows: list[FaultRow], push: bool) -> None:
    after = 3.0
    checks = f"[checks]\nfrozen_after = {after}"
    with MeterScene(tmp_path, kept_rows, push=push, publisher=checks) as scene:
        scene.chain.limit_ms += after * 1000  # this fault shows only after a while
        lines = scene.lines()
        way = "pushed" if push else "polled"
        with scene.fault(f"the meter is frozen ({way}; noticed after {after:g} s by setting)", "meter") as row:
            scene.meter.command("freeze", on=True)
            scene.await_offline(within=after + TOLD_WITHIN)
            scene.await_health("down", "frozen", f"the same values for more than {after:g} s")
            scene.inverter.wait_for("exception-4", 10)
            scene.meter.command("freeze", on=False)
        scene.await_online()
        assert kinds(row.inverter_saw) == {"good", "exception-4"}
        told_once(lines, "check frozen", "live data has stopped", "live data flows")
        assert len(list(lines)) <= 7, list(lines)


@pytest.mark.slow
@pytest.mark.promise(2)
def test_another_device_at_the_meters_address_is_refused_and_named(tmp_path: Path, kept_rows: list[FaultRow]) -> None:
    with MeterScene(tmp_path, kept_rows, push=False, publisher=FAST_POLLS, server=LIKE_LIVE) as scene:
        scene.ask("0-27,40-145,512-611,40000-40099", limits=LIMITS)
        scene.inverter.wait_for("good", 10)
        for how in ("with a new connection", "on the same connection"):
            lines = scene.lines()
            with scene.fault(f"an inverter answers at the meter's address, {how}", "meter") as row:
                begin(scene, {"name": "foreign"})
                if how == "with a new connection":
                    scene.meter.command("drop-connections")
                scene.await_offline()
                scene.await_health("down", "is no KSEM")
                scene.inverter.wait_for("exception-4", 10)
                end(scene)
            scene.await_online()
            assert kinds(row.inverter_saw) == {"good", "exception-4"}
            told_once(lines, "poll is down: 127.0.0.1")
            assert len(list(lines)) <= 8, list(lines)


@pytest.mark.slow
@pytest.mark.promise(8)
def test_with_push_another_device_that_answers_polls_spoils_no_counter(
    tmp_path: Path, kept_rows: list[FaultRow]
) -> None:
    with MeterScene(tmp_path, kept_rows, publisher=FAST_POLLS, server=LIKE_LIVE) as scene:
        scene.carried_by("push")
        scene.ask("0-27,40-145,512-611,40000-40099", limits=LIMITS)
        scene.inverter.wait_for("good", 10)
        with scene.fault("with push, an inverter answers the polls", "meter") as row:
            begin(scene, {"name": "foreign"})
            scene.inverter.wait_for("exception-4", 10)
            scene.await_health("degraded", "is no KSEM")
            live = scene.outcomes("0-27") | scene.outcomes("40-145")
            end(scene)
        assert kinds(live) == {"good"}, row
        scene.await_health("ok")


@pytest.mark.slow
@pytest.mark.promise(8)
def test_counters_that_step_back_are_flagged_and_no_value_topic_follows_them(
    tmp_path: Path, kept_rows: list[FaultRow]
) -> None:
    with MeterScene(tmp_path, kept_rows, publisher=FAST_POLLS, meter_options=("--speed", "60")) as scene:
        scene.carried_by("push")
        scene.audience.await_block("energy", more=3)
        with scene.fault("the energy counters step back by 100 Wh", "meter", recovery=None) as row:
            scene.meter.command("counters-back", counts=1000)
            scene.await_health("degraded", "went backwards", "not published")
            scene.audience.await_block("energy", more=10)
        assert only_good(row)
        values = {topic: written for topic, written in scene.audience.received.items() if "/value/energy_" in topic}
        assert len(values) == 8
        for topic, written in values.items():
            numbers = [float(number) for number in written]
            assert numbers == sorted(numbers), topic
            assert min(numbers) > 0, topic


@pytest.mark.slow
def test_a_firmware_change_that_moves_the_sunspec_registers_is_followed(
    tmp_path: Path, kept_rows: list[FaultRow]
) -> None:
    with MeterScene(tmp_path, kept_rows, publisher=FAST_POLLS, server=LIKE_LIVE) as scene:
        scene.ask("0-27,40-145,40000-40099,40100-40177", limits=LIMITS)
        scene.inverter.wait_for("good", 10)
        for version, length in (("2.5.0", 65), ("2.6.0", 66)):
            with scene.fault(f"an update to {version} moves the SunSpec registers", "meter") as row:
                scene.meter.command("firmware", version=version)
                deadline = time.monotonic() + 5
                while scene.audience.await_block("sunspec").registers[3] != length:
                    assert time.monotonic() < deadline, "not walked again"
                scene.inverter.wait_for("good", 20)
            assert kinds(row.inverter_saw) <= {"good", "exception-4"}
            live = scene.outcomes("0-27") | scene.outcomes("40-145")
            assert kinds(live) == {"good"}


@pytest.mark.slow
@pytest.mark.parametrize("push", [True, False], ids=["pushed", "polled"])
@pytest.mark.promise(5)
def test_a_meter_that_comes_later_than_all_else_is_taken_up(
    tmp_path: Path, kept_rows: list[FaultRow], push: bool
) -> None:
    with Chain(tmp_path, push=push) as chain, ExitStack() as stack:
        chain.rows = kept_rows
        chain.start("broker")
        probe = stack.enter_context(Ear(chain.broker.port))
        chain.start("publisher", "line", "server", "inverter")
        chain.inverter.wait_for("exception-4")
        with chain.fault(f"the meter is absent at the start ({'pushed' if push else 'polled'})", "meter") as row:
            chain.inverter.wait_for("exception-4", 4)
            probe.await_last(METER_STATUS, b"offline", TOLD_WITHIN)
            probe.await_last(NODE_STATUS, b"offline", TOLD_WITHIN)
            probe.await_meter_health(lambda health: health.state == "down" and "no connection to" in health.why)
            chain.start("meter")
        probe.await_last(METER_STATUS, b"online", TOLD_WITHIN)
        probe.await_last(NODE_STATUS, b"online", TOLD_WITHIN)
        assert kinds(row.inverter_saw) == {"good", "exception-4"}
        assert len(chain.publisher.log_text().splitlines()) <= 14, chain.publisher.log_text()


@pytest.mark.slow
@pytest.mark.promise(5)
def test_a_meter_that_speaks_tls_alone_is_polled_and_comes_back(tmp_path: Path, kept_rows: list[FaultRow]) -> None:
    own = make_certificates(tmp_path / "tls")
    options = ("--tls", "--tls-cert", str(own.server_cert), "--tls-key", str(own.server_key))
    with MeterScene(tmp_path, kept_rows, push=False, publisher="tls = true", meter_options=options) as scene:
        scene.carried_by("poll", 8)
        with scene.fault("the TLS port of the meter closes", "meter") as row:
            scene.meter.command("poll", open=False)
            scene.await_offline()
            scene.await_health("down", "with TLS")
            scene.meter.command("poll", open=True)
        scene.await_online()
        assert kinds(row.inverter_saw) == {"good", "exception-4"}


@pytest.mark.slow
def test_a_meter_that_measures_every_500_ms_is_served_pushed_and_polled(
    tmp_path: Path, kept_rows: list[FaultRow]
) -> None:
    with MeterScene(tmp_path, kept_rows, meter_options=("--cycle", "500")) as scene:
        scene.carried_by("push")
        with scene.fault("a meter that measures every 500 ms stops pushing", "meter") as row:
            scene.inverter.wait_for("good", 20)
            scene.meter.command("push", enabled=False)
            scene.carried_by("poll", 8)
            scene.meter.command("push", enabled=True)
        block = scene.carried_by("push")[-1]
        assert only_good(row)
        assert 490 <= (block.cycle_ms or 0) <= 510


@pytest.mark.slow
@pytest.mark.promise(3)
def test_live_data_that_is_read_while_the_meter_measures_is_never_torn(
    tmp_path: Path, kept_rows: list[FaultRow]
) -> None:
    """Each answer takes the meter 20 ms, so that one read in ten has a new measuring cycle before the next read."""
    often = "[poll]\nlive = 0.02"
    with MeterScene(tmp_path, kept_rows, push=False, publisher=often) as scene:
        scene.ask("0-27,40-145", period=0)
        with scene.fault(
            "without push, live is read as often as can be from a meter that is slow to answer", "meter", recovery=None
        ) as row:
            begin(scene, {"name": "late", "seconds": 0.02})
            scene.carried_by("poll", 120, within=40)
            scene.inverter.wait_for("good", 100)
        assert only_good(row), row
        scene.audience.await_health(lambda health: health.poll.seqlock_retries > 10, "cycles went by", OLD_HEALTH)
