"""`airbridge drill` against a running chain: exactly as long as asked for, and over as soon as anything dies."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from airbridge.drill.command import NoServer, find_server
from service_runtime.clock import boottime
from tests.chain import Chain


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    options = ("--timeout", "0.15", "--modbus-port", "0")
    with Chain(tmp_path_factory.mktemp("drill"), inverter_options=options) as running:
        running.start()
        running.await_well()
        yield running


def begin(chain: Chain, *options: str) -> "subprocess.Popen[str]":
    place = f"127.0.0.1:{chain.broker.port}"
    command = [sys.executable, "-m", "airbridge", "drill", "--pid", str(chain.server.pid), "--broker", place, *options]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def refused_times(chain: Chain, since: float) -> list[float]:
    """When the inverter was refused, seconds of CLOCK_BOOTTIME."""
    lines = [json.loads(line) for line in chain.inverter.log.read_text().splitlines() if line.endswith("}")]
    return [line["at"] for line in lines if line["outcome"] == "exception-4" and line["at"] >= since]


def await_refusal(chain: Chain) -> None:
    chain.inverter.wait_for("exception-4", 1, 20)


@pytest.mark.slow
def test_data_is_withheld_for_exactly_so_long_and_the_report_shows_what_the_inverter_did(chain: Chain) -> None:
    since = boottime()
    tool = begin(chain, "--seconds", "7", "--yes", "--inverter", f"127.0.0.1:{chain.inverter.modbus_port}")
    written, errors = tool.communicate(timeout=60)
    assert tool.returncode == 0, errors
    times = refused_times(chain, since)
    # The inverter requests twice in 160 ms, so that up to 0.16 s are missing at either end.
    assert times[-1] - times[0] == pytest.approx(6.9, abs=0.25)
    assert max(after - one for one, after in pairwise(times)) < 1.0, "without a break"
    assert "Data was withheld for 7.0 s (7 s were requested)." in written
    assert "The inverter showed 0 for all values from" in written
    assert "It believed measured values again" in written
    assert "Its energy manager: idle." in written
    assert "of them without data" in written
    chain.await_good(10)
    chain.assert_never()


def test_data_flows_again_as_soon_as_the_tool_is_killed(chain: Chain) -> None:
    tool = begin(chain, "--seconds", "20", "--yes")
    await_refusal(chain)
    tool.kill()
    killed = boottime()
    tool.communicate()
    chain.inverter.wait_for("good", 3, 3)
    assert boottime() - killed < 3.0


def test_data_flows_again_after_the_terminal_is_closed(chain: Chain) -> None:
    tool = begin(chain, "--seconds", "20", "--yes")
    await_refusal(chain)
    tool.send_signal(signal.SIGHUP)
    tool.communicate(timeout=5)
    chain.inverter.wait_for("good", 3, 3)


@pytest.mark.slow
def test_a_server_that_is_killed_meanwhile_serves_again_when_it_is_back(chain: Chain) -> None:
    tool = begin(chain, "--seconds", "20", "--yes")
    await_refusal(chain)
    chain.server.kill()
    chain.server.start()
    chain.await_good(5, within=10)
    written, errors = tool.communicate(timeout=40)
    assert tool.returncode == 1, errors
    assert "It ended early: rtu-server has ended." in written


def test_it_waits_for_a_yes_and_takes_no_for_an_answer(chain: Chain) -> None:
    before = chain.inverter.status()["outcomes"].get("exception-4", 0)
    tool = begin(chain, "--seconds", "5")
    written, _ = tool.communicate("n\n", timeout=20)
    assert tool.returncode == 2
    assert "the inverter gets no data" in written
    assert "Begin? [y/N]" in written
    time.sleep(1)  # what is watched is time itself
    assert chain.inverter.status()["outcomes"].get("exception-4", 0) == before


def test_another_user_is_refused_with_the_remedy(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    server = find_server(chain.server.pid)

    def refuse(_descriptor: int, _number: int) -> None:
        raise PermissionError  # as the kernel does

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    with pytest.raises(NoServer, match="run it with sudo"):
        server.withhold()


def test_a_process_that_knows_no_drills_is_left_alone(chain: Chain) -> None:
    stranger = subprocess.Popen(["sleep", "30"])
    try:
        place = f"127.0.0.1:{chain.broker.port}"
        command = ["-m", "airbridge", "drill", "--yes", "--pid", str(stranger.pid), "--broker", place]
        ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
        assert ended.returncode == 2
        assert "no rtu-server that knows drills" in ended.stderr
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
