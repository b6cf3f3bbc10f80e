"""One RS485 line: a thread that blocks on the port and answers each request once the line has been silent for t3.5."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from modbus_codec.crc import has_valid_crc
from modbus_codec.rtu_reader import Heard, Noise, Request, RtuFrameReader
from service_runtime.clock import boottime
from service_runtime.recorder.tape import FORGET, IN, OFF, OUT, Tape

from .line_counters import LineCounters, UnitCounters, is_live
from .real_time import be_real_time, in_force, sharpen_timers
from .reply_book import DATA, Answer
from .responder import SAY_NOTHING, Responder
from .serial_port import WAKE_AT, PortGone, SerialPort
from .settings import LineSettings

REOPEN: Final = 0.4
"""Seconds between attempts to open a port that is gone: data flows again within a second of its return."""
STALL: Final = 0.1
"""Seconds without a look at the clock that count as standing still: bytes found after that may be of any age, and an
answer later than this would be taken for the next one's."""
LOOK: Final = 0.065
"""Seconds that the thread sleeps at most. The rest to `STALL` is what a busy host may be late by without being taken to
have stood still: on a core with four others at work a thread waits up to 24 ms (the scheduler's latency target)."""
LOOK_AGAIN: Final = 0.005
"""Seconds to the next look where less than a request lies: what has not grown by then is none that comes in."""
GLANCE: Final = 0.001
"""Seconds between looks at a port that delivered less than a whole request; at rest the thread sleeps."""
MAX_NAMED: Final = 16
"""First requests that are worth a line in the log; who asks through all addresses gets no line for each."""
WARM_UP: Final = 0.0001
"""Seconds before an answer is due at which the thread wakes, with the answer in its hand, until it knows better: a
sleep overshoots (by 50 to 80 us where this was measured), which thereby lies before the moment that counts."""
MAX_WARM_UP: Final = 0.0003
LATER, EARLIER = 0.000001, 0.000009
"""Seconds by which it wakes later after it woke in time, and earlier after it woke too late: so it is too late one time
in ten, by little, and what is left to spin is no more than this host's sleep asks for."""
LATE: Final = 0.0005
"""Seconds after which an answer that was prepared ahead is judged again."""
MAX_KNOWN: Final = 64
"""Requests that are known at a glance; a Plenticore has two, and ever new ones shall not fill the memory."""
MAX_GIVEN: Final = 1024
"""Answers that are not counted yet, at most: more than a line can give within a second."""
NUDGE: Final = b"!"

log = logging.getLogger(__name__)


class _StoodStill(Exception):
    """The process did nothing for longer than `STALL`: what lies on the port can't be dated."""


