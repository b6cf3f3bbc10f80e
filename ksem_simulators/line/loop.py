"""Runs the line's loop [shell]: takes bytes from both ends, hands each over when its time has come, counts them.

An end is a pty under a name of its own.
"""

import contextlib
import os
import select
import tty
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from ksem_simulators.line.direction import NEVER, FrameFaults, Pacer, Travelling, character_time
from ksem_simulators.line.wire_log import ECHO, INJECTED, LOST, TO_CLIENT, TO_SERVER, UNCERTAIN, WireLogWriter
from ksem_simulators.percentiles import Samples
from service_runtime.clock import boottime


class PtyEnd:
    """The line holds the master. It holds the slave open too, so that nothing is lost while nobody else has it open,
    and a service that closes its port does not make the master fail.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master = -1
        self._slave = -1

    @property
    def is_plugged(self) -> bool:
        """Whether the port is there."""
        return self.master >= 0

    def plug(self) -> None:
        """A new pty appears under the name."""
        if self.is_plugged:
            return
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        link = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._slave))
        link.replace(self.path)

    def unplug(self) -> None:
        """The name goes, and who has the port open gets EIO, as with a USB adapter pulled out."""
        if not self.is_plugged:
            return
        self.path.unlink(missing_ok=True)
        master, slave, self.master, self._slave = self.master, self._slave, -1, -1
        os.close(slave)
        os.close(master)

    def read(self) -> bytes:
        """What was written to the port; empty when there is nothing."""
        with contextlib.suppress(BlockingIOError, OSError):
            return os.read(self.master, 4096)
        return b""

    def write(self, data: bytes) -> int:
        """Hands bytes to who reads the port; returns how many fitted into its buffer."""
        if not self.is_plugged:
            return 0
        with contextlib.suppress(BlockingIOError, OSError):
            return os.write(self.master, data)
        return 0


_UNCERTAIN_AFTER: Final = 0.0002
"""A hand-over takes some 10 us; one that took this long was interrupted."""
_NAMES: Final = ("to-server", "to-client")


class Direction:
    """One direction: its wire, its faults, the end that receives, and what comes from nobody on the line."""

    def __init__(self, number: int, to: PtyEnd, character: float) -> None:
        self.number = number
        self.to = to
        self.pacer = Pacer(character)
        self.injected = Pacer(character)
        self.echo = Pacer(character)
        self.faults = FrameFaults(number)
        # In the order in which an adapter that collects bytes has them: a request follows the echo of the last answer.
        self.pacers: Final = ((self.echo, ECHO), (self.injected, INJECTED), (self.pacer, 0))


class LineLoop:
    """Runs in one thread; other threads use `call`."""

    def __init__(
        self, server: PtyEnd, client: PtyEnd, baudrate: int, log: WireLogWriter | None, trace: IO[str] | None
    ) -> None:
        character = character_time(baudrate)
        self.server = server
        self.client = client
        self.directions: Final = (
            Direction(TO_SERVER, server, character),
            Direction(TO_CLIENT, client, character),
        )
        self.counters = LineCounters()
        self.echo = False
        self._stalled_until = 0.0
        self.running = True
        self._log = log
        self._trace = trace
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        self._calls: deque[tuple[Callable[[], dict[str, Any]], Future[dict[str, Any]]]] = deque()
        self._pacers: Final = [
            (direction, pacer, flags) for direction in self.directions for pacer, flags in direction.pacers
        ]
        self._readable: list[int] = []
        self.watch()
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def call(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Runs `work` in the loop's thread and returns what it returns; from any other thread."""
        answer: Future[dict[str, Any]] = Future()
        self._calls.append((work, answer))
        self.wake()
        return answer.result(10.0)

    def wake(self) -> None:
        """Wakes the loop; safe in a signal handler."""
        os.write(self._wake_write, b"\0")

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """Runs `work` after so many seconds; only from the loop's thread."""
        self._timers.append((boottime() + seconds, work))

    def run(self) -> None:
        """Until `running` is False."""
        while self.running:
            now = boottime()
            soonest = min((at for at, _ in self._timers), default=NEVER)
            for direction, pacer, flags in self._pacers:
                if pacer.next_owed <= now:
                    self._deliver(direction, pacer.take(now), flags)
                soonest = min(soonest, pacer.next_owed)
            timeout = None if soonest == NEVER else max(0.0, soonest - boottime())
            for descriptor in select.select(self._readable, (), (), timeout)[0]:
                if descriptor == self._wake_read:
                    self._run_calls()
                elif descriptor == self.server.master:
                    self._take(self.server, self.directions[TO_CLIENT])
                elif descriptor == self.client.master:
                    self._take(self.client, self.directions[TO_SERVER])
            if self._timers:
                self._run_timers()

    def inject(self, direction: int, data: bytes) -> None:
        """Bytes from nobody on the line, paced like all others."""
        self.directions[direction].injected.send(data, boottime())

    def stall(self, seconds: float) -> None:
        """For so long nothing is taken from the server's end; only from the loop's thread."""
        self._stalled_until = boottime() + seconds
        self.later(seconds, self.watch)
        self.watch()

    def watch(self) -> None:
        """Looks anew which ends are to be read; only from the loop's thread."""
        self._readable = [self._wake_read]
        if self.server.is_plugged and self._stalled_until <= boottime():
            self._readable.append(self.server.master)
        if self.client.is_plugged:
            self._readable.append(self.client.master)

    def plug(self, end: PtyEnd) -> None:
        """The port of an end appears; only from the loop's thread."""
        end.plug()
        self.watch()

    def unplug(self, end: PtyEnd) -> None:
        """The port of an end goes, and what was on its way to it is lost; only from the loop's thread."""
        end.unplug()
        for pacer, _ in self.directions[TO_SERVER if end is self.server else TO_CLIENT].pacers:
            pacer.clear()
        self.watch()

    def _take(self, end: PtyEnd, direction: Direction) -> None:
        data = end.read()
        now = boottime()
        if not data:
            return
        pacer, other = direction.pacer, self.directions[1 - direction.number].pacer
        if pacer.free_at <= now < other.free_at:
            self.counters.collisions += 1
        items = direction.faults.apply(data, new_frame=pacer.is_new_frame(now))
        pacer.send(items, now)
        if self.echo and end is self.server:
            self.directions[TO_SERVER].echo.send(data, now)

    def _deliver(self, direction: Direction, owed: list[Travelling], flags: int) -> None:
        log, begun = self._log, boottime()
        numbers = (
            [log.add(direction.number, byte.value, flags, byte.due, byte.owed, begun) for byte in owed] if log else []
        )
        written = direction.to.write(bytes([byte.value for byte in owed]))
        if boottime() - begun > _UNCERTAIN_AFTER:
            flags |= UNCERTAIN
            self.counters.uncertain += 1
        if log and (flags & UNCERTAIN or written < len(owed)):
            for index, number in enumerate(numbers):
                log.set_flags(number, flags | (LOST if index >= written else 0))
        self.counters.hand_over(direction.number, begun, owed, written)
        if self._trace:
            for index, byte in enumerate(owed):
                lost = LOST if index >= written else 0
                self._trace.write(
                    f"{begun:.6f} {_NAMES[direction.number]} {byte.value:02x} due {byte.due:.6f} flags {flags | lost}\n"
                )

    def _run_calls(self) -> None:
        os.read(self._wake_read, 4096)
        while self._calls:
            work, answer = self._calls.popleft()
            try:
                answer.set_result(work())
            except Exception as error:  # noqa: BLE001 - handed to who called
                answer.set_exception(error)

    def _run_timers(self) -> None:
        now = boottime()
        due = [work for at, work in self._timers if at <= now]
        self._timers = [(at, work) for at, work in self._timers if at > now]
        for work in due:
            work()


