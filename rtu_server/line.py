"""Every decision about one RS485 line: which request is answered and when, and what is thrown away [core].

Bytes have two times: the clock's time before the read that found them, and the one after it. No byte is older than
the first or newer than the second. So a request is as old as the first allows, and a silence as short as both allow.
"""

from collections import deque
from math import inf
from typing import Final, NamedTuple

from modbus_codec.crc import has_valid_crc
from modbus_codec.rtu import FrameEvent, Noise, Request, RtuFrameReader
from rtu_server.counters import UNSENT, LineCounters
from rtu_server.reply_cache import Answer
from rtu_server.responder import Responder

STALL: Final = 0.1
"""Seconds after which a request is too old: its answer would be taken for the next one's. After as long without a poll
of the port the process has stalled: the age of what an adapter held meanwhile is unknown."""
MAX_SLEEP: Final = 0.05
"""Seconds between polls of a port at rest, at most. The rest to `STALL` is what a busy host may be late by, twice: on a
core with four others at work a thread waits up to 24 ms (the scheduler's latency target)."""
POLL_STEP: Final = 0.001
"""Seconds between polls while it is open where a frame ends."""
LATE: Final = 0.0005
"""Seconds after which a prepared answer is judged again, or a poll is too old to answer."""
SENDING: Final = 0.05
"""Seconds that the last byte of an answer may take beyond the time that the line's speed requires."""
WATCH: Final = 0.005
"""Seconds between checks of how much of an answer has left."""
STARTING: Final = 0.01
"""The same for the first byte of an answer on a port that reports an answer's bytes only once all have left (a UART fed
by DMA does). On any other port the first byte must have left within `STALL` of its request, or none of them may."""
LATE_REPORTS: Final = 2
"""Answers in a row that left without a report in between, and took long enough for some, before a port is one that
reports late."""
HELD: Final = 0.05
"""Seconds' worth of characters that an adapter and its driver may hold and deliver late, beside those of the time
between two polls: a latency timer of 16 ms, and a busy USB bus."""
FIFO: Final = 16
"""Characters that a UART may hold in addition, however long they take (a 16550 holds so many): 0.15 s at 1200 baud."""
REQUEST: Final = 8
"""Bytes of a request to read."""
IN_A_ROW: Final = 3
"""So many requests to us without a byte between them come from a client that waited after each, not out of a reply."""
MAX_GIVEN: Final = 1024
"""Answers that are not counted yet, at most: more than a line can give within a second."""


class Timing(NamedTuple):
    """A line's times in seconds."""

    gap: float
    """The silence that ends a frame (t3.5)."""
    quiet: float
    """The silence that ends everything held before it: never shorter than `gap`."""
    character: float


class Given(NamedTuple):
    """A request for us and its outcome."""

    request: bytes
    received_at: float
    answer: Answer
    at: float


