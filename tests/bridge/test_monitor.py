"""`airbridge monitor` against the real services, as its user runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.bridge.broker import free_port
from tests.chain import Chain


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with Chain(tmp_path_factory.mktemp("monitor")) as chain:
        chain.start()
        chain.await_good()
        yield chain


def monitor(*arguments: str, within: float = 15.0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "airbridge", "monitor", *arguments]
    environ = {**os.environ, "COLUMNS": "120"}
    return subprocess.run(command, capture_output=True, text=True, timeout=within, check=False, env=environ)


def test_one_look_shows_that_all_is_well(chain: Chain) -> None:
    seen = monitor("--broker", f"127.0.0.1:{chain.broker.port}", "--once")
    assert seen.returncode == 0, seen.stdout + seen.stderr
    for word in ("All is well", "RS485", "push", "asks 40-145", "p99"):
        assert word in seen.stdout


def test_as_json_it_tells_what_the_dashboard_tells(chain: Chain) -> None:
    seen = monitor("--broker", f"127.0.0.1:{chain.broker.port}", "--json")
    told = json.loads(seen.stdout)
    assert seen.returncode == 0
    assert told["verdict"]["state"] == "ok"
    assert "power" in told["meters"]["main"]["live"]["values"]
    assert told["nodes"]["attic"]["requests"]


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