def open_trace(path: Path | None) -> IO[str] | None:
    """The trace file, a line a byte."""
    return path.open("w", encoding="ascii") if path else None


@dataclass(slots=True)
class LineCounters:
    """All since the start."""

    to_server: int = 0
    to_client: int = 0
    lost: int = 0
    """Bytes that nobody took: port unplugged, or its buffer full."""
    collisions: int = 0
    """Times that one end began to send while the other was sending."""
    uncertain: int = 0
    """Hand-overs during which the host took the CPU away."""
    lateness: Samples = field(default_factory=lambda: Samples(2000))
    """Seconds that bytes were handed over late. Few are kept: nothing moves on the line while they are sorted."""

    def hand_over(self, direction: int, now: float, owed: list[Travelling], taken: int) -> None:
        """Counts bytes that were handed over towards the server (direction 0) or the client."""
        if direction:
            self.to_client += taken
        else:
            self.to_server += taken
        self.lost += len(owed) - taken
        for byte in owed:
            self.lateness.add(now - byte.owed)

    def as_dict(self) -> dict[str, Any]:
        """For a status message."""
        return {
            "to_server": self.to_server,
            "to_client": self.to_client,
            "lost": self.lost,
            "collisions": self.collisions,
            "uncertain": self.uncertain,
            "lateness_us": self.lateness.summary(1e6),
        }
