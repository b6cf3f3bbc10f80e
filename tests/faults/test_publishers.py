"""Faults of the publisher: gone, frozen, started twice, or with a wall clock that steps."""

import itertools
import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from ksem_contract.block_message import BlockMessage
from service_runtime.common_settings import MqttSettings
from service_runtime.mqtt_link import MqttLink
from tests.bridge.broker import Broker, free_port
from tests.bridge.meter_audience import MeterAudience
from tests.bridge.service import Service
from tests.chain import LIMIT_MS, RECOVERY, Chain, kinds

from .ear import BROKER_NOTICES_WITHIN, LIVE, METER_STATUS, NODE_STATUS, TOLD_WITHIN, Ear
from .log_lines import quiet
from .test_broker import REFUSED, await_statuses, bridge_to

FAMILY = "publisher"
STEPPED = Path(__file__).parent / "stepped_clock"
LIVE_LIMIT = LIMIT_MS / 1000


@pytest.fixture
def probe(chain: Chain) -> Iterator[Ear]:
    with Ear(chain.broker.port) as probe:
        await_statuses(probe)
        yield probe


@pytest.mark.quick
@pytest.mark.promise(5, 7)
def test_a_publisher_that_is_killed_and_started_again(chain: Chain, probe: Ear) -> None:
    with quiet(chain.server, at_most=4):
        with chain.fault("the publisher is killed (SIGKILL) and started when both statuses tell it", FAMILY):
            chain.publisher.kill()
            probe.await_last(METER_STATUS, b"offline", TOLD_WITHIN)
            probe.await_last(NODE_STATUS, b"offline", LIVE_LIMIT + TOLD_WITHIN)
            chain.publisher.start()
        await_statuses(probe)


@pytest.mark.slow
@pytest.mark.promise(5)
def test_a_publisher_that_is_restarted_as_systemd_does(chain: Chain, probe: Ear) -> None:
    with quiet(chain.server, at_most=4):
        with chain.fault("the publisher is restarted (SIGTERM)", FAMILY):
            assert chain.publisher.stop() == 0
            probe.await_last(METER_STATUS, b"offline", 1)
            chain.publisher.start()
            chain.watch(LIVE_LIMIT)  # what was there before is used up
        await_statuses(probe)
    sessions = {BlockMessage.decode(payload).session for payload in probe.payloads(LIVE)}
    assert len(sessions) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "seconds"), [((), 5.0), (("--pipeline",), BROKER_NOTICES_WITHIN)], ids=["waits", "pipelines"]
)
@pytest.mark.promise(1)
def test_a_frozen_publisher_serves_nothing_old_when_it_goes_on(
    tmp_path: Path, kept_rows: list[object], options: Sequence[str], seconds: float
) -> None:
    """What the meter pushes meanwhile waits in the kernel and is read in one go afterwards."""
    with Chain(tmp_path, meter_options=options) as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.start()
        chain.publisher.await_log("push is up")
        chain.await_well()
        listeners = Ear(chain.broker.port), MeterAudience(chain.broker.port, chain.meter.truth)
        with listeners[0] as probe, listeners[1] as audience:
            how = "until the broker notices, the meter does not wait for answers" if options else "for 5 s"
            await_statuses(probe)
            with quiet(chain.server, chain.publisher, at_most=8):
                with chain.fault(f"the publisher is stopped (SIGSTOP) {how}", FAMILY):
                    begun = time.monotonic()
                    chain.publisher.freeze()
                    probe.await_last(NODE_STATUS, b"offline", LIVE_LIMIT + TOLD_WITHIN)
                    if seconds == BROKER_NOTICES_WITHIN:
                        probe.await_last(METER_STATUS, b"offline", begun + seconds - time.monotonic())
                    chain.inverter.wait_for("exception-4", 1, 2)  # the last good answer may be on the line still
                    assert set(chain.watch(max(0.5, begun + 5 - time.monotonic()))) <= REFUSED
                    chain.publisher.thaw()
                await_statuses(probe)
            assert not audience.wrong  # in the burst is what the inverter asks too seldom to see


@pytest.mark.slow
@pytest.mark.promise(1)
def test_a_publisher_that_stalls_again_and_again_serves_nothing_old(chain: Chain) -> None:
    with MeterAudience(chain.broker.port, chain.meter.truth) as audience:
        with chain.fault("the publisher is stopped (SIGSTOP) six times for 0.4 s", FAMILY):
            for _ in range(6):
                chain.publisher.freeze()
                time.sleep(0.4)
                chain.publisher.thaw()
                time.sleep(0.1)
        assert not audience.wrong


