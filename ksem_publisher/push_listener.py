"""Where meters push to: a listening port, who may come, how many, and for how long they may be silent [shell].

A thread of its own reads and answers: a meter waits for each answer, and an event loop costs several times as much a
wake-up as what is done with a write.
"""

import asyncio
import contextlib
import logging
import os
import select
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from ksem_publisher.push_connection import PushConnection, PushedWrite, WrittenRegisters
from ksem_publisher.push_peers import PushPeers
from ksem_publisher.push_rhythm import AWAY_SECONDS
from ksem_publisher.settings import MeterSettings
from modbus_codec.errors import BadFrame
from service_runtime.clock import boottime
from service_runtime.quiet_log import QuietLog

MOST_CONNECTIONS = 4
"""Of one peer; a further one closes the peer's oldest."""
MOST_UNSENT = 65536
"""Bytes of unread answers after which the peer is given up."""
IDLE_TIMEOUT = 180.0
RESOLVE_EVERY = 60.0
RESOLVE_SOON = 5.0
"""Names are looked up again when an unknown peer comes, but not more often than this."""
READ_SIZE = 4096
_BACKLOG = 64
_REOPEN = 1.0
_TICK = 5.0
WAIT = 0.02
"""Seconds for which the beginning of a cycle waits for its next write, to be worked on with it: while it is, the meter
would wait for the answer to the next one."""
WATCH_LATE = 0.02
"""Seconds by which the look at pushes that stay away may be late: what comes at the very moment it is due saves it a
wake-up of its own."""
_GONE = select.EPOLLHUP | select.EPOLLERR

log = logging.getLogger("ksem_publisher.push")


class PushTaker(Protocol):
    """The meter that pushes belong to. Called in the listener's thread."""

    def on_opened(self, connection: PushConnection) -> None: ...

    def on_writes(self, connection: PushConnection, writes: Sequence[PushedWrite]) -> None: ...

    def may_wait(self, connection: PushConnection, places: Sequence[tuple[int, int]]) -> bool: ...

    def watch(self, now: float) -> float: ...

    def on_closed(self, connection: PushConnection) -> None: ...


