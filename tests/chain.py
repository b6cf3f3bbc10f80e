"""The whole chain as processes: meter, publisher, broker, RTU server, line, inverter; faults as rows of a table."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ksem_contract.blocks import LIVE
from ksem_simulators.simulator import KsemHandle, LineHandle, PlenticoreHandle

from .bridge.broker import Broker, free_port
from .bridge.service import Service

NEVER: Final = ("wrong", "torn", "stale", "late", "foreign", "broken")
"""What the inverter must never get, whatever is broken."""
RECOVERY: Final = 5.0
"""Seconds from a fault's end within which data flows again."""
LIMIT_MS: Final = 1500.0
MARGIN_MS: Final = 50.0
"""What the machine may add between the judgement and the wire."""


@dataclass
class FaultRow:
    """One line of docs/faults.md: filled by the test as it happens."""

    fault: str
    family: str
    inverter_saw: dict[str, int] = field(default_factory=dict)
    longest_age_ms: float | None = None
    recovery_s: float | None = None


class Chain:
    """Everything between the meter's registers and the inverter's wire. Parts are started in the order asked for."""

    PARTS: Final = ("broker", "meter", "publisher", "line", "server", "inverter")

    def __init__(
        self,
        folder: Path,
        *,
        publisher: str = "",
        server: str = "",
        meter_options: Sequence[str] = (),
        inverter_options: Sequence[str] = ("--timeout", "0.15"),
        push: bool = True,
        broker: Broker | None = None,
        live_limit: float = 1.5,
        publisher_python: str = "",
        server_python: str = "",
        mqtt: str = "",
    ) -> None:
        """`publisher`, `server`: further lines of their settings files; `mqtt`: further keys of their [mqtt]."""
        self._mqtt = mqtt
        self.folder = folder
        self.push_port = free_port()
        self.limit_ms = live_limit * 1000
        self.broker = broker or Broker(folder / "broker")
        push_to = ("127.0.0.1", self.push_port) if push else None
        self.meter = KsemHandle(folder, push=push_to, port=free_port(), options=meter_options)
        self.line = LineHandle(folder)
        judged = ("--limit", f"live={live_limit + MARGIN_MS / 1000}")  # what is older counts as `stale`
        self.inverter = PlenticoreHandle(
            folder, line=self.line, truth=self.meter.truth, options=(*judged, *inverter_options)
        )
        self._meter_port = int(self.meter._arguments[self.meter._arguments.index("--port") + 1])
        self.publisher = Service("ksem_publisher", self.publisher_settings(publisher), folder, python=publisher_python)
        self.server = Service("rtu_server", self.server_settings(server), folder, python=server_python)
        self._stack = ExitStack()
        self.rows: list[FaultRow] = []

    def publisher_settings(self, more: str = "") -> str:
        """The publisher's settings file. `more` may hold further tables, or begin with further keys of [[meter]]."""
        return f"""
[mqtt]
host = "{self.broker.host}"
port = {self.broker.port}
{self._mqtt}
[push]
listen = "127.0.0.1"
port = {self.push_port}
[[meter]]
host = "127.0.0.1"
port = {self._meter_port}
timeout = 0.5
{more}
"""

    def server_settings(self, more: str = "") -> str:
        """The RTU server's settings file. `more` may hold further tables, or begin with further keys of [[line]]."""
        return f"""
[node]
name = "attic"
[mqtt]
host = "{self.broker.host}"
port = {self.broker.port}
{self._mqtt}
[[line]]
port = "{self.line.server}"
{more}
"""

    def start(self, *parts: str) -> Self:
        """Start these parts in this order; all of them in their natural one where none is named."""
        for part in parts or self.PARTS:
            self._stack.enter_context(getattr(self, part))
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def await_good(self, count: int = 10, within: float = 15.0) -> float:
        """Wait for so many good answers; return how long the first of them took, in seconds."""
        try:
            first: float = self.inverter.wait_for("good", 1, within)["after_s"]
            self.inverter.wait_for("good", count - 1, within)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None
        return first

    def await_well(self) -> None:
        """Wait for good answers, and until the server has logged what a start is worth."""
        self.await_good(5)
        self.server.await_log("the inverter gets data")
        self.server.await_log(": first request ", times=len(self.inverter.status()["ranges"]))

    def watch(self, seconds: float) -> dict[str, int]:
        """Let the inverter ask for so long; return what it got in that time."""
        before = self.inverter.status()["outcomes"]
        time.sleep(seconds)  # what is watched is time itself
        after = self.inverter.status()["outcomes"]
        return {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}

    @contextmanager
    def fault(self, name: str, family: str, recovery: float | None = RECOVERY) -> Iterator[FaultRow]:
        """A fault lasts for the `with` block. After it, data must flow again in time and nothing bad been served.

        `recovery` None: the fault costs the inverter nothing, or is not one that ends.
        """
        row = FaultRow(name, family)
        self.inverter.command("reset")
        yield row
        if recovery is not None:
            row.recovery_s = round(self.await_good(10, within=recovery + 5), 2)
        status = self.inverter.status()
        row.inverter_saw = dict(sorted(status["outcomes"].items()))
        row.longest_age_ms = _longest_live_age(status)
        self.rows.append(row)
        self.assert_never(status)
        if recovery is not None:
            assert row.recovery_s is not None
            assert row.recovery_s <= recovery, f"{name}: data flows {row.recovery_s} s after its end\n{self.logs()}"

    def assert_never(self, status: dict[str, Any] | None = None) -> None:
        """The inverter has got nothing that it must never get, and nothing older than the limit as valid."""
        status = status or self.inverter.status()
        bad = {name: status["outcomes"][name] for name in NEVER if status["outcomes"].get(name)}
        longest = _longest_live_age(status) or 0.0
        problems = [one for one in status["problems"] if one["outcome"] in NEVER]
        for one in filter(is_excused, problems):
            bad[one["outcome"]] -= 1
        bad = {name: count for name, count in bad.items() if count > 0}
        assert not bad, f"{bad}: {problems[:5]}\n{self.logs()}"
        assert longest <= self.limit_ms + MARGIN_MS, f"a value {longest:.0f} ms old was served as valid"

    def logs(self) -> str:
        """What the services said last."""
        return "\n".join(
            f"--- {service.module}\n{service.log_text()[-3000:]}" for service in (self.publisher, self.server)
        )


def is_excused(problem: Mapping[str, Any]) -> bool:
    """Whether the host gave the line no CPU: then the server got bytes later than the wire's times show."""
    return bool(problem.get("disturbed")) and problem.get("outcome") in {"late", "broken"}


def kinds(outcomes: dict[str, int]) -> set[str]:
    """What the inverter got, but for the time-outs that a stall of the testing machine costs: one in ten at most."""
    rare = outcomes.get("timeout", 0) <= max(2, sum(outcomes.values()) // 10)
    return set(outcomes) - ({"timeout"} if rare else set())


def _longest_live_age(status: dict[str, Any]) -> float | None:
    """The longest age in ms, since the meter wrote it, of what the live limit holds for.

    The inverter also asks once for a word that may have any age.
    """
    live = [part["age_ms"] for name, part in status["ranges"].items() if int(name.partition("-")[0]) < LIVE.stop]
    return max((ages["max"] for ages in live if ages["count"]), default=None)


def keep_rows(rows: Sequence[FaultRow], path: Path) -> None:
    """Append rows for the table, which is written when the run is over."""
    with path.open("a") as file:  # in one piece, since tests of other processes do the same
        file.write("".join(json.dumps(asdict(row)) + "\n" for row in rows))
