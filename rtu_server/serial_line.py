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
from service_runtime.recorder.wire_events import FORGET, IN, OFF, OUT, EventQueue
from service_runtime.threads import WatchedThread

REOPEN: Final = 0.4
"""Seconds between attempts to open a missing port: data flows again within a second of its return."""
COMPARE: Final = 2.0
"""Seconds between checks of the port's settings: another program (`stty`) may change them while we hold the port."""
SETTLE: Final = 0.2
"""Seconds to wait for the first silence on a port before it counts as open."""
MAX_NAMED: Final = 16
"""First requests that the log names; a client that scans all addresses gets no line for each."""
WARM_UP: Final = 0.0001
"""Seconds before an answer is due at which the thread wakes, with the answer prepared, until it knows better: a
sleep overshoots (by 50 to 80 us where this was measured), which thereby lies before the moment that counts."""
MAX_WARM_UP: Final = 0.0003
LATER, EARLIER = 0.000001, 0.000009
"""Seconds by which it wakes later after it woke in time, and earlier after it woke too late: so it is too late one time
in ten, by little, and spins no longer than this host's sleep requires."""
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
    """Answers on one port, reopens it whenever it fails, and never answers late.

    Its thread writes no log, since a log may block: the main thread does so in `count_answers`.
    """

    def __init__(
        self,
        settings: LineSettings,
        responder: Responder,
        on_port: Callable[[bool, tuple[Reason, ...]], None],
        event_queue: EventQueue = OFF,
        limit_of: Callable[[BlockMessage], float] | None = None,
    ) -> None:
        """`limit_of`: how old a block may be, in seconds, for the check of sent answers."""
        self.settings = settings
        self._watch = AnswerWatch(f"line {settings.name}", responder, limit_of)
        self._event_queue = event_queue
        self.counters = LineCounters({unit.id: UnitCounters() for unit in settings.unit})
        self._on_port = on_port
        self._core = LineCore(timing_of(settings), responder, self.counters)
        self._named: set[bytes] = set()
        """Requests that the log has named."""
        self._events: deque[tuple[int, str, str]] = deque(maxlen=MAX_EVENTS)
        """Level, kind and text of log lines that wait for the main thread."""
        self._quiet = QuietLog()
        self._warm_up = WARM_UP
        self._compared = 0.0
        """When the port's settings were last checked."""
        self._stopping = threading.Event()
        self._wake, self._waker = os.pipe()
        self.thread = WatchedThread(f"line {settings.name}", self._run)

    def start(self) -> None:
        """Begin to answer as soon as the port is there."""
        self.thread.start()

    def begin_stop(self) -> None:
        """Let the thread end and close the port."""
        self._stopping.set()
        os.write(self._waker, WAKE)

    def stop(self) -> None:
        """End the thread and close the port."""
        self.begin_stop()
        self.thread.join(1.0)

    def count_answers(self) -> None:
        """Count the answers since the last call, and log what happened.

        Runs in another thread than the line's: code that runs once per request runs cold there, at ten times the cost.
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
            line = self._quiet.line(kind, text, now)
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
                self._step(port)
        finally:
            self._core.failed()
            # Closing waits for unsent bytes, up to 30 s.
            with contextlib.suppress(PortGone):
                port.drop_output()
            port.close()

    def _await_silence(self, port: SerialPort) -> None:
        """Work until the begin of a frame is known, for `SETTLE` at most: a port in use is open, too."""
        until = boottime() + SETTLE
        while not self._core.is_at_rest and boottime() < until:
            self._step(port)

    def _step(self, port: SerialPort) -> None:
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
        """Return whether bytes are known to be on the port."""
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
        more = " (further ones: see the topic requests)" if len(self._named) == MAX_NAMED else ""
        log.info("line %s: first request %s: %s%s", self.settings.name, frame.hex(" "), answer.outcome, more)

    def _forget(self, port: SerialPort, now: float) -> None:
        """Drop the bytes on the port: the process stalled since they arrived, so they can't be dated."""
        port.drop_input()
        if self._event_queue.on:
            self._event_queue.add(now, FORGET, self.settings.name, b"the process stood still")


def timing_of(settings: LineSettings) -> Timing:
    """Return the times that the line's settings require."""
    gap = frame_gap(settings.baudrate, settings.stopbits, settings.parity)
    character = character_time(settings.baudrate, settings.stopbits, settings.parity)
    return Timing(gap, max(settings.idle_gap, gap), character)


def _where(error: Exception) -> str:
    """File and line of the innermost call: what a traceback ends with."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "nowhere"