class _Pending(NamedTuple):
    """A whole request for us after which nothing came yet."""

    frame: bytes
    heard: float
    """When its last byte was read."""
    stray: int = 0
    """So many bytes that follow are a glitch and no newer request, if the line is silent behind them."""
    dug_out: bool = False
    """It may be a part of something longer: an idle gap must follow it."""


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
    """Answers on one port, opens it again for ever, and never answers late."""

    def __init__(
        self,
        settings: LineSettings,
        responder: Responder,
        on_port: Callable[[bool, str], None],
        tape: Tape = OFF,
    ) -> None:
        self.settings = settings
        self._tape = tape
        self.counters = LineCounters({unit.id: UnitCounters() for unit in settings.unit})
        self._responder = responder
        self._on_port = on_port
        self._gap = frame_gap(settings.baudrate, settings.stopbits, settings.parity)
        self._reader = RtuFrameReader(settings.idle_gap)
        self._looked = 0.0
        """When the thread last looked at the clock: each look tells whether it stood still since the one before."""
        self._lying = 0
        """So many bytes, less than a request, lay on the port when `wait` last ended without one."""
        self._known: set[bytes] = set()
        """Requests that proved to be ours, CRC and all: looked up, not proved again."""
        self._told: set[bytes] = set()
        """Requests that the log names."""
        self._given: deque[tuple[bytes, float, Answer, float]] = deque(maxlen=MAX_GIVEN)
        """Request, when it was heard, answer, when that was given: not counted yet."""
        self._warm_up = WARM_UP
        self._stopping = threading.Event()
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._run, name=f"line {settings.name}", daemon=True)

    def start(self) -> None:
        """Begin to answer as soon as the port is there."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and give the port back."""
        self._stopping.set()
        os.write(self._waker, NUDGE)
        self._thread.join(1.0)

    def settle(self) -> None:
        """Count what was answered since the last call.

        For another thread than the line's: what runs once a request runs cold there, at ten times the cost.
        """
        while self._given:
            frame, heard, answer, now = self._given.popleft()
            counters = self.counters.units[frame[0]]
            counters.note(frame, answer.outcome, now)
            if answer.frame:
                age = now - answer.measured if answer.outcome == DATA and is_live(frame) else None
                counters.note_times(now - heard, age)

    def _run(self) -> None:
        sharpen_timers()
        for refused in be_real_time(self.settings.realtime):
            log.warning("line %s: %s", self.settings.name, refused)
        if self.settings.realtime:
            log.info("line %s: in force: %s", self.settings.name, in_force())
        while not self._stopping.is_set():
            try:
                port = self._open()
            except PortGone as gone:
                self._on_port(False, str(gone))
            else:
                self._answer_until_gone(port)
            self._stopping.wait(REOPEN)

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

    def _answer_until_gone(self, port: SerialPort) -> None:
        self._reader.reset()
        self._looked = self.counters.listening_since = boottime()
        self._on_port(True, "; ".join(port.refused))
        try:
            while not self._stopping.is_set():
                self._answer_next(port)
        except PortGone as gone:
            self._on_port(False, str(gone))
        except Exception:
            log.exception("line %s: opening the port anew after an error of ours", self.settings.name)
        finally:
            port.close()

    def _answer_next(self, port: SerialPort) -> None:
        whole = port.wait(LOOK_AGAIN if self._lying else LOOK)
        try:
            heard = self._look()
            if not whole:
                # Less than a request, which `wait` sleeps through, is taken once it grows no more.
                before, self._lying = self._lying, port.unread()
                if not self._lying or self._lying != before:
                    return
            self._lying = 0
            data = port.read()
            if self._tape.on:
                self._tape.add(heard, IN, self.settings.name, data)
            if self._is_ours(data) and not self._reader.pending:
                self._answer_on_time(port, data, heard)
            else:
                self._answer(port, self._sift(port, data, heard))
        except _StoodStill:
            self._forget(port)

    def _look(self) -> float:
        """Return the time. Every moment of this thread is taken here: no bytes are older than the look before."""
        before, self._looked = self._looked, boottime()
        if self._looked - before > STALL:
            raise _StoodStill
        return self._looked

    def _is_ours(self, data: bytes) -> bool:
        """Tell whether this is a whole request for us: a read or a single write, with its CRC."""
        if data in self._known:
            return True
        # Longer frames that begin like this are still coming in.
        if len(data) != WAKE_AT or data[1] > 6 or not self._responder.serves(data[0]) or not has_valid_crc(data):
            return False
        if len(self._known) < MAX_KNOWN:
            self._known.add(data)
        return True

    def _answer_on_time(self, port: SerialPort, frame: bytes, heard: float) -> None:
        """Answer what is a request for us already, if nothing follows it for t3.5. All but the writing lies before."""
        due = heard + self._gap
        answer = self._judge(port, frame, heard, due)
        if answer is None:
            return
        ahead = due - self._warm_up - self._look()
        if ahead > 0:
            time.sleep(ahead)
        overtaken, now = port.unread(), self._look()
        if now < due:
            self._warm_up = max(0.0, self._warm_up - LATER)
        else:
            self._warm_up = min(self._warm_up + EARLIER, MAX_WARM_UP)
        while now < due:
            overtaken, now = port.unread(), self._look()
        if overtaken:
            self._answer(port, self._sift(port, frame, heard))
        elif now - due > LATE:
            self._answer(port, _Pending(frame, heard))
        else:
            self._send(port, frame, heard, answer, now)

    def _sift(self, port: SerialPort, data: bytes, heard: float) -> _Pending | None:
        """Find frames in what comes in until the line is silent; return the request for us that came last, if any."""
        pending: _Pending | None = None
        while True:
            events = self._reader.feed(data, heard)
            if events or pending is None or self._reader.pending > pending.stray:
                pending = self._newest(events, heard)
            unsure = self._reader.pending or (pending is not None and pending.dug_out)
            quiet = self.settings.idle_gap if unsure else self._gap
            # From now, not from `heard`: bytes may have come in between the look at the clock and the read.
            if not self._more(port, self._look() + quiet):
                break
            if pending is not None:
                self._reader.crowd()
            heard, data = self._look(), port.read()
            if self._tape.on:
                self._tape.add(heard, IN, self.settings.name, data)
        if self._reader.pending:
            rest = self._newest(self._reader.flush(self._look()), heard)
            pending = rest or pending
        return pending

    def _newest(self, events: list[Heard], heard: float) -> _Pending | None:
        pending: _Pending | None = None
        for event in events:
            if isinstance(event, Noise):
                self.counters.noise += len(event.data)
            elif isinstance(event, Request) and self._responder.serves(event.unit):
                pending = None if event.overtaken else _Pending(event.frame, heard, event.stray, event.dug_out)
            else:
                pending = None
                self.counters.foreign += 1
        return pending

    def _more(self, port: SerialPort, until: float) -> bool:
        """Tell whether bytes come in before `until`. Fewer than a request's worth don't wake `wait`, so look."""
        while (left := until - self._look()) > 0:
            time.sleep(min(GLANCE, left))
            if port.unread():
                return True
        return port.unread() > 0

    def _answer(self, port: SerialPort, request: _Pending | None) -> None:
        if request is not None:
            now = self._look()
            answer = self._judge(port, request.frame, request.heard, now)
            if answer is not None:
                self._send(port, request.frame, request.heard, answer, now)

    def _judge(self, port: SerialPort, frame: bytes, heard: float, at: float) -> Answer | None:
        """Return what is true at `at`, the moment of writing; None where it is too late to say anything."""
        if at - heard > STALL:
            raise _StoodStill
        if port.unsent():
            # Our last answer never left: this one would follow it at a time when nobody waits for it.
            port.drop_output()
            self.counters.unsent += 1
            return None
        return self._responder.answer(frame, at)

    def _send(self, port: SerialPort, frame: bytes, heard: float, answer: Answer, now: float) -> None:
        if answer.frame and not port.write(answer.frame):
            self.counters.unsent += 1
            answer = SAY_NOTHING
        if self._tape.on:
            self._tape.add(now, OUT, self.settings.name, answer.frame)
        self._given.append((frame, heard, answer, now))
        if frame not in self._told and len(self._told) < MAX_NAMED:
            self._tell_first(frame, answer)

    def _tell_first(self, frame: bytes, answer: Answer) -> None:
        self._told.add(frame)
        more = " (what else is asked stands in the topic requests)" if len(self._told) == MAX_NAMED else ""
        log.info("line %s: first request %s: %s%s", self.settings.name, frame.hex(" "), answer.outcome, more)

    def _forget(self, port: SerialPort) -> None:
        """Nothing that lies here can be dated: the process stood still since it came."""
        self._looked = self.counters.listening_since = boottime()
        self._lying = 0
        port.drop_input()
        self._reader.reset()
        self.counters.stalls += 1
        if self._tape.on:
            self._tape.add(self._looked, FORGET, self.settings.name, b"the process stood still")
