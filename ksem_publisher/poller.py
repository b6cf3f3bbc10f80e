"""Polls one meter [shell]: sends the reads that `poll_plan` returns, one at a time."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from ksem_contract.blocks import parse_block_name
from ksem_contract.health import LinkCondition
from ksem_contract.reasons import Reason
from ksem_contract.registers import RegisterRange
from ksem_publisher.blocks import BlockData
from ksem_publisher.live import LiveData
from ksem_publisher.poll_client import PollError, RefusedError
from ksem_publisher.poll_plan import PollPlan, Rejection
from ksem_publisher.recording import note_answer, note_failure, note_poll, note_rejection
from ksem_publisher.snapshot import BlockRead, Snapshot
from service_runtime.clock import boottime
from service_runtime.news import QuietLog
from service_runtime.recorder.wire_events import OFF, EventQueue

RETRY = 0.25
"""Seconds between two attempts to reach a meter whose live data is needed."""
RETRY_SLOW = 1.0
"""The same while its push carries it."""
DEMAND_LINES = 3
"""Log lines a minute about refused ranges on demand; the others are counted in one line."""


class Client(Protocol):
    """`PollClient`, or a stand-in."""

    @property
    def connected(self) -> bool: ...

    @property
    def where(self) -> str: ...

    async def connect(self) -> None: ...

    async def read(self, wanted: RegisterRange, patience: float | None = None) -> tuple[int, ...]: ...

    def close(self) -> None: ...


class MeterPoll:
    """Runs the plan against the meter. `lock` is held while results are passed on: the push has a thread of its own."""

    def __init__(
        self,
        client: Client,
        plan: PollPlan,
        live_data: LiveData,
        others: BlockData,
        lock: threading.Lock,
        log: logging.Logger,
        clock: Callable[[], float] = boottime,
        event_queue: EventQueue = OFF,
        on_answer: Callable[[int, Sequence[int], float, float], None] = lambda *_: None,
    ) -> None:
        """`on_answer` is called with each answer, `lock` held: first register, registers, when sent, when received."""
        self._on_answer = on_answer
        self._event_queue = event_queue
        self._client = client
        self._plan = plan
        self._live_data = live_data
        self._others = others
        self._lock = lock
        self._log = log
        self._clock = clock
        self._wake = asyncio.Event()
        self._moved = False
        self._quiet = QuietLog()
        self._no_link: Reason | None = None
        """Why there is no answer; None once there was one."""
        self._refused_by = ""
        """The exception to a read of live data or of the device block; empty once that was read."""
        self._reached = False
        self.requests = 0
        self.errors = 0

    @property
    def condition(self) -> tuple[LinkCondition, Reason]:
        """The state of polling, and its reason."""
        if self._no_link:
            return "down", self._no_link
        if self._plan.foreign:
            code = "another-meter" if self._plan.is_unconfirmed else "not-a-ksem"
            return "down", Reason.of(code, where=self._client.where, error=self._plan.foreign)
        if self._plan.nameless:
            return "down", Reason.of("identity-refused", error=self._refused_by)
        if self._refused_by and self._plan.live.wanted:
            return "down", Reason.of("live-refused", error=self._refused_by)
        if self._reached:
            return "up", Reason.of("poll-answers")
        return "waiting", Reason.of("poll-not-begun", where=self._client.where)

    def want_live(self, wanted: bool) -> None:
        """Poll `live` too, from now on."""
        if wanted and not self._plan.live.wanted:
            self._wake.set()
        self._plan.live.wanted = wanted

    def look_again(self) -> None:
        """Check the plan again: there may be a new range to read."""
        self._wake.set()

    def reconnect(self) -> None:
        """Connect again: the meter's name has another address now, which may be another meter's."""
        self._moved = True
        self._wake.set()

    async def run(self) -> None:
        """Poll until cancelled."""
        try:
            while True:
                await self._step()
        finally:
            self._client.close()

    async def _step(self) -> None:
        now = self._clock()
        if self._moved:
            self._moved = False
            self._client.close()
        if self._plan.wait(now) > 0:
            await self._rest(self._plan.wait(now))
            return
        if not self._client.connected:
            try:
                await self._client.connect()
            except PollError as error:
                await self._failed(error)
                return
            self._plan.connected()
        wanted = self._plan.next(self._clock())
        if wanted is None:
            await self._rest(0.01)
            return
        await self._read(wanted)

    async def _read(self, wanted: RegisterRange) -> None:
        sent = self._clock()
        self.requests += 1
        if self._event_queue.on:
            note_poll(self._event_queue, sent, wanted)
        try:
            registers = await self._client.read(wanted, self._plan.patience)
        except RefusedError as error:
            self.errors += 1
            if self._event_queue.on:
                note_rejection(self._event_queue, self._clock(), error)
            self._refused(error, self._plan.refuse(error.code, self._clock()))
        except PollError as error:
            self.errors += 1
            await self._failed(error)
        else:
            if self._event_queue.on:
                note_answer(self._event_queue, self._clock(), registers)
            if self._moved:  # the answer is that of the old address
                self._plan.fail(self._clock())
                return
            self._no_link, self._reached = None, True
            with self._lock:
                self._on_answer(wanted.start, registers, sent, self._clock())
            results = self._plan.answer(registers, sent, self._clock())
            if any(isinstance(one, Snapshot) or one.name == "device" for one in results):
                self._refused_by = ""
            self._take(results)
        for line in self._quiet.due(self._clock()):
            self._log.warning("%s", line)

    def _refused(self, error: RefusedError, what: Rejection) -> None:
        self._no_link, self._reached = None, True
        if not what.given_up:
            return
        if what.block == "live" or self._plan.nameless:
            self._refused_by = str(error)
        elif what.block not in {"device", "energy"}:  # health holds these, and logs them
            text = f"the meter refuses the block {what.block}: {error}"
            # Whoever may write requests can request any number of ranges: they share their lines.
            kind, most = ("a range on demand", DEMAND_LINES) if parse_block_name(what.block) else (what.block, 1)
            line = self._quiet.line(kind, text, self._clock(), at_once=most)
            if line is not None:
                self._log.warning("%s", line)

    async def _failed(self, error: PollError) -> None:
        if self._event_queue.on:
            note_failure(self._event_queue, self._clock(), error)
        self._plan.fail(self._clock())
        self._no_link = error.reason
        await self._rest(RETRY if self._plan.live.wanted else RETRY_SLOW)

    async def _rest(self, seconds: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _take(self, results: tuple[Snapshot | BlockRead, ...]) -> None:
        if not results:
            return
        with self._lock:
            for result in results:
                if isinstance(result, Snapshot):
                    self._live_data.polled(result, self._others.interval_ms)
                elif result.name == "gaps":
                    self._live_data.registers.note(result.start, result.registers)
                else:
                    self._others.take(result, "poll")
