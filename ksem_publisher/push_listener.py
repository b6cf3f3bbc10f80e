"""The port that meters push to: whom it admits, how many, and how long they may be silent [shell].

A thread of its own reads and answers: a meter waits for each answer, and an event loop's wake-up costs several times
as much as the work on one write.
"""

import asyncio
import contextlib
import logging
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from ksem_contract.reasons import Reason
from ksem_publisher.push_connection import PushConnection, PushedWrite, WrittenRegisters
from ksem_publisher.push_peers import PushPeers, socket_address
from ksem_publisher.settings import MeterSettings
from ksem_publisher.snapshot import AWAY_SECONDS
from modbus_codec.pdu import BadFrame
from service_runtime.clock import boottime
from service_runtime.news import QuietLog
from service_runtime.tcp_listener import open_listener
from service_runtime.threads import WatchedThread

MOST_CONNECTIONS = 4
"""Of one peer; a further one closes the peer's oldest."""
MOST_UNSENT = 65536
"""Bytes of unread answers after which the peer is given up."""
IDLE_TIMEOUT = 180.0
RESOLVE_EVERY = 10.0
RESOLVE_SOON = 5.0
"""Names are looked up again when a peer comes that is unknown or known by name, but not more often than this."""
READ_SIZE = 4096
_BACKLOG = 64
_REOPEN = 1.0
_TICK = 5.0
WATCH_LATE = 0.02
"""Seconds by which the check for missing pushes may be late: a push that comes at that moment saves a wake-up
of its own."""
_GONE = select.EPOLLHUP | select.EPOLLERR

log = logging.getLogger("ksem_publisher.push")


class PushTaker(Protocol):
    """The meter that pushes belong to. Called in the listener's thread."""

    def on_opened(self, connection: PushConnection) -> None: ...

    def on_writes(self, connection: PushConnection, writes: Sequence[PushedWrite]) -> None: ...

    def watch(self, now: float) -> float: ...

    def on_closed(self, connection: PushConnection) -> None: ...

    def on_moved(self, now: float) -> None: ...


