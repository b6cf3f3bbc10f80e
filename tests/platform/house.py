"""What stands around a machine: a meter on its network, an inverter on its serial port."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ksem_simulators.simulator import KsemHandle, LineHandle, PlenticoreHandle

from .machine import GUEST, HOST, Machine, until

PORT: Final = "/dev/ttyRS485"
"""The serial port inside: a pseudo-terminal, which systemd's DevicePolicy=closed always lets in."""
DIALOUT: Final = 20
"""Debian's number of the group, in every installation the same."""
NEVER: Final = ("wrong", "torn", "stale", "late", "foreign", "broken")


class House:
    """A machine in its surroundings. The meter answers on port 502 of HOST and pushes to port 5020 of GUEST."""

    def __init__(self, suite: str, folder: Path) -> None:
        self._stack = ExitStack()
        self.line = LineHandle(folder)
        self._suite, self._folder = suite, folder
        self.machine: Machine
        self.inverter: PlenticoreHandle
        self.meter: KsemHandle

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.line)
            port = str(self.line.server.readlink())
            shutil.chown(port, 0, DIALOUT)
            Path(port).chmod(0o660)
            self.machine = stack.enter_context(Machine(self._suite, self._folder, binds={port: PORT}))
            self.meter = stack.enter_context(KsemHandle(self._folder, host=HOST, port=502, push=(GUEST, 5020)))
            self.inverter = stack.enter_context(
                PlenticoreHandle(self._folder, line=self.line, truth=self.meter.truth, options=("--timeout", "0.3"))
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def await_good(self, count: int = 30, within: float = 30.0) -> float:
        """Wait for so many good answers at the inverter; return after how many seconds the first one came."""
        try:
            first: float = self.inverter.wait_for("good", 1, within)["after_s"]
            self.inverter.wait_for("good", count - 1, within)
        except TimeoutError as error:
            journals = "\n".join(self.machine.journal(unit) for unit in ("ksem-publisher", "rtu-server"))
            raise AssertionError(f"{error}\n{journals}") from None
        self.assert_never_bad()
        return first

    def served(self, path: str) -> tuple[int, str]:
        """What the dashboard answers: status and text; 0 where nobody listens."""
        program = (
            "import sys, urllib.error, urllib.request\n"
            "try: answer = urllib.request.urlopen('http://127.0.0.1:8080' + sys.argv[1], timeout=5)\n"
            "except urllib.error.HTTPError as error: answer = error\n"
            "except OSError as error: sys.exit(print(0, error))\n"
            "print(answer.status, answer.read().decode())\n"
        )
        status, _, text = self.machine.run("python3", "-c", program, path).partition(" ")
        return int(status), text

    def await_healthy_page(self) -> None:
        """Wait until the dashboard says that the house is fine."""
        until(
            "the dashboard says ok",
            lambda: self.served("/healthz")[0] == 200,
            30,
            lambda: f"{self.served('/healthz')}\n{self.machine.journal('ksem-dashboard')}",
        )

    def assert_never_bad(self) -> dict[str, Any]:
        """Nothing old, torn or wrong has come to the inverter; return all that has, by outcome."""
        status = self.inverter.status()
        outcomes: dict[str, Any] = status["outcomes"]
        assert not {name: outcomes[name] for name in NEVER if outcomes.get(name)}, (outcomes, status["problems"])
        return outcomes
