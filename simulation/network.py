"""Simulates TCP between hosts: segments, delay, half-open links, refusals, cuts in the middle of a frame."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from random import Random
from typing import Final

from .world import Call, Event, Process, World

RTO: Final = 0.2
"""Seconds until a lost segment is sent again, at least (TCP_RTO_MIN of Linux)."""
MAX_RTO: Final = 3.2
DEAD_AFTER: Final = 3.0
"""Seconds with unacknowledged data after which the sender gives a connection up (TCP_USER_TIMEOUT)."""
WINDOW: Final = 200_000
"""Bytes that a connection takes without its peer reading them."""


@dataclass(slots=True)
class Path:
    """The way between two hosts, as it is now."""

    delay: float = 0.0005
    jitter: float = 0.0003
    up: bool = True
    """While it is down all segments are lost, and no host notices."""
    segment: int = 0
    """Bytes of a segment at most; 0: as they are sent."""


class End:
    """One end of a connection. `on_data` and `on_closed` run in the process that owns it."""

    def __init__(self, connection: "Connection", process: Process) -> None:
        self.process = process
        self.peer: End
        self.open = True
        self.on_data: Callable[[bytes], None] = lambda _: None
        self.on_message: Callable[[object], None] = lambda _: None
        self.on_closed: Callable[[str], None] = lambda _: None
        self.unread = 0
        """Bytes sent from here that the peer's program has not read."""
        self._connection = connection
        self._ready = -inf
        self._unacked: Event | None = None
        process.on_death.append(self._die)

    @property
    def writable(self) -> bool:
        """Whether the kernel takes more."""
        return self.open and self.unread < WINDOW

    def send(self, data: bytes) -> bool:
        """Send bytes, which arrive in segments; False if nothing is taken."""
        if not self.writable:
            return False
        for part in self._connection.segments(data):
            self._transmit(part, len(part))
        return True

    def post(self, message: object, size: int) -> bool:
        """Send a message that the peer takes as a whole or not at all (its connection ends within)."""
        if not self.writable:
            return False
        self._transmit(message, size)
        return True

    def close(self) -> None:
        """Close it: what was sent before still arrives."""
        if self.open:
            self._shut()
            self._arrive(partial(self.peer.ended, "closed by the peer"), 0.0)

    def reset(self) -> None:
        """End it at once: the peer notices, and what is under way is lost."""
        if self.open:
            self._shut()
            self._connection.lost = True
            if self._connection.path.up:
                self._arrive(partial(self.peer.ended, "reset by the peer"), 0.0, always=True)

    def _transmit(self, item: object, size: int) -> None:
        self.unread += size
        self._arrive(partial(self.peer.take, item, size), RTO)

    def _arrive(self, call: Call, rto: float, *, always: bool = False) -> None:
        """Bring it to the peer in order; a segment that is lost is sent again, later and later."""
        connection = self._connection
        path, world = connection.path, connection.world
        if connection.lost and not always and not self.open:
            return
        if not path.up or self.peer.process.host.asleep or not self.peer.process.alive:
            if self._unacked is None:
                self._unacked = world.after(DEAD_AFTER, self._give_up)
            if rto:
                world.after(rto, partial(self._arrive, call, min(2 * rto, MAX_RTO), always=always))
                self._ready = max(self._ready, world.now + rto)
            return
        if connection.lost and not always:
            if not self.peer.open:  # its host does not know this connection
                self.process.at(world.now + 2 * path.delay, partial(self.ended, "reset by the peer"))
            return
        when = world.now + path.delay + connection.random.random() * path.jitter
        self._ready = max(self._ready, when)
        world.at(self._ready, partial(self._deliver, call, rto, always))

    def _deliver(self, call: Call, rto: float, always: bool) -> None:
        if not self._connection.path.up:
            self._arrive(call, rto or RTO, always=always)
            return
        if self._unacked is not None:
            self._unacked.cancel()
            self._unacked = None
        if always or not self._connection.lost:
            peer = self.peer
            if peer.process.alive:
                peer.process.at(self._connection.world.now, call)

    def take(self, item: object, size: int) -> None:
        """Something has arrived, and the program reads it."""
        self.peer.unread -= size
        if self.open:
            if isinstance(item, bytes):
                self.on_data(item)
            else:
                self.on_message(item)
        elif self.peer.open:
            self.reset_peer()

    def reset_peer(self) -> None:
        """Answer a segment for a connection that is no more: whoever sent it learns so."""
        self._arrive(partial(self.peer.ended, "reset by the peer"), 0.0, always=True)

    def _give_up(self) -> None:
        self._unacked = None
        if self.open and self.process.alive:
            self._connection.lost = True
            self.process.at(self._connection.world.now, partial(self.ended, "timed out"))

    def ended(self, why: str) -> None:
        """The program learns that the connection is gone."""
        if self.open:
            self._shut()
            self.on_closed(why)

    def _shut(self) -> None:
        self.open = False
        if self._unacked is not None:
            self._unacked.cancel()
            self._unacked = None
        if self._die in self.process.on_death:
            self.process.on_death.remove(self._die)

    def _die(self, kernel_lives: bool) -> None:
        if kernel_lives:
            self.reset()
        else:
            self.open = False
            self._connection.lost = True


