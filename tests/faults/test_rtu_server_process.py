"""The RTU server as a process that stands still, dies, runs twice, and serves several lines, units and meters."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ksem_simulators.line.direction import character_time
from ksem_simulators.line.wire_log import TO_CLIENT, TO_SERVER, WireLogReader
from ksem_simulators.plenticore.answer import Burst, bursts
from ksem_simulators.simulator import KsemHandle, LineHandle, PlenticoreHandle
from service_runtime.clock import boottime
from tests.bridge.broker import free_port
from tests.bridge.service import Service
from tests.chain import MARGIN_MS, Chain, kinds

from .ear import BROKER_NOTICES_WITHIN, NODE_STATUS, TOLD_WITHIN, Ear
from .log_lines import Lines
from .raw_line import LATE_MS, READ_PHASES, READ_TOTALS, frame, is_data, line_fault, send

FAMILY = "rtu-server"
JUDGED = ("--timeout", "0.15", "--limit", f"live={1.5 + MARGIN_MS / 1000}")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with Chain(tmp_path_factory.mktemp("server")) as chain:
        yield chain.start()


@pytest.fixture
def chain(running: Chain, kept_rows: list[object]) -> Chain:
    """One chain for most of this module: a fault that left something behind would fail the next test."""
    running.rows = kept_rows  # type: ignore[assignment]
    running.inverter.command("resume")
    running.await_good(20)
    return running


class Wire:
    """What was on the wire since this was made."""

    def __init__(self, chain: Chain) -> None:
        self._log = WireLogReader(chain.line.wire_log)
        self._since = boottime()

    def bursts(self, direction: int) -> list[Burst]:
        return bursts(self._log.since(self._since), direction, character_time(38400))

    def answers_ms(self) -> list[float]:
        """How long after the newest request's end each answer began."""
        requested = self.bursts(TO_SERVER)
        return [1000 * (one.start - max(a.end for a in requested)) for one in self.bursts(TO_CLIENT)]