class PushListener:
    """Listens on one port for the pushes of some meters."""

    def __init__(
        self,
        address: str,
        port: int,
        meters: Sequence[MeterSettings],
        takers: Mapping[str, PushTaker],
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._address, self._port = address, port
        self._takers = takers
        self._clock = clock
        self._peers = PushPeers(meters)
        self._written = {meter.id: WrittenRegisters() for meter in meters}
        self._open: dict[int, tuple[socket.socket, PushConnection]] = {}
        self._watch_due = 0.0
        self._quiet = QuietLog()
        self._accept_again = float("inf")
        """When to accept again, where the system had no room for another connection."""
        self._lookup_due = float("-inf")
        self._looked_up_at = float("-inf")
        self._under_way: set[tuple[str, str]] = set()
        self._found: deque[tuple[str, str, tuple[str, ...] | None, str]] = deque()
        """Names that were looked up: meter, name, addresses or None, why not."""
        self._waker: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failed = asyncio.Event()
        self.thread: WatchedThread | None = None
        """The one that answers; None while nothing is listened on."""
        self.why_closed: Reason | None = None
        """Why no meter can push; None while all is well."""

    def refused(self, meter: str) -> tuple[Reason, ...]:
        """Peers that were refused, each with the settings line that would let it in, and addresses of two meters."""
        return self._peers.refused(meter, self._clock())

    async def run(self) -> None:
        """Listen until cancelled; an address that can't be listened on is tried again."""
        self._loop = asyncio.get_running_loop()
        while True:
            try:
                # In a thread: the address may be a name, and must not keep the meters' polls waiting.
                listener = await asyncio.to_thread(open_listener, self._address, self._port, _BACKLOG)
            except OSError as error:
                address, cause = f"{self._address}:{self._port}", error.strerror or error
                self._complain(Reason.of("push-port-closed", address=address, error=cause))
                await asyncio.sleep(_REOPEN)
                continue
            self.why_closed = None
            line = self._quiet.line("listening", f"listening for pushes on {self._address}:{self._port}", self._clock())
            if line:
                log.info("%s", line)
            self._failed.clear()
            wake, waker = socket.socketpair()
            wake.setblocking(False)
            waker.setblocking(False)
            self._waker = waker
            thread = self.thread = WatchedThread(f"push {self._port}", partial(self._serve, listener, wake))
            try:
                thread.start()
                await self._failed.wait()
                self.why_closed = Reason.of("push-listener-failed")
            finally:
                self.thread = None
                waker.close()  # which ends the thread
                thread.join(1.0)
            await asyncio.sleep(_REOPEN)

    def _look_up_names(self, now: float) -> None:
        """Begin to look up all names, each in a thread of its own: a name server may take its time."""
        self._looked_up_at, self._lookup_due = now, now + RESOLVE_EVERY
        for one in self._peers.names:
            if one not in self._under_way:
                self._under_way.add(one)
                threading.Thread(target=self._look_up, args=one, name="push-names", daemon=True).start()

    def _look_up(self, meter: str, name: str) -> None:
        """In a thread of its own."""
        addresses, why = None, ""
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            addresses = tuple(socket_address(entry[4]) for entry in found)
        except (OSError, UnicodeError) as error:
            why = str(getattr(error, "strerror", None) or error)
        finally:
            self._found.append((meter, name, addresses, why))
            waker = self._waker
            if waker is not None:
                with contextlib.suppress(OSError):  # the listener has ended, or has enough to wake up for
                    waker.send(b"!")

    def _take_names(self, now: float) -> None:
        """What was looked up counts from now on, for the connections that are open, too."""
        while self._found:
            meter, name, addresses, why = self._found.popleft()
            self._under_way.discard((meter, name))
            gone = self._peers.resolved(meter, name, addresses)
            if addresses is None:
                line = self._quiet.line(f"resolve {name}", f"{name}: {why}", now)
                if line:
                    log.warning("the address of meter %s can't be found: %s", meter, line)
            elif gone:
                text = f"{name} is {', '.join(sorted(set(addresses)))} now, not {', '.join(gone)} any more"
                line = self._quiet.line(f"moved {name}", text, now)
                if line:
                    log.warning("meter %s has another address: %s", meter, line)
                if self._peers.is_polled(meter, name):
                    self._takers[meter].on_moved(now)
        for sock, connection in list(self._open.values()):
            if self._peers.meter_of(connection.peer) != connection.meter:
                self._close(sock, connection)

    def _serve(self, listener: socket.socket, wake: socket.socket) -> None:
        """Answer until the other end of `wake` is closed."""
        with listener, wake, select.epoll() as ready:
            ready.register(listener, select.EPOLLIN)
            ready.register(wake, select.EPOLLIN)
            try:
                self._serve_until_closed(listener, wake, ready)
            except Exception as error:
                line = self._quiet.line(
                    "failed", f"the push listener failed with {error!r}; it is opened anew", self._clock()
                )
                if line:
                    log.exception("%s", line)
                self._report_failure()
            finally:
                for sock, connection in list(self._open.values()):
                    with contextlib.suppress(Exception):  # the others are to be closed, too
                        self._close(sock, connection)

    def _serve_until_closed(self, listener: socket.socket, wake: socket.socket, ready: select.epoll) -> None:
        looked = now = self._clock()
        self._take_names(now)
        while self.thread is None or self.thread.turned():
            if now >= self._lookup_due:
                self._look_up_names(now)
            if now >= self._accept_again:
                self._accept_again = float("inf")
                ready.modify(listener, select.EPOLLIN)
            due = min(self._watch_due + WATCH_LATE, self._lookup_due, self._accept_again)
            found = ready.poll(min(_TICK, max(0.0, due - now)))
            now = self._clock()  # before anything is read: a stall in between makes it look older, never younger
            for descriptor, events in found:
                known = self._open.get(descriptor)
                if known is not None:
                    self._move(*known, events, ready, now)
                elif descriptor == listener.fileno():
                    self._accept(listener, ready)
                elif descriptor == wake.fileno():
                    if not wake.recv(READ_SIZE):
                        return
                    self._take_names(now)
            if now >= self._watch_due:
                self._watch_due = min(taker.watch(now) for taker in self._takers.values())
            if now - looked >= _TICK:
                looked = now
                self._look_after(now)

    def _accept(self, listener: socket.socket, ready: select.epoll) -> None:
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionError):
            return  # it has gone already
        except OSError as error:
            # No descriptor or no memory left: new peers wait, the open connections go on.
            self._accept_again = self._clock() + _REOPEN
            ready.modify(listener, 0)
            line = self._quiet.line("accept", f"can't accept a push: {error.strerror or error}", self._clock())
            if line:
                log.warning("%s", line)
            return
        try:
            self._admit(sock, address, ready)
        except OSError:
            sock.close()  # it has gone already

    def _admit(self, sock: socket.socket, address: tuple[object, ...], ready: select.epoll) -> None:
        peer, now = socket_address(address), self._clock()
        meter = self._peers.meter_of(peer)
        if meter is None or self._peers.is_by_name(peer):
            self._lookup_due = min(self._lookup_due, self._looked_up_at + RESOLVE_SOON)
        if meter is None:
            sock.close()
            self._peers.refuse(peer, now)
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        same = sorted((one for one in self._open.values() if one[1].peer == peer), key=lambda one: one[1].last_received)
        for oldest in same[: max(0, len(same) + 1 - MOST_CONNECTIONS)]:
            self._close(*oldest)
        connection = PushConnection(peer, int(str(address[1])), meter, self._written[meter], now)
        ready.register(sock, select.EPOLLIN)
        self._open[sock.fileno()] = sock, connection
        self._takers[meter].on_opened(connection)

    def _move(
        self, sock: socket.socket, connection: PushConnection, events: int, ready: select.epoll, now: float
    ) -> None:
        """Read, answer, pass the writes on."""
        try:
            if events & select.EPOLLOUT:
                self._send(sock, connection, b"", ready)
            if events & (select.EPOLLIN | _GONE):
                data = sock.recv(READ_SIZE)
                answers = connection.take(data, now)
                if answers:
                    # The meter waits for this; everything else comes after it.
                    self._send(sock, connection, answers, ready)
                self._hand_on(sock, connection, now)
                if not data:
                    self._close(sock, connection)
        except BlockingIOError:
            pass
        except OSError:
            self._close(sock, connection)
        except BadFrame as error:
            self._give_up(sock, connection, f"what {connection.peer} sends is no Modbus TCP ({error})")
        except Exception as error:  # noqa: BLE001  (one meter's trouble must not end the pushes of the others)
            self._give_up(sock, connection, f"a push of {connection.peer} failed with {type(error).__name__}: {error}")

    def _hand_on(self, sock: socket.socket, connection: PushConnection, now: float) -> None:
        if sock.fileno() < 0:
            return  # closed meanwhile: nothing of it counts, and nothing of it is kept
        writes = connection.writes()
        if writes:
            self._takers[connection.meter].on_writes(connection, writes)
            self._watch_due = min(self._watch_due, now + AWAY_SECONDS)

    def _send(self, sock: socket.socket, connection: PushConnection, answers: bytes, ready: select.epoll) -> None:
        waiting = connection.unsent
        left = waiting + answers
        with contextlib.suppress(BlockingIOError):
            left = left[sock.send(left) :]
        connection.unsent = left
        if len(left) > MOST_UNSENT:
            self._give_up(sock, connection, f"{connection.peer} does not read its answers")
        elif bool(left) != bool(waiting):
            ready.modify(sock, select.EPOLLIN | (select.EPOLLOUT if left else 0))

    def _look_after(self, now: float) -> None:
        for sock, connection in list(self._open.values()):
            if now - connection.last_received > IDLE_TIMEOUT:
                self._close(sock, connection)
        for line in self._quiet.due(now):
            log.warning("%s", line)

    def _close(self, sock: socket.socket, connection: PushConnection) -> None:
        if self._open.pop(sock.fileno(), None) is not None:
            sock.close()
            connection.unsent = b""
            self._takers[connection.meter].on_closed(connection)

    def _give_up(self, sock: socket.socket, connection: PushConnection, why: str) -> None:
        self._close(sock, connection)
        line = self._quiet.line(f"garbage {connection.peer}", f"{why}; connection closed", self._clock())
        if line:
            log.warning("%s", line)

    def _report_failure(self) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._failed.set)

    def _complain(self, why: Reason) -> None:
        if why != self.why_closed:
            log.warning("%s; trying on", why.text)
        self.why_closed = why
