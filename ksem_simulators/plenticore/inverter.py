"""Runs the inverter's loop [shell]: recognises the meter, polls in cycles, judges; scripted frames go between cycles.

The truth file shows it what the meter really measured.
"""

import json
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any, Final

from ksem_contract.blocks import MEASURING_INTERVAL
from ksem_contract.registers import RegisterRange
from ksem_simulators.line.direction import FRAME_GAP
from ksem_simulators.line.wire_log import WireLogReader
from ksem_simulators.plenticore.answer import GOOD, UNJUDGED, judge_outcome, read_answer
from ksem_simulators.plenticore.belief import Belief, BeliefPlan
from ksem_simulators.plenticore.exchange import LineClient, PortGone, RtuPort
from ksem_simulators.plenticore.plan import Plan
from ksem_simulators.plenticore.tally import Tally, Transaction
from ksem_simulators.truth import TruthReader, Verdict
from modbus_codec.crc import append_crc, has_valid_crc
from modbus_codec.pdu import FunctionCode, ReadRequest
from service_runtime.clock import boottime

_DETECT: Final = RegisterRange(MEASURING_INTERVAL, 1)
_REOPEN: Final = 0.1
_RECENT: Final = 4096

OpenPort = Callable[[], RtuPort]
"""PortGone where it is not there."""