def second_publisher(chain: Chain, folder: Path, *, broker: Broker | None = None, push_port: int = 0) -> Service:
    """Another publisher for the same meter, as on another host."""
    text = chain.publisher.settings_path.read_text()
    text = text.replace(f"port = {chain.push_port}\n", f"port = {push_port or free_port()}\n")
    if broker is not None:
        text = text.replace(f"port = {chain.broker.port}\n", f"port = {broker.port}\n")
    return Service("ksem_publisher", text, folder)


@pytest.mark.slow
def test_a_second_publisher_on_one_broker_is_noticed_by_its_session_and_costs_nothing(
    chain: Chain, probe: Ear, tmp_path: Path
) -> None:
    with second_publisher(chain, tmp_path / "second") as second:
        with chain.fault("a second publisher for one meter on one broker", FAMILY, recovery=None):
            for each in (chain.publisher, second):
                each.await_log("another publisher runs for this meter (session", within=20)
            connections = chain.broker.log_text().count("as ksem-pub-main")
            probe.await_meter_health(lambda health: bool(health.publishers) and "stop one" in health.why, within=15)
            assert kinds(chain.watch(3)) == {"good"}
            await_statuses(probe)
        # Neither throws the other out.
        assert chain.broker.log_text().count("as ksem-pub-main") == connections == 2


@pytest.mark.slow
@pytest.mark.promise(9)
def test_three_restarts_of_the_broker_within_seconds_are_no_second_instance(chain: Chain, probe: Ear) -> None:
    before = {service: len(service.log_text()) for service in (chain.publisher, chain.server)}
    with chain.fault("the broker is restarted three times within seconds", "broker"):
        for times in (2, 3, 4):
            chain.broker.restart()
            for service in before:
                service.await_log("broker: connected to", times=times)
    await_statuses(probe)
    for service, length in before.items():
        assert not re.search(r"instance|another (publisher|RTU server)|in 30 s", service.log_text()[length:])


@pytest.mark.slow
def test_who_guesses_client_ids_takes_no_service_over(chain: Chain, probe: Ear) -> None:
    up = [threading.Event(), threading.Event()]
    thieves = [
        MqttLink(
            MqttSettings(host="127.0.0.1", port=chain.broker.port),
            client_id=client_id,
            will=None,
            subscriptions=[],
            on_message=lambda _message: None,
            on_link=lambda is_up, _why, event=event: event.set() if is_up else None,  # type: ignore[misc]
            log=logging.getLogger("thief"),
        )
        for client_id, event in zip(("ksem-pub-main", "ksem-rtu-attic"), up, strict=True)
    ]
    services = (chain.publisher, chain.server)
    before = [service.log_text().count("broker: ") for service in services]
    with chain.fault("a stranger connects with the services' client ids", FAMILY, recovery=None):
        for thief, event in zip(thieves, up, strict=True):
            thief.start()
            assert event.wait(5)
        assert kinds(chain.watch(2)) == {"good"}
        for thief in thieves:
            thief.stop()
    assert [service.log_text().count("broker: ") for service in services] == before
    assert (probe.last(METER_STATUS), probe.last(NODE_STATUS)) == (b"online", b"online")


@pytest.mark.slow
@pytest.mark.promise(5)
def test_of_two_publishers_one_is_served_until_it_dies(tmp_path: Path, kept_rows: list[object]) -> None:
    """Two names on one broker can only come over a bridge: a second publisher at a second broker."""
    port = free_port()
    with Chain(tmp_path, meter_options=("--push", f"127.0.0.1:{port}")) as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.start()
        chain.await_well()
        far = Broker(tmp_path / "far", config=bridge_to(chain.broker, both_ways=True))
        with far, Ear(chain.broker.port) as probe:
            first = probe.live().session
            with second_publisher(chain, tmp_path / "second", broker=far, push_port=port) as second:
                with chain.fault("two publishers for one meter", FAMILY, recovery=None):
                    for each in (chain.publisher, second):
                        each.await_log("another publisher runs for this meter (session")
                    assert kinds(chain.watch(2)) == {"good"}
                assert {BlockMessage.decode(one).session for one in probe.payloads(LIVE)[-10:]} - {first}
                with chain.fault("of two publishers the one that is served is killed", FAMILY):
                    chain.publisher.kill()
                    chain.watch(LIVE_LIMIT)  # what was there before is used up
                await_statuses(probe)
                health = probe.await_node_health(lambda health: health.transit["main"].session != first, within=11)
                assert health.transit["main"].session is not None


@pytest.mark.slow
@pytest.mark.promise(7)
def test_somebody_elses_word_on_our_statuses_is_corrected(chain: Chain, probe: Ear) -> None:
    with chain.fault("a late last will says offline while data flows", FAMILY, recovery=None):
        for topic in (METER_STATUS, NODE_STATUS):
            probe.await_correction(topic, b"offline", b"online", TOLD_WITHIN)
        assert kinds(chain.watch(1)) == {"good"}


