"""A line's thread that hangs, in the real process: noticed by the main thread, which feeds systemd's watchdog."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from service_runtime.threads import TURN_WITHIN
from tests.bridge.service import Service
from tests.chain import Chain

from .ear import NODE_STATUS, TOLD_WITHIN, Ear

pytestmark = pytest.mark.slow

HANGING = """
import sys, time
from pathlib import Path
from rtu_server.__main__ import main
from rtu_server.serial_line import SerialLine
step, hang = SerialLine._step, Path(sys.argv.pop(1))
def hangs(self, port):
    while hang.exists():
        time.sleep(0.05)
    step(self, port)
SerialLine._step = hangs
sys.exit(main())
"""
NOTICED_WITHIN = TURN_WITHIN + 8.0
"""Seconds: the main thread looks each second, and later on a busy machine."""


class HangingServer(Service):
    """The RTU server, whose line's thread hangs while the file `hang` is there, and what systemd receives of it."""

    def __init__(self, settings: str, folder: Path) -> None:
        self._systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._systemd.bind(str(folder / "notify"))
        self._systemd.setblocking(False)
        environ = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "1000000"}
        super().__init__("rtu_server", settings, folder, environ=environ)
        self.hang = folder / "hang"

    def start(self) -> Self:
        command = [sys.executable, "-c", HANGING, str(self.hang), "--config", str(self.settings_path)]
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environ)
        return self

    def kill(self) -> None:
        super().kill()
        self._systemd.close()

    def feeds(self) -> int:
        """How often the watchdog was fed since the last call."""
        count = 0
        while True:
            try:
                count += self._systemd.recv(4096) == b"WATCHDOG=1"
            except BlockingIOError:
                return count


@pytest.fixture
def chain(tmp_path: Path, kept_rows: list[object]) -> Iterator[Chain]:
    with Chain(tmp_path) as chain:
        chain.rows = kept_rows  # type: ignore[assignment]
        chain.server = HangingServer(chain.server.settings_path.read_text(), tmp_path)
        chain.start()
        chain.await_well()
        yield chain


def hanging(chain: Chain) -> HangingServer:
    """The server, once it has noticed that its line's thread hangs."""
    server = chain.server
    assert isinstance(server, HangingServer)
    server.hang.touch()
    server.feeds()
    server.await_log("hangs for", NOTICED_WITHIN)
    assert server.feeds() > 0, "the main thread still works"
    return server


@pytest.mark.promise(5)
def test_a_line_s_thread_that_hangs_is_replaced_and_named(chain: Chain) -> None:
    with Ear(chain.broker.port) as probe:
        with chain.fault("the thread of a line hangs for 9 s", "rtu-server"):
            server = hanging(chain)
            probe.await_last(NODE_STATUS, b"offline", TOLD_WITHIN)
            server.hang.unlink()
        probe.await_last(NODE_STATUS, b"online", TOLD_WITHIN)
    assert server.log_text().count("thread line rs485 hangs for") == 1
    assert "its thread was started anew once" in server.log_text()


@pytest.mark.promise(5)
def test_where_the_thread_hangs_again_the_process_ends_with_an_error_for_systemd_to_restart_it(chain: Chain) -> None:
    with Ear(chain.broker.port) as probe:
        with chain.fault("the thread of a line hangs until the process is started anew", "rtu-server"):
            server = hanging(chain)
            assert server.wait(NOTICED_WITHIN + 2) == 1
            assert "again: the process ends" in server.log_text()
            probe.await_last(NODE_STATUS, b"offline", TOLD_WITHIN)
            server.hang.unlink()
            server.start()
        probe.await_last(NODE_STATUS, b"online", TOLD_WITHIN)
