"""Starting and steering simulators from tests, benchmarks and the demo [shell].

    with LineHandle(folder) as line, KsemHandle(folder, push=("127.0.0.1", 5020)) as ksem:
        with PlenticoreHandle(folder, line=line, truth=ksem.truth) as inverter:
            inverter.wait_for("good", 10)
            ksem.command("fault", name="silent")
            print(inverter.status()["outcomes"])

Each is a process of its own. `start` returns when it is ready, `stop` returns its summary; it ends with this process at
the latest. All files are in `folder`; control sockets are in a short-named one, because their paths may not be long.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ksem_simulators.control import CommandRefused
from ksem_simulators.simulator import Simulator, SimulatorFailed

__all__ = ["CommandRefused", "KsemHandle", "LineHandle", "PlenticoreHandle", "Simulator", "SimulatorFailed"]


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
        """Sends these frames (hex), each after `gap_ms` of silence, and tells what came back, and when."""
        plain = [{"hex": frame, "gap_ms": gap_ms if index else 0.0} for index, frame in enumerate(frames)]
        return self.command("raw", frames=plain, listen_ms=listen_ms, crc=crc)
