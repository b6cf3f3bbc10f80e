"""`airbridge monitor` against the real services, as its user runs it."""

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bridge.broker import free_port
from tests.bridge.doctor import LoginChain, a_broker
from tests.chain import Chain


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with Chain(tmp_path_factory.mktemp("monitor")) as chain:
        chain.start()
        chain.await_good()
        until = time.monotonic() + 30
        while not _shows_answers(chain):
            assert time.monotonic() < until, chain.logs()
        yield chain


def _shows_answers(chain: Chain) -> bool:
    """Whether the retained health has the inverter's first answers: it comes at changes, and each 10 s."""
    report = json.loads(monitor("--broker", f"127.0.0.1:{chain.broker.port}", "--json").stdout)
    units = report["nodes"].get("attic", {}).get("units") or [{"data": 0}]
    return bool(report["verdict"]["state"] == "ok" and units[0]["data"] > 0)


def monitor(*arguments: str, within: float = 15.0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "airbridge", "monitor", *arguments]
    environ = {**os.environ, "COLUMNS": "120"}
    return subprocess.run(command, capture_output=True, text=True, timeout=within, check=False, env=environ)


def test_one_look_shows_that_all_is_well(chain: Chain) -> None:
    seen = monitor("--broker", f"127.0.0.1:{chain.broker.port}", "--once")
    assert seen.returncode == 0, seen.stdout + seen.stderr
    for word in ("All is well", "RS485", "push", "polls 40-145", "p99"):
        assert word in seen.stdout


def test_as_json_it_tells_what_the_dashboard_tells(chain: Chain) -> None:
    seen = monitor("--broker", f"127.0.0.1:{chain.broker.port}", "--json")
    report = json.loads(seen.stdout)
    assert seen.returncode == 0
    assert report["verdict"]["state"] == "ok"
    assert "power" in report["meters"]["main"]["live"]["values"]
    assert report["nodes"]["attic"]["requests"]


def test_in_lines_it_ends_by_itself(chain: Chain) -> None:
    seen = monitor("--broker", f"127.0.0.1:{chain.broker.port}", "--plain", "--seconds", "2")
    assert seen.returncode == 0
    assert "main " in seen.stdout.splitlines()[-1]


@pytest.mark.slow
def test_without_a_publisher_it_says_so_and_fails(chain: Chain) -> None:
    chain.publisher.stop()
    try:
        seen = monitor("--broker", f"127.0.0.1:{chain.broker.port}", "--once")
    finally:
        chain.publisher.start()
    assert seen.returncode == 1
    assert "The publisher of meter main is gone." in seen.stdout


@pytest.mark.slow
def test_without_a_broker_it_says_so_and_fails() -> None:
    seen = monitor("--broker", f"127.0.0.1:{free_port()}", "--once")
    assert seen.returncode == 1
    assert "No link to the broker" in seen.stdout


def test_a_mistake_on_the_command_line_is_told() -> None:
    seen = monitor("--broker", "host:x")
    assert seen.returncode == 2
    assert "HOST:PORT" in seen.stderr


@pytest.mark.slow
def test_without_options_it_takes_broker_and_login_from_a_service(tmp_path: Path) -> None:
    with LoginChain(tmp_path, broker=a_broker(tmp_path)) as chain:
        chain.start()
        chain.await_good()
        refused = monitor("--broker", f"127.0.0.1:{chain.broker.port}", "--once")
        assert refused.returncode == 1
        for service in (chain.publisher, chain.server):
            seen = monitor("--config", str(service.settings_path), "--json")
            reported = json.loads(seen.stdout)
            assert reported["meters"]["main"]["live"]["fresh"], seen.stdout + seen.stderr
            assert "attic" in reported["nodes"]


def test_q_ends_the_screen_and_the_screen_says_so(chain: Chain) -> None:
    master, slave = os.openpty()
    command = [sys.executable, "-m", "airbridge", "monitor", "--broker", f"127.0.0.1:{chain.broker.port}"]
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environ) as process:
        os.close(slave)
        drawn = b""
        while b"q ends" not in drawn:
            assert select.select([master], [], [], 20)[0], drawn
            drawn += os.read(master, 65536)
        os.write(master, b"q")
        while process.poll() is None:  # a terminal that nobody reads would hold it
            if select.select([master], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    os.read(master, 65536)
        assert process.wait(20) in (0, 1)
    os.close(master)