class LineCore:
    """Takes one port's bytes and the time, returns the answers to write. It never waits and reads no clock."""

    def __init__(self, timing: Timing, responder: Responder, counters: LineCounters) -> None:
        self._timing = timing
        self._responder = responder
        self._counters = counters
        self._reader = RtuFrameReader(timing.quiet)
        self._looked = -inf
        """The time before the last read: no byte that comes next is older."""
        self._last = -inf
        """No byte came after this moment."""
        self._deaf = False
        """The process stalled, and no silence was seen since: nothing can be dated."""
        self._request: Request | None = None
        self._silence = timing.gap
        """Seconds without a byte that must lie between the request at hand and its answer."""
        self._received_at = 0.0
        self._prepared: Answer | None = None
        self._prepared_for = 0.0
        self._sending: Given | None = None
        self._sending_since = 0.0
        """No byte of the request that is being answered came before this moment."""
        self._watched = 0
        """Checks that found nothing of the current answer as sent."""
        self._late_reports = 0
        """Answers in a row of which the port reported no part before the whole. -1: it has reported a part of one."""
        self.given: deque[Given] = deque(maxlen=MAX_GIVEN)
        """Requests for us whose outcome is not counted yet."""

    def opened(self, now: float) -> None:
        """Begin with a port in an unknown state: the line may be in the middle of a frame."""
        self._sending = self._counters.unsent_since = None
        self._deaf = False
        self._resynchronise(now)

    def stalled(self, now: float) -> None:
        """Forget all held bytes: the process stalled, so they may be of any age."""
        self._counters.stalls += 1
        self._resynchronise(now)
        self._deaf = True

    def receive(self, data: bytes, before: float, now: float) -> bool:
        """Take all bytes that the port held, read after `before` and by `now`.

        False: the process stalled, and the bytes on the port must be thrown away.
        """
        since, self._looked = self._looked, before
        if now - since > STALL:
            if data:
                self._reader.reset(now)
                self._is_late(data, self._reader.feed(data, now, since), now - since)
            self.stalled(now)
            return False
        silent_until = since if data else before
        self._take(self._reader.flush(silent_until))
        if silent_until >= self._last + self._timing.quiet:
            self._deaf = False
        if data:
            self._supersede(len(data))
            self._last = now
            events = self._reader.feed(data, now, since)
            if self._is_late(data, events, now - since):
                self.stalled(now)
                return False
            self._take(events)
        self._prepare()
        return True

    def _is_late(self, data: bytes, events: list[FrameEvent], seconds: float) -> bool:
        """Whether these took longer to come than the `seconds` that our clock has counted.

        Then a hypervisor had paused this host, and what the clock dates may be older. These are more bytes than the
        line carries, or more requests to us: a client that gets no answer waits for `STALL` at least.
        """
        ours = sum(isinstance(event, Request) and self._responder.serves(event.unit) for event in events)
        in_a_row = self._requests_in_a_row(data)
        ours = max(ours, in_a_row if in_a_row >= IN_A_ROW else 0)
        too_many = (len(data) - FIFO) * self._timing.character > seconds + HELD
        late = too_many or (ours > 1 and (ours - 1) * STALL >= seconds)
        if late:
            self._responder.doubt_clock(self._looked)
        return late

    def _requests_in_a_row(self, data: bytes) -> int:
        """Count the reads to us that follow one another: behind a damaged one the reader finds none of them."""
        most = 0
        for first in range(min(REQUEST, len(data) - IN_A_ROW * REQUEST + 1)):
            row = 0
            for at in range(first, len(data) - REQUEST + 1, REQUEST):
                frame = data[at : at + REQUEST]
                row = row + 1 if self._responder.serves(frame[0]) and has_valid_crc(frame) else 0
                most = max(most, row)
        return most

    @property
    def due_at(self) -> float | None:
        """When the answer to the request at hand is due. None: there is no request, or it may not be complete."""
        return None if self._request is None or self._is_unsure else self._last + self._silence

    @property
    def is_at_rest(self) -> bool:
        """Nothing is under way: the next bytes begin a frame."""
        return self._request is None and not self._deaf and self._reader.is_settled

    def next_event_at(self) -> float:
        """When the port must be polled again at the latest."""
        if self._request is not None and not self._is_unsure:
            return self._last + self._silence
        look = self._looked + (MAX_SLEEP if self.is_at_rest else POLL_STEP)
        return look if self._sending is None else min(look, self._looked + WATCH)

    def due(self, now: float) -> bytes:
        """Return the answer to write at this moment, or nothing."""
        if not self._is_due() or now - self._looked > LATE:
            return b""
        request, self._request = self._request, None
        if request is None:
            return b""
        if now - request.since > STALL:
            self._counters.stalls += 1
            return b""
        answer = self._prepared
        if self._responder.why_silenced(request.unit):
            answer = None
        if answer is None or abs(now - self._prepared_for) > LATE:
            answer = self._responder.answer(request.frame, now)
        self._responder.written(request.frame, answer, now)
        given = Given(request.frame, self._received_at, answer, now)
        if answer.frame:
            self._sending, self._sending_since, self._watched = given, request.since, 0
        else:
            self._give(given, now)
        return answer.frame

    @property
    def unconfirmed(self) -> int:
        """Bytes of the answer under way; 0 where none is."""
        return len(self._sending.answer.frame) if self._sending else 0

    def sent(self, count: int, now: float) -> bool:
        """Note how many bytes of the current answer have left. False: the rest must be thrown away."""
        sending = self._sending
        if sending is None:
            return True
        self._learn(count, len(sending.answer.frame))
        if count >= len(sending.answer.frame):
            self._sending = None
            self._counters.unsent_since = None
            self._give(sending, now)
            return True
        if now < self._gone_by(sending, count) and not self._is_due():
            return True
        self.failed()
        if self._is_due() and self._request is not None:
            # What was just thrown away may have left in part: an answer behind it would be misread.
            self._not_sent(Given(self._request.frame, self._received_at, UNANSWERED, now))
            self._request = None
        return False

    def _gone_by(self, sending: Given, count: int) -> float:
        """By when more than `count` bytes of the answer must have left."""
        end = sending.at + len(sending.answer.frame) * self._timing.character
        if count > 0:
            return end + SENDING
        if self._late_reports >= LATE_REPORTS:
            return end + STARTING
        first = sending.at + self._timing.character + STARTING
        return min(end + STARTING, max(first, self._sending_since + STALL - WATCH))

    def _learn(self, count: int, whole: int) -> None:
        """Learn whether the port reports parts of an answer as sent."""
        if 0 < count < whole:
            self._late_reports = -1
        elif count == 0:
            self._watched += 1
        elif self._late_reports >= 0:
            self._late_reports = self._late_reports + 1 if self._watched >= LATE_REPORTS else 0

    def failed(self) -> None:
        """Note that the current answer will not leave the port."""
        sending, self._sending = self._sending, None
        if sending is not None:
            self._counters.unsent += 1
            self._not_sent(sending._replace(answer=UNANSWERED))

    def _give(self, given: Given, now: float) -> None:
        self._responder.left(given.request, given.answer, now)
        self.given.append(given)

    def _not_sent(self, given: Given) -> None:
        if self._counters.unsent_since is None:
            self._counters.unsent_since = given.at
        self.given.append(given)

    def _resynchronise(self, now: float) -> None:
        self._reader.reset(now)
        self._looked = self._last = self._counters.listening_since = now
        self._request = self._prepared = None

    def _supersede(self, count: int) -> None:
        """Newer bytes make a request void, except the few that a driver leaves behind as it releases the line."""
        if self._request is None:
            return
        # No client goes on without a silence: both may lie in another unit's frame whose head was lost.
        self._reader.no_gap()
        if self._reader.pending + count > self._request.trailing:
            self._request = None

    def _take(self, events: list[FrameEvent]) -> None:
        for event in events:
            if isinstance(event, Noise):
                self._counters.noise += len(event.data)
                continue
            self._request = self._prepared = None
            if not isinstance(event, Request) or not self._responder.serves(event.unit):
                self._counters.foreign += 1
            elif not event.superseded and not self._deaf:
                self._request, self._received_at = event, event.at
                self._silence = max(self._timing.gap, self._responder.earliest(event.unit))

    @property
    def _is_unsure(self) -> bool:
        return self._request is not None and (self._request.resynced or self._reader.pending > 0)

    def _is_due(self) -> bool:
        """Whether the port was empty at a poll after the silence behind the current request was over."""
        if self._request is None:
            return False
        silence = max(self._timing.quiet, self._silence) if self._is_unsure else self._silence
        return self._looked >= self._last + silence

    def _prepare(self) -> None:
        """Prepare the answer during the silence: at its moment it is only written."""
        due = self.due_at
        if due is not None and self._request is not None and (self._prepared is None or due != self._prepared_for):
            self._prepared, self._prepared_for = self._responder.answer(self._request.frame, due), due


UNANSWERED: Final = Answer(b"", UNSENT)
