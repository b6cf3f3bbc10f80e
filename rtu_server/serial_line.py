"""One RS485 line: a thread that reads the port, sleeps until the next event, writes what `LineCore` decides [shell]."""

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ksem_contract.block_message import BlockMessage
from ksem_contract.reasons import Reason
from rtu_server.answer_watch import AnswerWatch
from rtu_server.counters import LineCounters, UnitCounters, is_live
from rtu_server.line import LineCore, Timing
from rtu_server.reply_cache import DATA, Answer
from rtu_server.responder import Responder
from rtu_server.serial_port import PortGone, SerialPort, be_real_time, in_force, sharpen_timers
from rtu_server.settings import LineSettings
from service_runtime.clock import boottime
from service_runtime.news import QuietLog
from service_runtime.recorder.tape import FORGET, IN, OFF, OUT, EventQueue
from service_runtime.threads import WatchedThread

REOPEN: Final = 0.4
"""Seconds between attempts to open a port that is gone: data flows again within a second of its return."""
COMPARE: Final = 2.0
"""Seconds between looks at the port's settings: another program (`stty`) may change them while we hold the port."""
SETTLE: Final = 0.2
"""Seconds to wait for the first silence on a port before it counts as open."""
MAX_NAMED: Final = 16
"""First requests that are worth a line in the log; who asks through all addresses gets no line for each."""
WARM_UP: Final = 0.0001
"""Seconds before an answer is due at which the thread wakes, with the answer in its hand, until it knows better: a
sleep overshoots (by 50 to 80 us where this was measured), which thereby lies before the moment that counts."""
MAX_WARM_UP: Final = 0.0003
LATER, EARLIER = 0.000001, 0.000009
"""Seconds by which it wakes later after it woke in time, and earlier after it woke too late: so it is too late one time
in ten, by little, and what is left to spin is no more than this host's sleep asks for."""
MAX_EVENTS: Final = 64
"""Log lines that wait for the main thread, at most."""
WAKE: Final = b"!"

log = logging.getLogger(__name__)


def frame_gap(baudrate: int, stopbits: int, parity: str) -> float:
    """Return the silence in seconds that must follow a frame: 3.5 characters, 1.75 ms above 19200 baud.

    Modbus over serial line specification 1.02, section 2.5.1.1.
    """
    if baudrate > 19200:
        return 0.00175
    return 3.5 * character_time(baudrate, stopbits, parity)


def character_time(baudrate: int, stopbits: int, parity: str) -> float:
    """Return the seconds that a character takes on the line."""
    return (1 + 8 + (parity != "N") + stopbits) / baudrate


