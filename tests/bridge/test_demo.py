"""`airbridge demo` as a newcomer starts it: a process that starts all the others."""

import contextlib
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from fcntl import ioctl
from pathlib import Path

import pytest

from ksem_simulators.simulator import KsemHandle, LineHandle, PlenticoreHandle
from service_runtime.clock import boottime

from .broker import Broker, free_port

_ENVIRON = os.environ | {"COLUMNS": "120", "AIRBRIDGE_MQTT__HOST": "nowhere.invalid"}
"""A setting for real services in the environment must not reach the demo's."""
_COUNTS = re.compile(r"answers in \S+ s: (\d+) good, (.*)")
_NO_MOSQUITTO = "import airbridge.demo.processes as b; b._SEARCH = ''; from airbridge.__main__ import main; main()"


def _demo(*arguments: str, program: Sequence[str] = ("-m", "airbridge")) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *program, "demo", "--plain", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_ENVIRON,
    )


def _end(process: "subprocess.Popen[str]", timeout: float = 90.0) -> str:
    try:
        output, _ = process.communicate(timeout=timeout)
    finally:
        process.kill()
        process.wait()
    return output


def _running(mark: str) -> list[int]:
    """Processes whose command line has `mark` in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if mark.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def _wait_until(condition: object, seconds: float = 60.0) -> None:
    deadline = boottime() + seconds
    while not condition():  # type: ignore[operator]
        assert boottime() < deadline, "it did not happen"
        time.sleep(0.05)


def _counts_from_here(folder: Path) -> bool:
    """Whether the inverter of a demo that keeps its files in `folder` has had live data."""
    with contextlib.suppress(OSError):
        return '"range": "40-145", "outcome": "good"' in (folder / "plenticore.jsonl").read_text()
    return False


def test_a_plain_run_gives_the_inverter_good_answers_only_and_ends_by_itself(tmp_path: Path) -> None:
    process = _demo("--seconds", "8", "--keep", str(tmp_path), "--export-svg", str(tmp_path / "demo.svg"))
    output = _end(process)
    assert process.returncode == 0, output
    found = _COUNTS.search(output)
    assert found, output
    assert int(found[1]) >= 40
    assert found[2] == "0 wrong, 0 torn, 0 stale, 0 foreign, 0 late, 0 broken, 0 timeouts, 0 refused"
    assert "broker: mosquitto" in output
    assert re.search(r"push [45]\.\d/s", output)  # fewer where the host is busy
    picture = (tmp_path / "demo.svg").read_text()
    assert "Plenticore" in picture
    assert "url(" not in picture.replace("url(#", "")
    assert not _running(str(tmp_path))


@pytest.mark.slow
def test_without_a_mosquitto_the_broker_from_pip_serves_and_is_named(tmp_path: Path) -> None:
    pytest.importorskip("iotcore")
    process = _demo("--seconds", "3", "--keep", str(tmp_path), program=("-c", _NO_MOSQUITTO))
    output = _end(process)
    assert process.returncode == 0, output
    assert re.search(r"broker: iotcore \S+ \(from pip; no mosquitto is installed\)", output)
    assert not _running(str(tmp_path))


def test_a_service_that_dies_ends_the_demo_with_the_end_of_its_log(tmp_path: Path) -> None:
    process = _demo("--keep", str(tmp_path))
    try:
        _wait_until(lambda: _counts_from_here(tmp_path))
        (publisher,) = _running(f"ksem_publisher\0--config\0{tmp_path}")
        os.kill(publisher, signal.SIGKILL)
    finally:
        output = _end(process)
    assert process.returncode == 1
    assert "publisher was ended by signal 9. The end of its log:" in output
    assert "result: FAILED: a process ended by itself" in output
    assert not _running(str(tmp_path))


def test_nothing_goes_on_running_when_the_demo_itself_is_killed(tmp_path: Path) -> None:
    process = _demo("--keep", str(tmp_path))
    try:
        _wait_until(lambda: _counts_from_here(tmp_path))
    finally:
        process.kill()
        process.wait()
    _wait_until(lambda: not _running(str(tmp_path)), 10)


@pytest.mark.slow
def test_keys_pull_and_put_back_and_the_terminal_is_left_as_it_was(tmp_path: Path) -> None:
    master, slave = os.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    before = termios.tcgetattr(slave)
    process = subprocess.Popen(
        [sys.executable, "-m", "airbridge", "demo", "--keep", str(tmp_path)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=_ENVIRON | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"},
        start_new_session=True,
    )
    screen = _Screen(master)
    try:
        screen.wait_for("counting from here on")
        os.write(master, b"p")
        screen.wait_for("pulled the push")
        screen.wait_for("polled instead of pushed")
        os.write(master, b"p")
        screen.wait_for("put back the push")
        os.write(master, b"r")
        screen.wait_for("gets timeout")
        os.write(master, b"r")
        screen.wait_for("gets data again after")
        os.write(master, b"q")
        screen.wait_for("result: good")
        assert process.wait(10) == 0
        assert termios.tcgetattr(slave) == before
        assert "\x1b[?1049l" in screen.all
        assert "\x1b[?25h" in screen.all.rpartition("\x1b[?25l")[2]
    finally:
        process.kill()
        process.wait()
        os.close(slave)
        os.close(master)
    assert not _running(str(tmp_path))


class _Screen:
    """What a program writes to a terminal."""

    def __init__(self, master: int) -> None:
        self.all = ""
        self._master = master
        self._seen = 0

    def wait_for(self, text: str, seconds: float = 60.0) -> None:
        """Wait until `text` was written, after what was waited for before."""
        deadline = boottime() + seconds
        while (found := self.all.find(text, self._seen)) < 0:
            assert boottime() < deadline, f"{text!r} never came; at last: {self.all[-3000:]}"
            if select.select([self._master], [], [], 0.2)[0]:
                self.all += os.read(self._master, 65536).decode("utf-8", "replace")
        self._seen = found + len(text)


@pytest.mark.slow
def test_a_real_broker_and_a_real_meter_are_used_and_the_broker_is_left_as_it_was(tmp_path: Path) -> None:
    push_port, secret = free_port(), tmp_path / "password"
    secret.write_text("s3cret\n")
    own = tmp_path / "own"
    with (
        Broker(tmp_path / "broker", users={"me": "s3cret"}) as broker,
        KsemHandle(tmp_path, push=("127.0.0.1", push_port)) as ksem,
    ):
        meter = ("--meter", f"127.0.0.1:{ksem.port}", "--push-port", str(push_port))
        login = ("--broker", f"127.0.0.1:{broker.port}", "--username", "me", "--password-file", str(secret))
        process = _demo("--seconds", "3", *meter, *login, "--keep", str(own))
        output = _end(process)
        assert process.returncode == 0, output
        received = subprocess.run(
            ["mosquitto_sub", "-p", str(broker.port), "-u", "me", "-P", "s3cret", "-t", "#", "-v", "-W", "1"],
            capture_output=True,
            text=True,
            check=False,
        )
    assert "topics ksem-demo/#" in output
    assert "checked by their form alone" in output
    assert "push 5" in output or "publisher: push is up" in output
    assert received.stdout == ""


@pytest.mark.slow
def test_a_real_inverter_is_served_on_its_own_port(tmp_path: Path) -> None:
    with LineHandle(tmp_path) as line, PlenticoreHandle(tmp_path, line=line, truth=None) as inverter:
        process = _demo("--seconds", "2", "--serial", str(line.server), "--keep", str(tmp_path / "own"))
        output = _end(process)
        assert process.returncode == 0, output
        assert inverter.status()["outcomes"]["data"] > 10
    assert "The inverter is real" in output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--meter", "ksem:0"), "HOST or HOST:PORT"),
        (("--password-file", "/does/not/exist"), "/does/not/exist"),
    ],
)
def test_a_wrong_option_is_told_and_nothing_is_started(arguments: tuple[str, ...], text: str) -> None:
    process = _demo(*arguments)
    output = _end(process)
    assert process.returncode == 2
    assert text in output