class PushListener:
    """Listens on one port for the pushes of some meters."""

    def __init__(
        self,
        address: str,
        port: int,
        meters: Sequence[MeterSettings],
        takers: dict[str, PushTaker],
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._address, self._port = address, port
        self._takers = takers
        self._clock = clock
        self._peers = PushPeers(meters)
        self._written = {meter.id: WrittenRegisters() for meter in meters}
        self._open: dict[int, tuple[socket.socket, PushConnection]] = {}
        self._waiting: dict[tuple[socket.socket, PushConnection], float] = {}
        """Connections with writes that wait, and until when."""
        self._watch_due = 0.0
        self._quiet = QuietLog()
        self._resolved_at = float("-inf")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stranger = asyncio.Event()
        self._failed = asyncio.Event()
        self.why_closed: str | None = None
        """Why nobody can push; None while all is well."""

    @property
    def refused(self) -> tuple[str, ...]:
        """Peers that were refused, each with the settings line that would let it in."""
        return self._peers.refused(self._clock())

    async def run(self) -> None:
        """Listen until cancelled; an address that can't be listened on is tried again."""
        self._loop = asyncio.get_running_loop()
        while True:
            try:
                await self._resolve()
                listener = self._listen()
            except OSError as error:
                self._complain(f"can't listen on {self._address}:{self._port}: {error.strerror or error}")
                await asyncio.sleep(_REOPEN)
                continue
            self.why_closed = None
            log.info("listening for pushes on %s:%d", self._address, self._port)
            self._failed.clear()
            wake, waker = os.pipe()
            thread = threading.Thread(target=self._serve, args=(listener, wake), name="push", daemon=True)
            thread.start()
            try:
                await self._keep_resolving()
            finally:
                os.write(waker, b"!")
                thread.join(1.0)
                os.close(waker)
            await asyncio.sleep(_REOPEN)

    async def _keep_resolving(self) -> None:
        """Look names up again now and then, and soon after an unknown peer came; returns if the thread has failed."""
        while not self._failed.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESOLVE_EVERY):
                    await self._stranger.wait()
            if not self._failed.is_set():
                await asyncio.sleep(self._resolved_at + RESOLVE_SOON - self._clock())
                await self._resolve()

    async def _resolve(self) -> None:
        self._stranger.clear()
        self._resolved_at = self._clock()
        loop = asyncio.get_running_loop()
        for meter, name in self._peers.names:
            try:
                found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            except OSError as error:
                line = self._quiet.say(f"resolve {name}", f"{name}: {error.strerror}", self._clock())
                if line:
                    log.warning("the address of meter %s can't be found: %s", meter, line)
                continue
            self._peers.resolved(meter, (str(entry[4][0]) for entry in found))

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        listener = socket.create_server((self._address, self._port), family=family, backlog=_BACKLOG)
        listener.setblocking(False)
        return listener

    def _serve(self, listener: socket.socket, wake: int) -> None:
        """Answer until something is written to `wake`'s other end."""
        with listener, select.epoll() as ready:
            ready.register(listener, select.EPOLLIN)
            ready.register(wake, select.EPOLLIN)
            try:
                self._serve_until_woken(listener, wake, ready)
            except Exception:
                log.exception("the push listener failed; it is opened anew")
                self._tell_loop(self._failed, self._stranger)
            finally:
                for sock, connection in list(self._open.values()):
                    self._close(sock, connection)
                os.close(wake)

    def _serve_until_woken(self, listener: socket.socket, wake: int, ready: select.epoll) -> None:
        looked = now = self._clock()
        while True:
            sleep = WAIT if self._waiting else min(_TICK, max(0.0, self._watch_due + WATCH_LATE - now))
            found = ready.poll(sleep)
            now = self._clock()  # before anything is read: a stall in between makes it look older, never younger
            for descriptor, events in found:
                known = self._open.get(descriptor)
                if known is not None:
                    self._move(*known, events, ready, now)
                elif descriptor == wake:
                    return
                else:
                    self._accept(listener, ready)
            for sock, connection in [one for one, until in self._waiting.items() if now >= until]:
                self._move(sock, connection, 0, ready, now)
            if now >= self._watch_due:
                self._watch_due = min(taker.watch(now) for taker in self._takers.values())
            if now - looked >= _TICK:
                looked = now
                self._look_after(now)

    def _accept(self, listener: socket.socket, ready: select.epoll) -> None:
        try:
            sock, address = listener.accept()
        except OSError:
            return  # it has gone already
        peer, now = str(address[0]), self._clock()
        meter = self._peers.meter_of(peer)
        if meter is None:
            sock.close()
            self._peers.refuse(peer, now)
            self._tell_loop(self._stranger)
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        same = sorted((one for one in self._open.values() if one[1].peer == peer), key=lambda one: one[1].last_heard)
        for oldest in same[: max(0, len(same) + 1 - MOST_CONNECTIONS)]:
            self._close(*oldest)
        connection = PushConnection(peer, address[1], meter, self._written[meter], now)
        self._open[sock.fileno()] = sock, connection
        ready.register(sock, select.EPOLLIN)
        self._takers[meter].on_opened(connection)

    def _move(
        self, sock: socket.socket, connection: PushConnection, events: int, ready: select.epoll, now: float
    ) -> None:
        """Do what there is to do; no events: what has waited for long enough is handed on."""
        try:
            if not events:
                self._hand_on(sock, connection, now, wait=False)
            if events & select.EPOLLOUT:
                self._send(sock, connection, b"", ready)
            if events & (select.EPOLLIN | _GONE):
                data = sock.recv(READ_SIZE)
                answers = connection.take(data, now)
                if answers:
                    # The meter waits for this; everything else comes after it.
                    self._send(sock, connection, answers, ready)
                self._hand_on(sock, connection, now, wait=True)
                if not data:
                    self._hand_on(sock, connection, now, wait=False)
                    self._close(sock, connection)
        except BlockingIOError:
            pass
        except OSError:
            self._close(sock, connection)
        except BadFrame as error:
            self._give_up(sock, connection, f"what {connection.peer} sends is no Modbus TCP ({error})")
        except Exception as error:  # noqa: BLE001  (one meter's trouble must not end the pushes of the others)
            self._give_up(sock, connection, f"a push of {connection.peer} failed with {type(error).__name__}: {error}")

    def _hand_on(self, sock: socket.socket, connection: PushConnection, now: float, *, wait: bool) -> None:
        taker, written = self._takers[connection.meter], bool(connection.places)
        if written and wait and taker.may_wait(connection, connection.places):
            self._waiting.setdefault((sock, connection), now + WAIT)
            return
        self._waiting.pop((sock, connection), None)
        if written:
            taker.on_writes(connection, connection.writes())
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
            if now - connection.last_heard > IDLE_TIMEOUT:
                self._close(sock, connection)
        for line in self._quiet.due(now):
            log.warning("%s", line)

    def _close(self, sock: socket.socket, connection: PushConnection) -> None:
        if self._open.pop(sock.fileno(), None) is not None:
            sock.close()
            self._waiting.pop((sock, connection), None)
            self._takers[connection.meter].on_closed(connection)

    def _give_up(self, sock: socket.socket, connection: PushConnection, why: str) -> None:
        self._close(sock, connection)
        line = self._quiet.say(f"garbage {connection.peer}", f"{why}; connection closed", self._clock())
        if line:
            log.warning("%s", line)

    def _tell_loop(self, *events: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            for event in events:
                assert self._loop is not None
                self._loop.call_soon_threadsafe(event.set)

    def _complain(self, why: str) -> None:
        if why != self.why_closed:
            log.warning("%s; trying on", why)
        self.why_closed = why