class SerialLine:
    """Answers on one port, opens it again for ever, and never answers late.

    Its thread writes no log, for a log may block: the main thread does, in `count_answers`.
    """

    def __init__(
        self,
        settings: LineSettings,
        responder: Responder,
        on_port: Callable[[bool, tuple[Reason, ...]], None],
        event_queue: EventQueue = OFF,
        limit_of: Callable[[BlockMessage], float] | None = None,
    ) -> None:
        """`limit_of`: seconds that a block may be old, for the check of what was sent."""
        self.settings = settings
        self._watch = AnswerWatch(f"line {settings.name}", responder, limit_of)
        self._event_queue = event_queue
        self.counters = LineCounters({unit.id: UnitCounters() for unit in settings.unit})
        self._on_port = on_port
        self._core = LineCore(timing_of(settings), responder, self.counters)
        self._named: set[bytes] = set()
        """Requests that the log names."""
        self._events: deque[tuple[int, str, str]] = deque(maxlen=MAX_EVENTS)
        """Level, kind and text of log lines that wait for the main thread."""
        self._quiet = QuietLog()
        self._warm_up = WARM_UP
        self._compared = 0.0
        """When the port's settings were last looked at."""
        self._stopping = threading.Event()
        self._wake, self._waker = os.pipe()
        self.thread = WatchedThread(f"line {settings.name}", self._run)

    def start(self) -> None:
        """Begin to answer as soon as the port is there."""
        self.thread.start()

    def begin_stop(self) -> None:
        """Let the thread end and give the port back."""
        self._stopping.set()
        os.write(self._waker, WAKE)

    def stop(self) -> None:
        """End the thread and give the port back."""
        self.begin_stop()
        self.thread.join(1.0)

    def count_answers(self) -> None:
        """Count what was answered since the last call, and log what happened.

        For another thread than the line's: what runs once a request runs cold there, at ten times the cost.
        """
        while self._core.given:
            frame, received_at, answer, now = self._core.given.popleft()
            counters = self.counters.units[frame[0]]
            counters.note(frame, answer.outcome, now)
            self._watch.look(frame, answer, now)
            if answer.frame:
                age = now - answer.measured if answer.outcome == DATA and is_live(frame) else None
                counters.note_times(now - received_at, age)
            if frame not in self._named and len(self._named) < MAX_NAMED:
                self._log_first(frame, answer)
        now = boottime()
        while self._events:
            level, kind, text = self._events.popleft()
            line = self._quiet.to_log(kind, text, now)
            if line is not None:
                log.log(level, "line %s: %s", self.settings.name, line)
        for line in self._quiet.due(now):
            log.warning("line %s: %s", self.settings.name, line)

    def _run(self) -> None:
        sharpen_timers()
        for refused in be_real_time(self.settings.realtime):
            self._events.append((logging.WARNING, refused, refused))
        if self.settings.realtime:
            self._events.append((logging.INFO, "in force", f"in force: {in_force()}"))
        while self._goes_on():
            try:
                self._answer_until_gone()
            except PortGone as gone:
                self._on_port(False, (gone.reason,))
            except Exception as error:  # noqa: BLE001  # logged by the main thread
                self._on_error(error)
            self._stopping.wait(REOPEN)

    def _goes_on(self) -> bool:
        return self.thread.turned() and not self._stopping.is_set()

    def _on_error(self, error: Exception) -> None:
        reason = Reason.of("own-error", error=f"{error!r} ({_where(error)})")
        self._events.append((logging.ERROR, "error", reason.text))
        self._on_port(False, (reason,))

    def _open(self) -> SerialPort:
        wanted = self.settings
        return SerialPort(
            wanted.port,
            baudrate=wanted.baudrate,
            parity=wanted.parity,
            stopbits=wanted.stopbits,
            wake=self._wake,
            rs485=wanted.rs485,
            low_latency=wanted.low_latency,
        )

    def _answer_until_gone(self) -> None:
        port = self._open()
        try:
            self._core.opened(boottime())
            self._await_silence(port)
            self._on_port(True, (Reason.of("port-open", port=self.settings.port), *port.refused))
            while self._goes_on():
                self._turn(port)
        finally:
            self._core.failed()
            # Closing waits for what the port has not sent, up to 30 s.
            with contextlib.suppress(PortGone):
                port.drop_output()
            port.close()

    def _await_silence(self, port: SerialPort) -> None:
        """Work until it is known where a frame begins, and no longer than `SETTLE`: a port in use is open, too."""
        until = boottime() + SETTLE
        while not self._core.is_at_rest and boottime() < until:
            self._turn(port)

    def _turn(self, port: SerialPort) -> None:
        """Sleep until the next event, read, write what is due."""
        core = self._core
        ready = self._sleep(port)
        before = boottime()
        if before - self._compared > COMPARE:
            self._compared = before
            self._restore(port, before)
        data = port.read() if ready or port.unread() else b""
        now = boottime()
        if data and self._event_queue.on:
            self._event_queue.add(before, IN, self.settings.name, data)
        if not core.receive(data, before, now):
            self._forget(port, now)
        if core.unconfirmed and not core.sent(core.unconfirmed - port.unsent(), now):
            port.drop_output()
        frame = core.due(now)
        if frame:
            if self._event_queue.on:
                self._event_queue.add(now, OUT, self.settings.name, frame)
            if not port.write(frame):
                core.failed()

    def _restore(self, port: SerialPort, now: float) -> None:
        if port.restore():
            port.drop_input()
            self._core.opened(now)
            text = "another program had changed the port's settings; they are set anew"
            self._events.append((logging.WARNING, "settings", text))

    def _sleep(self, port: SerialPort) -> bool:
        """Return whether bytes are known to be there."""
        core = self._core
        due, now = core.due_at, boottime()
        if due is not None:
            return self._sleep_until(port, due, now)
        left = core.next_event_at() - now
        if core.is_at_rest:
            return port.wait(max(0.0, left))
        if left > 0:
            time.sleep(left)
        return False

    def _sleep_until(self, port: SerialPort, due: float, now: float) -> bool:
        """Sleep until an answer is due, to the microsecond, or bytes come in during the last moments before."""
        ahead = due - self._warm_up - now
        if ahead > 0:
            time.sleep(ahead)
            now = boottime()
            if now < due:
                self._warm_up = max(0.0, self._warm_up - LATER)
            else:
                self._warm_up = min(self._warm_up + EARLIER, MAX_WARM_UP)
        while now < due:
            if port.unread():
                return True
            now = boottime()
        return False

    def _log_first(self, frame: bytes, answer: Answer) -> None:
        self._named.add(frame)
        more = " (what else is asked stands in the topic requests)" if len(self._named) == MAX_NAMED else ""
        log.info("line %s: first request %s: %s%s", self.settings.name, frame.hex(" "), answer.outcome, more)

    def _forget(self, port: SerialPort, now: float) -> None:
        """Nothing that lies here can be dated: the process stood still since it came."""
        port.drop_input()
        if self._event_queue.on:
            self._event_queue.add(now, FORGET, self.settings.name, b"the process stood still")


def timing_of(settings: LineSettings) -> Timing:
    """Return the times that the line's settings ask for."""
    gap = frame_gap(settings.baudrate, settings.stopbits, settings.parity)
    character = character_time(settings.baudrate, settings.stopbits, settings.parity)
    return Timing(gap, max(settings.idle_gap, gap), character)


def _where(error: Exception) -> str:
    """File and line of the innermost call: what a traceback ends with."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "nowhere"
