"""What systemd hears, and the form of log lines."""

import logging
import os
import socket
from pathlib import Path

import pytest

from service_runtime import logs, systemd


@pytest.mark.parametrize("abstract", [False, True])
def test_states_reach_the_notify_socket(tmp_path: Path, abstract: bool) -> None:
    path = f"@airbridge-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path.replace("@", "\0", 1))
        assert systemd.notify("READY=1", "STATUS=live data flows", environ={"NOTIFY_SOCKET": path})
        assert listener.recv(100) == b"READY=1\nSTATUS=live data flows"


def test_without_systemd_nothing_happens(tmp_path: Path) -> None:
    assert not systemd.notify("READY=1", environ={})
    assert not systemd.notify("READY=1", environ={"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert not systemd.notify("READY=1", environ={"NOTIFY_SOCKET": "vsock:2:1"})


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "4000000"}, 2.0),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())}, 2.0),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "x"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_asks(environ: dict[str, str], seconds: float | None) -> None:
    assert systemd.watchdog_interval(environ) == seconds


def test_each_line_for_the_journal_has_its_priority() -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 0, "broker: %s\nsecond", ("gone",), None)
    assert logs.JournalFormatter("%(message)s").format(record) == "<4>broker: gone\n<4>second"
