"""Notifications by the real service and the real library to a receiver on loopback."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.bridge.broker import Broker, free_port
from tests.browser.dashboard import DashboardService
from tests.chain import Chain

pytest.importorskip("apprise")


class ReceiverServer:
    """Takes what apprise posts to json://; `refuse` makes it answer with status 503."""

    def __init__(self) -> None:
        self.port = free_port()
        self.messages: list[dict[str, Any]] = []
        self.attempts = 0
        self.refuse = False
        self._arrived = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with receiver._arrived:
                    receiver.attempts += 1
                    if not receiver.refuse:
                        receiver.messages.append(content)
                    receiver._arrived.notify_all()
                self.send_response(503 if receiver.refuse else 200)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def await_messages(self, count: int, within: float) -> list[dict[str, Any]]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.messages) >= count, within), self.messages
            return list(self.messages)

    def await_attempts(self, count: int, within: float) -> None:
        with self._arrived:
            assert self._arrived.wait_for(lambda: self.attempts >= count, within), self.attempts

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[ReceiverServer]:
    server = ReceiverServer()
    yield server
    server.close()


def settings(folder: Path, *addresses: str) -> str:
    path = folder / "addresses"
    path.write_text("\n".join(["# who is notified", "", *addresses]) + "\n")
    return f'[notify]\nurls_file = "{path}"\nafter = 10\n'


def test_an_outage_reaches_a_real_receiver(tmp_path: Path, receiver: ReceiverServer) -> None:
    """Without a broker there is no data either: the one cause that needs nothing else of the chain."""
    more = settings(tmp_path, f"json://127.0.0.1:{receiver.port}")
    with DashboardService(tmp_path, Broker(tmp_path / "broker"), more=more):
        (begun,) = receiver.await_messages(1, 60)
        assert begun["title"] == "KSEM AirBridge: no data"
        assert begun["message"].startswith("Broker: no data since")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_outage_and_its_end_reach_a_receiver_that_was_away_meanwhile(
    tmp_path: Path, receiver: ReceiverServer
) -> None:
    more = settings(tmp_path, f"json://127.0.0.1:{receiver.port}/secret-token")
    with Chain(tmp_path / "chain") as chain:
        chain.start()
        with DashboardService(tmp_path, chain.broker, more=more) as dashboard:
            chain.await_good()
            dashboard.await_log("the page is at")
            time.sleep(3)  # well for a while: nothing is to be sent
            assert receiver.attempts == 0
            receiver.refuse = True
            chain.publisher.stop()
            receiver.await_attempts(1, 40)
            dashboard.await_log("could not be delivered")
            faults = dashboard.state()["faults"]
            assert any(fault["code"] == "notification-undelivered" for fault in faults), faults
            assert "secret-token" not in json.dumps(dashboard.state())
            receiver.refuse = False
            (begun,) = receiver.await_messages(1, 60)
            assert begun["title"] == "KSEM AirBridge: no data"
            assert "Meter main: no data since" in begun["message"]
            assert "systemctl status ksem-publisher" in begun["message"]
            chain.publisher.start()
            _, over = receiver.await_messages(2, 100)
            assert over["title"] == "KSEM AirBridge: all is well again"
            assert "Meter main: well again since" in over["message"]
            assert not any(fault["code"] == "notification-undelivered" for fault in dashboard.state()["faults"])
            assert "secret-token" not in dashboard.log_text()


def run_test(folder: Path, more: str) -> subprocess.CompletedProcess[str]:
    path = folder / "dashboard.toml"
    path.write_text(more)
    command = [sys.executable, "-m", "ksem_dashboard", "--config", str(path), "--notify-test"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_trial_is_delivered_to_each_address_and_reports_the_one_that_fails(
    tmp_path: Path, receiver: ReceiverServer
) -> None:
    addresses = (f"json://127.0.0.1:{receiver.port}", f"json://127.0.0.1:{free_port()}/token", "nonsense://token")
    ended = run_test(tmp_path, settings(tmp_path, *addresses))
    assert ended.returncode == 1
    lines = ended.stdout.splitlines()
    assert lines[0] == "line 3 (json): delivered"
    assert lines[1].startswith("line 4 (json): ")
    assert "delivered" not in lines[1]
    assert "apprise knows no such address" in lines[2]
    assert "token" not in ended.stdout + ended.stderr
    assert [message["title"] for message in receiver.messages] == ["KSEM AirBridge: test"]


def test_a_trial_without_addresses_reports_that_nobody_is_notified(tmp_path: Path) -> None:
    ended = run_test(tmp_path, "")
    assert ended.returncode == 2
    assert "urls_file is not set" in ended.stderr
