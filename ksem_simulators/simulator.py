"""Starts, steers and ends simulators, each a process of its own: for tests, benchmarks and the demo [shell].

    with LineHandle(folder) as line, KsemHandle(folder, push=("127.0.0.1", 5020)) as ksem:
        with PlenticoreHandle(folder, line=line, truth=ksem.truth) as inverter:
            inverter.wait_for("good", 10)
            ksem.command("fault", name="silent")
            print(inverter.status()["outcomes"])

`start` returns when the process is ready, `stop` returns its summary; it ends with this process at the latest. All
files are in `folder`; control sockets are in a short-named one, because their paths may not be long.
"""

import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ksem_simulators.process import ControlClient

_READY_WITHIN: Final = 15.0
_END_WITHIN: Final = 5.0


class SimulatorFailed(Exception):
    """A simulator did not start, or ended by itself; the text has what it printed."""


class Simulator:
    """A simulator process."""

    def __init__(self, kind: str, folder: Path, name: str, arguments: Sequence[str]) -> None:
        self.name = name
        self.ready: dict[str, Any] = {}
        self._arguments = [kind, *arguments]
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets: Path | None = None
        self._control: ControlClient | None = None

    @property
    def pid(self) -> int:
        """Process id, for signals of the tests."""
        return self._running().pid

    def start(self) -> Self:
        """Starts the process and waits until it is ready. SimulatorFailed with what it printed if it ends before."""
        self._sockets = Path(tempfile.mkdtemp(prefix="sim-"))
        control = self._sockets / "control"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "ksem_simulators",
                    *self._arguments,
                    "--with-parent",
                    "--control",
                    str(control),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C in a terminal is for who started it
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        self.ready = self._first_line()
        self._control = ControlClient(control)
        return self

    def command(self, do: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command, returns the answer's fields. CommandRefused when it is refused."""
        if self._control is None:
            raise SimulatorFailed(f"{self.name} was not started")
        return self._control.command(do, **parameters)

    def status(self) -> dict[str, Any]:
        """Counters and times so far."""
        return self.command("status")

    def stop(self) -> dict[str, Any]:
        """Ends the process, returns its summary. Harmless when it was not started or has been stopped."""
        process, self._process = self._process, None
        if process is None:
            return {}
        if self._control is not None:
            self._control.close()
            self._control = None
        process.terminate()
        try:
            output, _ = process.communicate(timeout=_END_WITHIN) if not _is_read(process) else (b"", b"")
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
        return _summary(output)

    def wait(self, timeout: float) -> dict[str, Any]:
        """Waits until it ends by itself, returns its summary. subprocess.TimeoutExpired when it goes on."""
        output, _ = self._running().communicate(timeout=timeout)
        return _summary(output)

    def kill(self) -> None:
        """Ends the process at once, as a crash would."""
        process = self._running()
        process.kill()
        process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise SimulatorFailed(f"{self.name} is not running")
        return self._process

    def _first_line(self) -> dict[str, Any]:
        process = self._running()
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if selector.select(_READY_WITHIN) else b""
        if not line:
            self.stop()
            printed = self._log.read_text(errors="replace")[-2000:]
            raise SimulatorFailed(f"{self.name} was not ready within {_READY_WITHIN:g} s: {printed}")
        ready: dict[str, Any] = json.loads(line)
        return ready


def _is_read(process: "subprocess.Popen[bytes]") -> bool:
    return process.stdout is None or process.stdout.closed


def _summary(output: bytes) -> dict[str, Any]:
    for line in reversed(output.splitlines()):
        if line.startswith(b'{"summary"'):
            summary: dict[str, Any] = json.loads(line)["summary"]
            return summary
    return {}


class KsemHandle(Simulator):
    """A KSEM. `push`: whom it writes its registers to; `options`: further words of its command line."""

    def __init__(
        self,
        folder: Path,
        *,
        push: tuple[str, int] | None = None,
        name: str = "ksem",
        host: str = "127.0.0.1",
        port: int = 0,
        options: Sequence[str] = (),
    ) -> None:
        self.host = host
        self.truth = folder / f"{name}.truth"
        arguments = ["--host", host, "--port", str(port), "--truth", str(self.truth)]
        if push is not None:
            arguments += ["--push", f"{push[0]}:{push[1]}"]
        super().__init__("ksem", folder, name, [*arguments, *options])

    @property
    def port(self) -> int:
        """Its Modbus TCP port."""
        return int(self.ready["port"])


class LineHandle(Simulator):
    """An RS485 line with a port for the server under test and one for the inverter.

    `client_batch`: hand so many bytes at once to the inverter, which saves four fifths of the line's CPU time; what the
    server sees and all times in the wire log stay the same.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "line",
        baudrate: int = 38400,
        client_batch: int = 1,
        options: Sequence[str] = (),
    ) -> None:
        self.server = folder / f"{name}-server"
        self.client = folder / f"{name}-client"
        self.wire_log = folder / f"{name}.wire"
        self.baudrate = baudrate
        arguments = ["--server", str(self.server), "--client", str(self.client), "--wire-log", str(self.wire_log)]
        super().__init__(
            "line",
            folder,
            name,
            [*arguments, "--baudrate", str(baudrate), "--client-batch", str(client_batch), *options],
        )


class PlenticoreHandle(Simulator):
    """An inverter at the client's end of `line`, which judges answers by the `truth` file of a KSEM."""

    def __init__(
        self,
        folder: Path,
        *,
        line: LineHandle,
        truth: Path | None,
        name: str = "plenticore",
        options: Sequence[str] = (),
    ) -> None:
        self.log = folder / f"{name}.jsonl"
        arguments = ["--port", str(line.client), "--baudrate", str(line.baudrate), "--wire-log", str(line.wire_log)]
        arguments += ["--log", str(self.log)]
        if truth is not None:
            arguments += ["--truth", str(truth)]
        super().__init__("plenticore", folder, name, [*arguments, *options])

    @property
    def modbus_port(self) -> int:
        """The port of its own Modbus TCP server, where `--modbus-port` is among the options."""
        return int(self.ready["modbus_port"])

    def wait_for(self, outcome: str, count: int = 1, seconds: float = 10.0) -> dict[str, Any]:
        """Waits until so many more answers had this outcome. TimeoutError, with what came instead, when they do not."""
        answer = self.command("await", outcome=outcome, count=count, seconds=seconds)
        if not answer["reached"]:
            raise TimeoutError(f"{count} x {outcome} within {seconds:g} s: got {answer['outcomes']}")
        return answer

    def raw(self, *frames: str, listen_ms: float = 300.0, gap_ms: float = 0.0, crc: bool = False) -> dict[str, Any]:
        """Sends these frames (hex), each after `gap_ms` of silence, and returns what came back, and when."""
        plain = [{"hex": frame, "gap_ms": gap_ms if index else 0.0} for index, frame in enumerate(frames)]
        return self.command("raw", frames=plain, listen_ms=listen_ms, crc=crc)