@pytest.mark.slow
@pytest.mark.parametrize("part", ["publisher", "server"])
@pytest.mark.promise(1)
def test_a_step_of_the_wall_clock_changes_nothing(tmp_path: Path, kept_rows: list[object], part: str) -> None:
    step = tmp_path / "step"
    step.write_text("0")
    environ = {
        "STEPPED_CLOCK": str(step),
        "PYTHONPATH": os.pathsep.join([str(STEPPED), os.environ.get("PYTHONPATH", "")]),
    }
    with Chain(tmp_path) as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        service: Service = getattr(chain, part)
        text = service.settings_path.read_text()
        setattr(chain, part, Service(service.module, text, tmp_path, environ=environ))
        chain.start()
        chain.await_well()
        with Ear(chain.broker.port) as probe:
            await_statuses(probe)
            for seconds, words in ((3600, "on by 1 h"), (-3600, "back by 1 h")):
                with chain.fault(f"the wall clock of the {part}'s host steps {words}", FAMILY, recovery=None):
                    step.write_text(str(seconds))
                    assert kinds(chain.watch(1.7)) == {"good"}
                    assert abs(clock_of(part, chain, probe) - time.time() - seconds) < 60  # it has stepped
                assert (probe.last(METER_STATUS), probe.last(NODE_STATUS)) == (b"online", b"online")


@pytest.mark.slow
@pytest.mark.promise(1)
def test_a_clock_that_a_time_service_slows_down_makes_no_limit_longer(tmp_path: Path, kept_rows: list[object]) -> None:
    """By this clock 1.5 s would be 1.67 s; chrony does as much while it corrects what is more than a second off."""
    step = tmp_path / "step"
    step.write_text("0")
    environ = {
        "STEPPED_CLOCK": str(step),
        "SLEWED_BY": "-0.1",
        "PYTHONPATH": os.pathsep.join([str(STEPPED), os.environ.get("PYTHONPATH", "")]),
    }
    with Chain(tmp_path) as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.server = Service("rtu_server", chain.server.settings_path.read_text(), tmp_path, environ=environ)
        chain.start()
        chain.await_well()
        name = "the clock of the RTU server's host is slewed by -10 %, then the meter falls silent"
        with chain.fault(name, FAMILY) as row:
            assert kinds(chain.watch(2)) == {"good"}
            chain.meter.command("push", enabled=False)
            chain.meter.command("poll", open=False)
            chain.watch(LIVE_LIMIT / 0.9 + 0.8)  # what is served for too long is judged by the inverter
            chain.meter.command("poll", open=True)
        assert row.longest_age_ms is not None
        assert row.longest_age_ms > LIMIT_MS - 300, "the limit was not met"


def clock_of(part: str, chain: Chain, probe: Ear) -> float:
    """What the wall clock of a service shows."""
    if part == "publisher":
        return datetime.fromisoformat(probe.live().time).timestamp()
    before = len(chain.server.log_text())
    chain.inverter.command("plan", ranges=f"0-27,40-145,{next(_new_ranges)}-140")  # a new request is logged
    chain.server.await_log("first request", times=chain.server.log_text()[:before].count("first request") + 1)
    stamp = chain.server.log_text()[before:].split()[0]
    today = datetime.now().astimezone()
    at = datetime.strptime(f"{today:%Y-%m-%d} {stamp} {today:%z}", "%Y-%m-%d %H:%M:%S.%f %z").timestamp()
    chain.inverter.command("plan", ranges="0-27,40-145")
    return min((at + days * 86400 for days in (-1, 0, 1)), key=lambda one: abs(one - time.time()))


_new_ranges = itertools.count(120)


PARTS = ("meter", "broker", "publisher", "server")
AT_A_TIME = 3
"""Chains started beside each other: most of what they do is waiting for one another."""


@pytest.mark.slow
@pytest.mark.parametrize("first", PARTS)
@pytest.mark.promise(5)
def test_the_parts_may_start_in_any_order(tmp_path: Path, first: str) -> None:
    orders = [order for order in itertools.permutations(PARTS) if order[0] == first]
    assert len(orders) == 6
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        folders = [tmp_path / "-".join(order) for order in orders]
        for order, took in zip(orders, pool.map(start_in_order, folders, orders), strict=True):
            assert took <= RECOVERY, order


def start_in_order(folder: Path, order: Sequence[str]) -> float:
    """Seconds from the start of the inverter, after all other parts, to its first good answer."""
    folder.mkdir()
    with Chain(folder) as chain:
        chain.start("line")
        for part in order:
            chain.start(part)
            settle(chain, part)
        chain.start("inverter")
        took = chain.await_good(3)
        chain.assert_never()
        return took


def settle(chain: Chain, part: str) -> None:
    """Wait until a service has begun its work, and met what is missing."""
    if part == "publisher":
        chain.publisher.await_log("broker: ")
    elif part == "server":
        chain.server.await_log("broker: ")
