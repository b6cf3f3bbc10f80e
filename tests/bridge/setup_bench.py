"""A house for `airbridge setup`: devices at loopback addresses, an inverter on a pseudo-terminal, a terminal."""

import contextlib
import functools
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from ksem_contract.registers import RegisterRange
from modbus_codec.rtu import RtuFrame
from tests.bridge.odd_meter import Answer, OddMeter

NETWORK = "127.0.7.0/28"
KSEM, TLS_KSEM, INVERTER = "127.0.7.10", "127.0.7.11", "127.0.7.6"
QUESTION = re.compile(r"[:?] *$|\] *$|\(\w+\): *$|Number.*: *$")


@pytest.fixture(name="low_ports")
def _low_ports() -> None:
    """Devices listen where real ones do."""
    try:
        socket.create_server((KSEM, 502)).close()
    except OSError as error:
        pytest.skip(f"port 502: {error.strerror} (root may)")


def meter(host: str = KSEM, port: int = 502) -> OddMeter:
    """A KSEM."""
    return OddMeter(host, port)


@contextlib.contextmanager
def five_others() -> Iterator[None]:
    """What else is found at port 502: two Modbus devices, one with a float map, one that is silent, a web server."""
    with contextlib.ExitStack() as stack:
        answers: tuple[Answer, ...] = (2, 1, _floats(), None, b"HTTP/1.0 400 Bad Request\r\n\r\n")
        for number, answer in enumerate(answers, 1):
            one = stack.enter_context(OddMeter(f"127.0.7.{number}", 502))
            one.answer = functools.partial(_answer, answer)
        yield


def _answer(kind: Answer, span: RegisterRange) -> Answer:
    return kind[: span.count] if isinstance(kind, list) else kind


def _floats() -> list[int]:
    """Numbers as a Plenticore has them: float32, low word first."""
    words = [struct.unpack(">HH", struct.pack(">f", 230.0 + number)) for number in range(64)]
    return [word for high, low in words for word in (low, high)]


class Line:
    """A pseudo-terminal for an RS485 adapter; `inverter()` requests on it, or sends what is no Modbus."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave = slave
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(5)
        os.close(self._master)
        os.close(self._slave)

    def inverter(self, unit: int = 1, data: bytes | None = None) -> Self:
        """Send a request every 100 ms."""
        frame = data or RtuFrame(unit, struct.pack(">BHH", 3, 0, 28)).encode()
        self._thread = threading.Thread(target=self._send, args=(frame,), daemon=True)
        self._thread.start()
        return self

    def _send(self, frame: bytes) -> None:
        while not self._ended.wait(0.1):
            if select.select([], [self._master], [], 0)[1]:
                os.write(self._master, frame)


def setup_command(folder: Path, *options: object) -> list[str]:
    """The command line of a setup that starts nothing."""
    words = [sys.executable, "-m", "airbridge", "setup", "--folder", str(folder), "--no-start"]
    return [*words, *map(str, options)]


def run_setup(folder: Path, *options: object) -> "subprocess.CompletedProcess[str]":
    """Without a terminal."""
    return subprocess.run(
        setup_command(folder, *options),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**os.environ, "COLUMNS": "300"},
    )


class Terminal:
    """A setup in a terminal, answered question by question."""

    def __init__(self, folder: Path, *options: object) -> None:
        self.text = ""
        self._seen = 0
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ.update(COLUMNS="300", TERM="dumb")
            os.execv(sys.executable, setup_command(folder, *options))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    def await_question(self, within: float = 60.0) -> str | None:
        """What was printed up to the next question; None where the setup has ended."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            ready = select.select([self._fd], [], [], 0.3)[0]
            if ready:
                try:
                    data = os.read(self._fd, 65536)
                except OSError:
                    return None
                self.text += data.decode()
            elif QUESTION.search(self.text[self._seen :]):
                requested, self._seen = self.text[self._seen :], len(self.text)
                return requested
        raise AssertionError(f"no question within {within:g} s:\n{self.text}")

    def answer(self, line: str = "") -> None:
        """Type a line; an empty one takes the default."""
        os.write(self._fd, f"{line}\n".encode())

    def kill(self) -> None:
        """As a power cut does."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit code."""
        os.write(self._fd, b"\x03")
        return self.end()

    def end(self) -> int:
        """Wait for the end; returns the exit code."""
        while self.await_question() is not None:
            self.answer()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def answered(folder: Path, answers: Sequence[str], *options: object) -> tuple[int, str]:
    """Run with these answers, then defaults; returns the exit code and what was printed."""
    with Terminal(folder, *options) as terminal:
        for line in answers:
            assert terminal.await_question() is not None, terminal.text
            terminal.answer(line)
        return terminal.end(), terminal.text