def wait_until(what: Callable[[], bool], within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def across_a_stall(chain: Chain, before: bytes, during: bytes, seconds: float = 0.3) -> list[float]:
    """Send bytes before and during a stall of the server; return when answers began, in ms after the last byte."""
    wire = Wire(chain)
    if before:
        chain.inverter.raw(before.hex(), listen_ms=0)
    chain.server.freeze()
    try:
        if during:
            chain.inverter.raw(during.hex(), listen_ms=0)
        time.sleep(seconds)  # the stall itself
    finally:
        chain.server.thaw()
    time.sleep(LATE_MS / 1000)  # what is waited for must not come
    return wire.answers_ms()


@pytest.mark.promise(4)
def test_no_answer_follows_a_stall_before_in_the_middle_of_or_right_after_a_request(chain: Chain) -> None:
    with line_fault(chain, "SIGSTOP for 0.3 s before, in and right after a request", family=FAMILY, recovery=1.0):
        chain.inverter.command("pause")
        for _ in range(2):
            assert across_a_stall(chain, b"", READ_PHASES) == []
            for cut in (1, 4, 7):
                assert across_a_stall(chain, READ_PHASES[:cut], READ_PHASES[cut:]) == []
                assert is_data(send(chain, READ_TOTALS)[0].frame, 28)
            # It may have been answered before the signal came; then that was in time.
            assert all(after_ms < LATE_MS for after_ms in across_a_stall(chain, READ_PHASES, b""))
        chain.inverter.command("resume")


@pytest.mark.slow
@pytest.mark.promise(4)
def test_stalls_at_any_moment_cost_requests_and_nothing_else(chain: Chain) -> None:
    chance = random.Random(5)
    with line_fault(chain, "SIGSTOP for 0.05 to 0.5 s, 10 times at random", family=FAMILY, recovery=1.0) as (row, _):
        chain.inverter.command("plan", period=0.03)
        for _ in range(10):
            time.sleep(chance.uniform(0.05, 0.2))
            chain.server.freeze()
            time.sleep(chance.uniform(0.05, 0.5))  # the stall itself
            chain.server.thaw()
    chain.inverter.command("plan", period=0.16)
    assert set(row.inverter_saw) <= {"good", "timeout"}


@pytest.mark.slow
@pytest.mark.promise(1, 7)
def test_a_frozen_server_is_noticed_by_the_broker_and_serves_nothing_old_when_it_goes_on(chain: Chain) -> None:
    with Ear(chain.broker.port) as probe:
        probe.await_last(NODE_STATUS, b"online", TOLD_WITHIN)
        # Broker lost and found, and the unit's state.
        with line_fault(chain, "SIGSTOP until the broker notices, 5 s at least", family=FAMILY, lines=8) as (row, _):
            begun = boottime()
            chain.server.freeze()
            probe.await_last(NODE_STATUS, b"offline", BROKER_NOTICES_WITHIN)
            time.sleep(max(0.0, begun + 5 - boottime()))
            chain.server.thaw()
        probe.await_last(NODE_STATUS, b"online", TOLD_WITHIN)
    assert set(row.inverter_saw) <= {"good", "timeout", "exception-4"}


@pytest.mark.slow
@pytest.mark.promise(5, 7)
def test_a_server_that_is_killed_serves_again_as_soon_as_it_runs(chain: Chain) -> None:
    with Ear(chain.broker.port) as probe:
        with line_fault(chain, "the RTU server is killed, started 2 s later", family=FAMILY, recovery=1.5, lines=8):
            chain.server.kill()
            probe.await_last(NODE_STATUS, b"offline", TOLD_WITHIN)
            time.sleep(2)
            chain.server.start()
        probe.await_last(NODE_STATUS, b"online", TOLD_WITHIN)


@pytest.mark.slow
@pytest.mark.promise(5, 7)
def test_a_clean_restart_costs_no_more_than_its_time(chain: Chain) -> None:
    with Ear(chain.broker.port) as probe:
        with line_fault(chain, "the RTU server is restarted", family=FAMILY, recovery=1.5, lines=8):
            assert chain.server.stop() == 0
            probe.await_last(NODE_STATUS, b"offline", TOLD_WITHIN)
            chain.server.start()
        probe.await_last(NODE_STATUS, b"online", TOLD_WITHIN)


@pytest.mark.slow
@pytest.mark.promise(1)
def test_a_jump_of_all_clocks_as_after_a_suspend_serves_nothing_old(chain: Chain) -> None:
    """All of a host stands still and goes on at once: what lies in its sockets is as old as the pause was long."""
    host = (chain.broker, chain.publisher, chain.server)
    with line_fault(chain, "broker and both services stand still for 4 s", family=FAMILY, lines=8):
        for process in host:
            process.freeze()
        time.sleep(4)  # the pause itself
        for process in host:
            process.thaw()


@pytest.mark.slow
@pytest.mark.promise(9)
def test_a_second_instance_with_the_same_name_is_noticed_and_said_once(
    chain: Chain, tmp_path: Path, kept_rows: list[object]
) -> None:
    settings = chain.server_settings().replace(str(chain.line.server), str(tmp_path / "no-port"))
    written = "another RTU server is called attic"
    with (
        Ear(chain.broker.port) as probe,
        line_fault(chain, "a second RTU server of the same name", family=FAMILY, recovery=None, lines=10) as (_, first),
        Service("rtu_server", settings, tmp_path) as second,
    ):
        reported = [first, Lines(second)]
        wait_until(lambda: all(lines.with_word(written) for lines in reported), within=20)
        probe.await_node_health(lambda health: health.state != "ok" and written in health.why, within=15)
        assert kinds(chain.watch(2)) == {"good"}
    assert not any(lines.with_word("broker: connection") for lines in reported)  # neither throws the other out
    # Not waited for: the next test needs data now.
    assert chain.server.stop() == 0
    chain.server.start()


@pytest.mark.slow
@pytest.mark.promise(6)
def test_a_port_that_is_gone_stops_no_other_line(tmp_path: Path, kept_rows: list[object]) -> None:
    cellar = LineHandle(tmp_path, name="cellar")
    more = f'[[line]]\nname = "cellar"\nport = "{cellar.server}"\n'
    with Chain(tmp_path, server=more) as chain, cellar:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.start()
        other = PlenticoreHandle(
            tmp_path, line=cellar, truth=chain.meter.truth, name="plenticore-cellar", options=JUDGED
        )
        with other:
            chain.await_good()
            other.wait_for("good", 10)
            other.command("reset")
            with line_fault(chain, "one line's port is gone, another goes on", family=FAMILY, recovery=1.0, lines=6):
                chain.line.command("unplug")
                chain.inverter.wait_for("timeout", 10)
                chain.line.command("plug")
            assert kinds(other.status()["outcomes"]) == {"good"}


@pytest.mark.slow
@pytest.mark.promise(5)
def test_two_noisy_lines_end_together_in_time_and_with_a_final_message(tmp_path: Path, kept_rows: list[object]) -> None:
    cellar = LineHandle(tmp_path, name="cellar")
    more = f'[[line]]\nname = "cellar"\nport = "{cellar.server}"\n'
    noise = random.Random(19).randbytes(8000).hex()  # two seconds at this speed, without a pause
    with Chain(tmp_path, server=more) as chain, cellar:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.start()
        chain.await_good()
        with (
            Ear(chain.broker.port) as probe,
            line_fault(chain, "noise on two lines, and a restart", family=FAMILY, lines=16),
        ):
            received = cellar.status()["to_server"]
            for line in (chain.line, cellar):
                line.command("inject", to="server", hex=noise)
            wait_until(lambda: cellar.status()["to_server"] > received + 500)
            assert chain.server.stop(within=3.0) == 0
            probe.await_last(NODE_STATUS, b"offline", 1.0)
            chain.server.start()


@pytest.mark.slow
@pytest.mark.promise(2, 6)
def test_two_units_on_one_line_show_two_meters_each_with_its_own_freshness(
    tmp_path: Path, kept_rows: list[object]
) -> None:
    flat_port = free_port()
    meters = f'[[meter]]\nid = "flat"\nhost = "127.0.0.2"\nport = {flat_port}\ntimeout = 0.5\n'
    units = '[[line.unit]]\nid = 1\n[[line.unit]]\nid = 2\nmeter = "flat"\n'
    with Chain(tmp_path, publisher=meters, server=units) as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        push = ("127.0.0.1", chain.push_port)
        flat = KsemHandle(
            tmp_path, push=push, name="flat", host="127.0.0.2", port=flat_port, options=("--seed", "9", "--speed", "3")
        )
        second = PlenticoreHandle(
            tmp_path, line=chain.line, truth=flat.truth, name="plenticore-2", options=("--unit", "2", *JUDGED)
        )
        chain.start()
        chain.await_good()
        chain.inverter.command("pause")  # two clients on one line take turns
        with flat, second:
            second.wait_for("good", 20)
            second.command("pause")
            chain.inverter.command("resume")
            with line_fault(chain, "of two meters one is gone, the other unit goes on", family=FAMILY, lines=4) as (
                row,
                _,
            ):
                flat.stop()
                chain.inverter.wait_for("good", 25)
                chain.inverter.command("pause")
                second.command("resume")
                second.wait_for("exception-4", 5)
                assert set(second.status()["outcomes"]) <= {"good", "exception-4", "timeout"}
                second.command("pause")
                chain.inverter.command("resume")
            assert kinds(row.inverter_saw) == {"good"}


@pytest.mark.slow
@pytest.mark.promise(1, 4)
def test_each_unit_reacts_to_stale_data_as_its_settings_say(tmp_path: Path, kept_rows: list[object]) -> None:
    units = """
[[line.unit]]
id = 1
[[line.unit]]
id = 2
on_stale = "exception-11"
[[line.unit]]
id = 3
on_stale = "silent"
[[line.unit]]
id = 4
enabled = false
"""
    reads = {unit: frame(f"{unit:02x} 03 00 00 00 1c") for unit in (1, 2, 3, 4)}
    with Chain(tmp_path, server=units) as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.start()
        chain.await_good(20)
        for unit in (1, 2, 3):
            (answer,) = send(chain, reads[unit])
            assert is_data(answer.frame, 28, unit)
        assert send(chain, reads[4]) == []
        with line_fault(chain, "exception 4, exception 11 or silence by setting", family=FAMILY, lines=6):
            chain.publisher.kill()
            chain.inverter.wait_for("exception-4", 3)
            assert [answer.frame for answer in send(chain, reads[1])] == [frame("01 83 04")]
            assert [answer.frame for answer in send(chain, reads[2])] == [frame("02 83 0b")]
            assert send(chain, reads[3]) == []
            assert send(chain, reads[4]) == []
            chain.publisher.start()