class Connection:
    """Two ends and the way between them."""

    def __init__(self, world: World, path: Path, client: Process, server: Process, random: Random) -> None:
        self.world = world
        self.path = path
        self.random = random
        self.lost = False
        """True if what is under way arrives no more."""
        self.client, self.server = End(self, client), End(self, server)
        self.client.peer, self.server.peer = self.server, self.client

    def segments(self, data: bytes) -> list[bytes]:
        """Return how these bytes are cut on their way."""
        most = self.path.segment
        if not most or len(data) <= 1:
            return [data]
        parts, at = [], 0
        while at < len(data):
            step = self.random.randint(1, most)
            parts.append(data[at : at + step])
            at += step
        return parts

    def cut(self) -> None:
        """Both ends lose it, in the middle of whatever is under way."""
        self.lost = True
        for end in (self.client, self.server):
            if end.open and end.process.alive:
                end.process.at(self.world.now, partial(end.ended, "reset on its way"))


class Network:
    """Who listens where, and the ways between hosts."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.connections: list[Connection] = []
        self.random = world.random("network")
        self._paths: dict[frozenset[str], Path] = {}
        self.listening: dict[tuple[str, int], tuple[Process, Callable[[End], None]]] = {}

    def path(self, one: str, other: str) -> Path:
        """Return the way between two hosts; one host's way to itself is short."""
        key = frozenset((one, other))
        if key not in self._paths:
            self._paths[key] = Path() if one != other else Path(0.00005, 0.00002)
        return self._paths[key]

    def listen(self, process: Process, port: int, on_accept: Callable[[End], None]) -> None:
        """Accept connections while the process lives."""
        key = (process.host.name, port)
        self.listening[key] = (process, on_accept)

        def died(_: bool) -> None:
            self.listening.pop(key, None)

        process.on_death.append(died)

    def ignore(self, process: Process, port: int) -> None:
        """Listen no more: connections are refused."""
        self.listening.pop((process.host.name, port), None)

    def connect(
        self,
        process: Process,
        host: str,
        port: int,
        on_open: Callable[[End], None],
        on_failed: Callable[[str], None],
        timeout: float = 2.0,
    ) -> None:
        """Open a connection; exactly one of both is called, unless the process ends before."""
        self._syn(_Attempt(process, host, port, on_open, on_failed, self.world.now + timeout, process.life))

    def _syn(self, attempt: "_Attempt") -> None:
        path, now = self.path(attempt.process.host.name, attempt.host), self.world.now
        if attempt.process.life != attempt.life:
            return
        if now >= attempt.deadline:
            attempt.process.at(now, partial(attempt.on_failed, "no answer"))
            return
        listening = self.listening.get((attempt.host, attempt.port))
        if not path.up or (listening is not None and listening[0].host.asleep):
            self.world.at(min(now + 1.0, attempt.deadline), partial(self._syn, attempt))
            return
        trip = 2 * (path.delay + path.jitter * self.random.random())
        if listening is None:
            attempt.process.at(now + trip, partial(attempt.on_failed, "refused"))
            return
        server, on_accept = listening
        connection = Connection(self.world, path, attempt.process, server, self.random)
        self.connections = [one for one in self.connections if one.client.open or one.server.open]
        self.connections.append(connection)
        server.at(now + trip / 2, partial(on_accept, connection.server))
        attempt.process.at(now + trip, partial(attempt.on_open, connection.client))


@dataclass(slots=True)
class _Attempt:
    process: Process
    host: str
    port: int
    on_open: Callable[[End], None]
    on_failed: Callable[[str], None]
    deadline: float
    life: int