class Inverter:
    """Runs in one thread; `changed` is notified after each transaction."""

    def __init__(
        self,
        plan: Plan,
        open_port: OpenPort,
        baudrate: int,
        truth: Path | None,
        wire_log: Path | None,
        log: IO[str] | None,
    ) -> None:
        self.plan = plan
        self.tally = Tally(FRAME_GAP)
        self.changed = threading.Condition()
        self.recent: deque[Transaction] = deque(maxlen=_RECENT)
        self.registers: dict[str, tuple[int, ...]] = {}
        self.belief = Belief(BeliefPlan())
        self.number = 0
        self.recognised = not plan.detect
        self.port_opened = 0
        self.port_lost = 0
        self.late_frames = 0
        self.noise_bytes = 0
        self.without_wire_times = 0
        self.first_good: float | None = None
        self.paused = False
        self._open_port = open_port
        self._baudrate = baudrate
        self._oracle = Oracle(truth)
        self._wire_log_path = wire_log
        self._log = log
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._work: deque[tuple[Callable[[LineClient], dict[str, Any]], Future[dict[str, Any]]]] = deque()

    def stop(self) -> None:
        """Ends the loop soon."""
        self._stop.set()
        self._wake.set()

    def between_requests(self, work: Callable[[LineClient], dict[str, Any]]) -> Future[dict[str, Any]]:
        """Runs `work` with the line to itself; from any other thread."""
        answer: Future[dict[str, Any]] = Future()
        self._work.append((work, answer))
        self._wake.set()
        return answer

    def begin(self, at: float) -> None:
        """A replay's time 0 is at `at`."""
        raise ValueError(f"begin at {at}: it was started without --replay")

    def reset(self) -> None:
        """Counts from zero."""
        self.tally = Tally(FRAME_GAP)
        self.late_frames = self.noise_bytes = self.port_lost = self.without_wire_times = 0

    def run(self) -> None:
        """Until stopped. A port that is away is opened as soon as it is there."""
        while not self._stop.is_set():
            try:
                port = self._open_port()
            except PortGone as error:
                self._give_up_work(error)
                self._rest(boottime() + _REOPEN)
                continue
            self.port_opened += 1
            try:
                self._talk(LineClient(port, self._baudrate, self._open_wire_log()))
            except PortGone:
                self.port_lost += 1
            finally:
                port.close()

    def _talk(self, client: LineClient) -> None:
        due = boottime()
        while not self._stop.is_set():
            self._do_work(client)
            if self.paused:
                self._rest(boottime() + 1.0)
                continue
            plan = self.plan
            if plan.detect and not self.recognised:
                self.recognised = self._request(client, _DETECT).outcome in {GOOD, UNJUDGED}
                self._rest(boottime() + (plan.gap if self.recognised else plan.detect_period))
                continue
            for span in plan.ranges:
                self._request(client, span)
                self._stop.wait(max(0.0, plan.gap - FRAME_GAP))
                if self._stop.is_set() or self._work or self.plan is not plan:
                    break
            due = max(due + plan.period, boottime())
            if plan.period:
                self._rest(due)

    def _rest(self, until: float) -> None:
        """Until then, or until there is something else to do."""
        if not self._work and (left := until - boottime()) > 0:
            self._wake.wait(left)
        if not self._stop.is_set():
            self._wake.clear()

    def _do_work(self, client: LineClient) -> None:
        while self._work:
            work, answer = self._work.popleft()
            try:
                answer.set_result(work(client))
            except Exception as error:
                answer.set_exception(error)
                if isinstance(error, PortGone):
                    raise

    def _give_up_work(self, error: PortGone) -> None:
        while self._work:
            self._work.popleft()[1].set_exception(error)

    def _request(self, client: LineClient, span: RegisterRange) -> Transaction:
        plan = self.plan
        request = ReadRequest(FunctionCode(plan.function), span.start, span.count)
        exchange = client.request(append_crc(bytes((plan.unit,)) + request.encode()), plan.timeout)
        self._note_unsolicited(exchange.unsolicited)
        answer = read_answer(plan.unit, request, exchange.received)
        verdict = None
        if answer.kind == "data":
            self.registers[str(span)] = answer.registers
            self.belief.read(span, answer.registers, boottime())
            start = exchange.times.answer_start
            verdict = self._oracle.judge(span, answer.registers, boottime() if start is None else start)
        turnaround = exchange.times.turnaround
        outcome = judge_outcome(answer, turnaround, plan.timeout, verdict, plan.limit(span))
        self.without_wire_times += not exchange.from_log
        self.number += 1
        transaction = Transaction(
            number=self.number,
            at=boottime(),
            range=str(span),
            outcome=outcome.name,
            why=outcome.why,
            turnaround=turnaround,
            age=verdict.age if verdict else None,
            measured_age=verdict.measured_age if verdict else None,
            cycle=verdict.cycle if verdict else None,
            disturbed=exchange.times.disturbed,
            received=exchange.received,
            answered_at=exchange.times.answer_start,
        )
        self._record(transaction)
        return transaction

    def _record(self, transaction: Transaction) -> None:
        if transaction.outcome == GOOD and self.first_good is None:
            self.first_good = transaction.at
        with self.changed:
            self.tally.add(transaction)
            self.recent.append(transaction)
            self.changed.notify_all()
        if self._log:
            self._log.write(json.dumps(self._as_logged(transaction)) + "\n")

    def _as_logged(self, transaction: Transaction) -> dict[str, Any]:
        return transaction.as_dict()

    def _note_unsolicited(self, data: bytes) -> None:
        if data and data[0] == self.plan.unit and has_valid_crc(data):
            self.late_frames += 1
        else:
            self.noise_bytes += len(data)

    def _open_wire_log(self) -> WireLogReader | None:
        return WireLogReader(self._wire_log_path) if self._wire_log_path else None


class Oracle:
    """The truth file of a simulated meter, which may start later than the inverter; None: a real meter, without one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._truth: TruthReader | None = None

    def judge(self, span: RegisterRange, registers: tuple[int, ...], at: float) -> Verdict | None:
        """The verdict over an answer that began at `at` (CLOCK_BOOTTIME); None without a truth file."""
        if self._path is None:
            return None
        if self._truth is None:
            try:
                self._truth = TruthReader(self._path)
            except FileNotFoundError:
                return Verdict("wrong", "there was no meter yet that could have sent this")
        return self._truth.judge(span.start, registers, at)
