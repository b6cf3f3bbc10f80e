"""Simulates an RS485 line, character by character: who sends what when, what an adapter hands over, the inverter.

A transmission is kept as a whole, with the time of its first character; where each character lies follows from that.
So a frame costs a few events instead of hundreds.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil, inf
from random import Random
from typing import Final, Protocol

from modbus_codec.crc import append_crc

from .world import Event, Process, World

US: Final = "we"
FIFO: Final = 8
"""Characters after which a UART without a USB adapter interrupts (half of a PL011's)."""
ROUNDING: Final = 1e-7
"""Seconds that count as no time."""
T35_FAST: Final = 0.00175
"""Seconds of silence that end a frame above 19200 baud (serial line specification 1.02, section 2.5.1.1)."""


def character_time(baudrate: int, parity: str, stopbits: int) -> float:
    """Return the seconds that a character takes."""
    return (9 + (parity != "N") + stopbits) / baudrate


def frame_gap(baudrate: int, parity: str, stopbits: int) -> float:
    """Return t3.5."""
    return T35_FAST if baudrate > 19200 else 3.5 * character_time(baudrate, parity, stopbits)


@dataclass(eq=False, slots=True)
class Transmission:
    """Characters of one sender without a gap. `data` is what listeners receive: collisions change it."""

    sender: str
    start: float
    data: bytearray
    end: float
    written: bytes
    """As its sender meant it."""
    damaged: bool = False
    decided: float = inf
    """Of ours: when the service wrote it."""
    seen: float = inf
    """When our adapter handed over its first character."""


class Station(Protocol):
    """Whoever listens on the line."""

    def begins(self, sent: Transmission) -> None: ...

    def ends(self, sent: Transmission) -> None: ...


class Line:
    """The two wires."""

    def __init__(self, world: World, baudrate: int = 38400, parity: str = "N", stopbits: int = 2) -> None:
        self.world = world
        self.character = character_time(baudrate, parity, stopbits)
        self.gap = frame_gap(baudrate, parity, stopbits)
        self.stations: list[Station] = []
        self.characters = 0
        self._random = world.random("line")
        self._active: list[Transmission] = []

    @property
    def busy_until(self) -> float:
        """When the last character that is under way ends."""
        return max((one.end for one in self._active), default=-inf)

    def send(self, sender: str, data: bytes, *, decided: float = inf) -> Transmission:
        """Send from now on; whoever sends at the same time damages it and is damaged."""
        now = self.world.now
        sent = Transmission(sender, now, bytearray(data), now + len(data) * self.character, data, decided=decided)
        self._active = [one for one in self._active if one.end > now]
        for other in self._active:
            self._collide(other, sent)
        self._active.append(sent)
        self.characters += len(data)
        for station in self.stations:
            station.begins(sent)
        self.world.at(sent.end, partial(self._end, sent))
        return sent

    def _end(self, sent: Transmission) -> None:
        if self.world.tracing:
            self.world.trace(sent.sender, f"{'damaged ' if sent.damaged else ''}{sent.data.hex(' ')}")
        for station in self.stations:
            station.ends(sent)

    def _collide(self, older: Transmission, newer: Transmission) -> None:
        begin, end = newer.start, min(older.end, newer.end)
        for one in (older, newer):
            first = max(0, int((begin - one.start) / self.character))
            last = min(len(one.data), int((end - one.start) / self.character) + 1)
            for at in range(first, last):
                one.data[at] ^= self._random.randint(1, 255)
            one.damaged = one.damaged or last > first


class Adapter:
    """Our port: hands over characters in grains, sends what is written, and may fail in both."""

    def __init__(self, line: Line, process: Process, *, grain: float = 0.0, echo: bool = False) -> None:
        """`grain`: a USB adapter delivers each so many seconds (latency timer); 0: a UART."""
        self.world = line.world
        self.line = line
        self.process = process
        self.grain = grain
        self.echo = echo
        self.present = True
        self.stuck = False
        self.is_open = False
        self.opened = 0
        """How often it was opened."""
        self.on_bytes: Callable[[], None] = lambda: None
        """Called where the process may read; what it does not read stays."""
        self.on_opened: Callable[[], None] | None = None
        """Called once, when it is opened next."""
        self.on_gone: Callable[[], None] = lambda: None
        self.buffer = bytearray()
        """What the kernel holds and the process has not read."""
        self._receiving: list[tuple[Transmission, int]] = []
        self._queue: deque[tuple[bytes, float]] = deque()
        self._hand_over_at: Event | None = None
        self._output_free = -inf
        line.stations.append(self)
        process.on_death.append(self._died)

    def open(self) -> bool:
        """Open the port; False where it is not there. Its buffers are empty then."""
        if not self.present:
            return False
        self.is_open = True
        self.opened += 1
        self.drop_input()
        self._queue.clear()
        if self._died not in self.process.on_death:
            self.process.on_death.append(self._died)
        opened, self.on_opened = self.on_opened, None
        if opened is not None:
            opened()
        return True

    def close(self) -> None:
        self.is_open = False
        self._queue.clear()

    def unplug(self) -> None:
        """The port vanishes; whoever has it open notices at the next call."""
        self.present = False
        if self.is_open:
            self.close()
            self.process.at(self.world.now, self.on_gone)

    def plug(self) -> None:
        self.present = True

    def read(self) -> bytes:
        """Return what was handed over."""
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    def unread(self) -> int:
        return len(self.buffer)

    def unsent(self) -> int:
        """Bytes that were written and have not left."""
        leaving = max(0.0, self._output_free - self.world.now)
        return sum(len(data) for data, _ in self._queue) + ceil(leaving / self.line.character - ROUNDING)

    def drop_input(self) -> None:
        self.buffer.clear()

    def drop_output(self) -> None:
        self._queue.clear()

    def write(self, data: bytes) -> bool:
        """Take a frame to be sent."""
        if not self.is_open:
            return False
        self._queue.append((data, self.world.now))
        if not self.stuck:
            self._send_next()
        return True

    def unstick(self) -> None:
        """It takes bytes again, and sends what it still holds."""
        self.stuck = False
        self._send_next()

    def begins(self, sent: Transmission) -> None:
        """Characters begin to come in; our own only where the adapter echoes."""
        if self.is_open and (sent.sender != US or self.echo):
            self._receiving.append((sent, 0))
            self._plan()

    def ends(self, sent: Transmission) -> None:
        if not self.grain:
            self._hand_over()
        if sent.sender == US and self.is_open:
            self._send_next()

    def _plan(self) -> None:
        if self._hand_over_at is None and self._receiving:
            now = self.world.now
            if self.grain:
                when = (now // self.grain + 1) * self.grain
                if when - now < ROUNDING:
                    when += self.grain
            else:
                when = now + FIFO * self.line.character
            self._hand_over_at = self.world.at(when, self._on_time)

    def _on_time(self) -> None:
        self._hand_over_at = None
        self._hand_over()
        self._plan()

    def _hand_over(self) -> None:
        if not self._receiving:
            return
        now, left = self.world.now + 1e-9, []
        before = len(self.buffer)
        for sent, taken in self._receiving:
            come = len(sent.data) if now >= sent.end else int((now - sent.start) / self.line.character)
            if come > taken:
                self.buffer += sent.data[taken:come]
                if not taken:
                    sent.seen = self.world.now
            if come < len(sent.data):
                left.append((sent, come))
        self._receiving = left
        if not self.is_open:
            self.buffer.clear()
        elif len(self.buffer) > before:
            self.process.at(self.world.now, self._wake)

    def _wake(self) -> None:
        if self.is_open and self.buffer:
            self.on_bytes()

    def _send_next(self) -> None:
        if self._queue and not self.stuck and self.world.now >= self._output_free:
            data, decided = self._queue.popleft()
            self._output_free = self.line.send(US, data, decided=decided).end

    def _died(self, _: bool) -> None:
        """The kernel closes the port; it waits for no output of a process that was killed."""
        self.close()
        self.buffer.clear()


@dataclass(slots=True)
class RequestPlan:
    """What the inverter requests, and how (`ksem_simulators.plenticore.plan` has where it is known from)."""

    unit: int = 1
    ranges: Sequence[tuple[int, int]] = ((0, 28), (40, 106))
    seldom: Sequence[tuple[int, int]] = ((8244, 1), (512, 100), (592, 120), (8192, 53))
    seldom_every: int = 10
    """Cycles after which one of `seldom` is polled beside the others."""
    period: float = 0.16
    gap: float = 0.002
    timeout: float = 0.15
    others: bool = False
    """It polls other units, too, whose replies hold requests to us."""
    requests: dict[tuple[int, int], bytes] = field(default_factory=dict)


class Inverter:
    """Polls, waits for the answer or the time-out, polls again. The oracle judges its answers."""

    def __init__(self, line: Line, plan: RequestPlan, random: Random) -> None:
        self.line = line
        self.world = line.world
        self.plan = plan
        self.requested = 0
        self.paused = False
        self.recognised = False
        self.mute_until = -inf
        self._random = random
        self._todo: list[tuple[int, int]] = []
        self._cycle = 0
        self._cycle_due = 0.0
        self._waits: Event | None = None
        self._answering = False
        self._other_expected = False
        self.damage_next = 0
        """So many of the next requests reach us damaged."""
        self.glitch_next = 0
        line.stations.append(self)
        self.world.after(0.01, self._next)

    def begins(self, sent: Transmission) -> None:
        """An answer begins, ours or another unit's: wait for its end instead of the time-out."""
        if self._waits is not None and sent.sender in (US, "other") and sent.start < sent.end:
            self._waits.cancel()
            self._waits = None
            self._answering = True

    def ends(self, sent: Transmission) -> None:
        if self._answering and sent.sender in (US, "other"):
            self._answering = False
            if sent.sender == US and not self.recognised:
                self.recognised = len(sent.data) == 7 and not sent.damaged
            self._later(self.line.gap + self.plan.gap)

    def request(self, wanted: tuple[int, int], unit: int) -> bytes:
        """Return the frame of a read."""
        key = (*wanted, unit)
        frame = _FRAMES.get(key)
        if frame is None:
            start, count = wanted
            head = bytes((unit, 3)) + start.to_bytes(2, "big") + count.to_bytes(2, "big")
            frame = _FRAMES[key] = append_crc(head)
        return frame

    def _later(self, delay: float) -> None:
        self.world.after(delay, self._next)

    def _next(self) -> None:
        if self.paused:
            self._later(0.5)
            return
        now = self.world.now
        wait = self.line.busy_until + self.line.gap - now
        if wait > 0:
            self._later(wait + 0.0001)
            return
        if not self.recognised:
            self._request((8244, 1))
            return
        if not self._todo:
            if now < self._cycle_due:
                self.world.at(self._cycle_due, self._next)
                return
            self._cycle_due = max(self._cycle_due + self.plan.period, now)
            self._cycle += 1
            self._todo = list(self.plan.ranges)
            if self._cycle % self.plan.seldom_every == 0:
                turn = self._cycle // self.plan.seldom_every
                self._todo.append(self.plan.seldom[turn % len(self.plan.seldom)])
            if self.plan.others and self._cycle % 5 == 0:
                self._request_other()
                return
        self._request(self._todo.pop(0))

    def _request(self, wanted: tuple[int, int]) -> None:
        frame = self.request(wanted, self.plan.unit)
        self.requested += 1
        sent = self.line.send("inverter", frame)
        if self.damage_next:
            self.damage_next -= 1
            sent.data[self._random.randrange(len(frame))] ^= 1 << self._random.randrange(8)
            sent.damaged = True
        if self.glitch_next:
            self.glitch_next -= 1
            self.world.at(sent.end + 0.2 * self.line.character, self._glitch)
        timeout = self.plan.timeout if self.recognised else 0.4
        self._waits = self.world.at(sent.end + timeout, self._timed_out)

    def _timed_out(self) -> None:
        self._waits = None
        self._next()

    def _glitch(self) -> None:
        self.line.send("noise", bytes((self._random.choice((0, 255)),)))

    def _request_other(self) -> None:
        unit = self._random.randint(2, 9)
        start = self._random.randrange(0, 200)
        sent = self.line.send("inverter", self.request((start, 40), unit))
        self._waits = self.world.at(sent.end + self.plan.timeout, self._timed_out)
        if self._random.random() < 0.9:
            self.world.at(sent.end + self.line.gap + 0.003 * self._random.random(), partial(self._other_answers, unit))

    def other_goes_on(self) -> None:
        """The end of a reply, of which the port received no beginning: its last registers are a request to us."""
        if self.line.busy_until <= self.world.now:
            inside = self.request(self._random.choice(list(self.plan.ranges)), self.plan.unit)
            self.line.send("other", self._random.randbytes(self._random.randrange(30)) + inside + b"\xc3\x5a")

    def _other_answers(self, unit: int) -> None:
        """A reply of 40 registers, in which complete requests to us lie."""
        inside = self.request(self._random.choice(list(self.plan.ranges)), self.plan.unit)
        head = self._random.randbytes(self._random.randrange(0, 40))
        body = (head + inside + inside + self._random.randbytes(80))[:80]
        self.line.send("other", append_crc(bytes((unit, 3, 80)) + body))


_FRAMES: Final[dict[tuple[int, int, int], bytes]] = {}
"""Requests that were built once: they are the same in every run."""
