"""The chain with listeners at the broker: what the meter's side says and logs while something is wrong with it."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ksem_contract.block_message import BlockMessage
from ksem_contract.health import MeterHealth
from tests.bridge.meter_audience import MeterAudience
from tests.chain import RECOVERY, Chain, FaultRow, kinds

from .ear import METER_STATUS, NODE_STATUS, TOLD_WITHIN, Ear
from .log_lines import Lines

OLD_HEALTH = 11.0
"""Seconds after which a change that leaves the state as it is stands in health too."""


class MeterScene:
    """A running chain, its publisher's messages judged one by one, and both status topics."""

    def __init__(self, folder: Path, rows: list[FaultRow], **options: Any) -> None:
        """`options`: those of `Chain`."""
        self.chain = Chain(folder, **options)
        self.chain.rows = rows
        self._pushed = options.get("push", True)
        self.meter = self.chain.meter
        self.inverter = self.chain.inverter
        self.publisher = self.chain.publisher
        self.probe = Ear(self.chain.broker.port)
        self.audience: MeterAudience
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start all, and wait for good answers."""
        with self._stack as stack:
            stack.enter_context(self.chain).start("broker", "meter")
            stack.enter_context(self.probe)
            self.audience = stack.enter_context(MeterAudience(self.chain.broker.port, self.meter.truth))
            self.chain.start("publisher", "line", "server", "inverter")
            self.chain.await_good(10)
            # What is told at the start is none of a test's lines.
            for link in ("poll", "push") if self._pushed else ("poll",):
                self.publisher.await_log(f"{link} is up", within=8)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextmanager
    def fault(self, name: str, family: str, recovery: float | None = RECOVERY) -> Iterator[FaultRow]:
        """As `Chain.fault`; and no live block that was published meanwhile was wrong or torn."""
        with self.chain.fault(name, family, recovery) as row:
            yield row
        assert not self.audience.wrong, f"{name}: {self.audience.wrong}\n{self.chain.logs()}"

    def carried_by(self, source: str, count: int = 4, within: float = 6.0) -> list[BlockMessage]:
        """Wait until so many live blocks in a row came from this source."""
        live, begin = self.audience.live, len(self.audience.live)

        def holds() -> bool:
            newest = live[begin:][-count:]
            return len(newest) == count and all(block.source == source for block in newest)

        self.audience.await_true(holds, f"live by {source}", within)
        return live[-count:]

    def await_offline(self, within: float = TOLD_WITHIN) -> None:
        """Both statuses say that no data flows, within the time promised."""
        self._await_statuses(b"offline", within)

    def await_online(self, within: float = TOLD_WITHIN + RECOVERY) -> None:
        """Both statuses say that data flows."""
        self._await_statuses(b"online", within)

    def assert_never_offline(self, since: int) -> None:
        """The meter's status has not left `online` since so many messages on it."""
        assert b"offline" not in self.statuses()[since:]

    def statuses(self) -> list[bytes]:
        """All that was said on the meter's status."""
        return self.probe.payloads(METER_STATUS)

    def await_health(self, state: str, *words: str, within: float = OLD_HEALTH) -> MeterHealth:
        """Wait for a health message in this state whose reasons or checks hold all these words."""

        def holds(health: MeterHealth) -> bool:
            checks = " ".join(f"{check.name} {check.reason}" for check in health.checks)
            reported = f"{health.why} {health.push.link.why} {health.poll.link.why} {checks}"
            return health.state == state and all(word in reported for word in words)

        return self.audience.await_health(holds, f"{state}: {words}", within)

    def lines(self) -> Lines:
        """What the publisher logs from now on."""
        return Lines(self.publisher)

    def ask(self, ranges: str, **more: Any) -> None:
        """Have the inverter ask for these registers."""
        self.inverter.command("plan", ranges=ranges, **more)

    def outcomes(self, wanted: str) -> dict[str, int]:
        """What the inverter got for one range since the last reset."""
        found: dict[str, int] = self.inverter.status()["ranges"].get(wanted, {}).get("outcomes", {})
        return found

    def _await_statuses(self, payload: bytes, within: float) -> None:
        self.probe.await_last(METER_STATUS, payload, within)
        self.probe.await_last(NODE_STATUS, payload, within)


def only_good(row: FaultRow) -> bool:
    """The inverter got nothing but good data."""
    return kinds(row.inverter_saw) == {"good"}


def told_once(lines: Lines, *phrases: str) -> None:
    """Each phrase stands in exactly one line, at the latest with the publisher's next look once its reason settled."""
    for phrase in phrases:
        deadline = time.monotonic() + 2
        while not (found := [line for line in lines if phrase in line]) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(found) == 1, f"{phrase!r} in {len(found)} lines:\n" + "\n".join(lines)
