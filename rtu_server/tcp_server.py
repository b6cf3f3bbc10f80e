"""Modbus TCP server, read-only: serves the lines' registers. One thread for all clients of a port [shell]."""

import contextlib
import logging
import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from ksem_contract.block_message import BlockMessage
from ksem_contract.reasons import Reason
from modbus_codec.pdu import BadFrame
from rtu_server.answer_watch import AnswerWatch
from rtu_server.counters import LineCounters, UnitCounters, is_live
from rtu_server.reply_cache import DATA, Answer
from rtu_server.responder import Responder
from rtu_server.settings import TcpSettings
from rtu_server.tcp_session import AllowList, TcpSession
from service_runtime.clock import boottime
from service_runtime.news import QuietLog
from service_runtime.tcp_listener import open_listener
from service_runtime.threads import WatchedThread

MAX_READERS: Final = 64
IDLE: Final = 180.0
"""Seconds without a request after which a connection is closed."""
REOPEN: Final = 5.0
TURN: Final = 1.0
MAX_LINES: Final = 64
"""Log lines that wait for the main thread, at most."""
READ_SIZE: Final = 260
"""Bytes taken at a time: one frame of the largest size, or about twenty requests."""
REST: Final = 4
"""Rests after each answer, so many times as long as that took: the server works a fifth of the time at most, and the
lines, whose answers must begin at their moment, find the interpreter free."""
MAX_REST: Final = 0.05
"""Seconds of it at most: where the host stalled within an answer, the next client does not wait for that."""

log = logging.getLogger(__name__)


class TcpServer:
    """Serves clients until stopped; reopens its port whenever it fails."""

    def __init__(
        self,
        settings: TcpSettings,
        responder: Responder,
        on_port: Callable[[bool, tuple[Reason, ...]], None],
        limit_of: Callable[[BlockMessage], float] | None = None,
    ) -> None:
        """`limit_of`: how old a block may be, in seconds, for the check of sent answers."""
        self.settings = settings
        self._watch = AnswerWatch(f"TCP server {settings.name}", responder, limit_of)
        self._sample: tuple[bytes, Answer, float] | None = None
        """The newest answer with data."""
        self.counters = LineCounters({unit.id: UnitCounters() for unit in settings.unit})
        self._any_unit = settings.unit[0].id if settings.any_unit and len(settings.unit) == 1 else None
        self._responder = responder
        self._on_port = on_port
        self._peers = AllowList(settings.allow)
        self._selector = selectors.DefaultSelector()
        self._readers: dict[socket.socket, TcpSession] = {}
        self._quiet = QuietLog()
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._stopping = threading.Event()
        self._wake, self._waker = os.pipe()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self.thread = WatchedThread(f"tcp {settings.name}", self._run)

    def start(self) -> None:
        """Begin to serve as soon as the port is free."""
        self.thread.start()

    def begin_stop(self) -> None:
        """Let the thread close all connections and end."""
        self._stopping.set()
        os.write(self._waker, b"!")

    def stop(self) -> None:
        """Close all connections and end the thread."""
        self.begin_stop()
        self.thread.join(1.0)

    def _run(self) -> None:
        while self._goes_on():
            where = f"{self.settings.listen}:{self.settings.port}"
            try:
                listener = self._open()
            except (OSError, ValueError) as error:
                cause = getattr(error, "strerror", None) or error
                self._on_port(False, (Reason.of("tcp-port-closed", address=where, error=cause),))
                self._stopping.wait(REOPEN)
                continue
            self._on_port(True, (Reason.of("tcp-open", address=where),))
            try:
                self._serve(listener)
            except Exception as error:  # noqa: BLE001  # logged by the main thread
                self._on_port(False, (Reason.of("own-error", error=repr(error)),))
                self._stopping.wait(REOPEN)
            finally:
                self._selector.unregister(listener)
                listener.close()
                for connection in list(self._readers):
                    self._close(connection)

    def count_answers(self) -> None:
        """Check an answer and log what happened since the last call: the server's thread never logs."""
        sample, self._sample = self._sample, None
        if sample is not None:
            self._watch.look(*sample)
        while self._lines:
            log.warning("TCP server %s: %s", self.settings.name, self._lines.popleft())

    def _goes_on(self) -> bool:
        return self.thread.turned() and not self._stopping.is_set()

    def _open(self) -> socket.socket:
        wanted = self.settings
        listener = open_listener(wanted.listen, wanted.port, MAX_READERS)
        self._selector.register(listener, selectors.EVENT_READ)
        return listener

    def _serve(self, listener: socket.socket) -> None:
        looked = boottime()
        while self._goes_on():
            waiting = any(reader.requested for reader in self._readers.values())
            for key, events in self._selector.select(0 if waiting else TURN):
                if key.fileobj is listener:
                    self._accept(listener)
                elif isinstance(key.fileobj, socket.socket):
                    self._move(key.fileobj, events)
            for connection, reader in list(self._readers.items()):
                if reader.requested:
                    self._answer(connection, reader)
            now = boottime()
            if now - looked >= TURN:
                looked = now
                self._look_after(now)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, peer = listener.accept()
        except OSError:
            return  # it has gone already
        address = peer[0]
        if not self._peers.allows(address):
            connection.close()
            self._log("refused", f"refused a reader: to let it in put {address} into allow of its [[tcp]]")
            return
        if len(self._readers) >= MAX_READERS:
            self._close(min(self._readers, key=lambda one: self._readers[one].last))
            self._log("full", f"more than {MAX_READERS} readers: the one silent longest was closed")
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._readers[connection] = TcpSession(boottime())
        self._selector.register(connection, selectors.EVENT_READ)

    def _move(self, connection: socket.socket, events: int) -> None:
        reader = self._readers.get(connection)
        if reader is None:
            return
        try:
            if events & selectors.EVENT_READ:
                data = connection.recv(READ_SIZE)
                if not data:
                    raise ConnectionResetError
                reader.feed(data, boottime())
            if events & selectors.EVENT_WRITE:
                self._send(connection, reader)
            self._listen_for(connection, reader)
        except BlockingIOError:
            pass
        except OSError:
            self._close(connection)
        except BadFrame as bad:
            self.counters.noise += 1
            self._log("bad", f"a reader was closed, what it sent is not Modbus TCP: {bad}")
            self._close(connection)

    def _answer(self, connection: socket.socket, reader: TcpSession) -> None:
        began = boottime()
        request, answer = reader.answer_one(self._responder, began, self._any_unit)
        if answer.outcome == DATA:
            self._sample = (request, answer, began)
        try:
            self._send(connection, reader)
            self._listen_for(connection, reader)
        except OSError:
            self._close(connection)
        ended = boottime()
        counters = self.counters.units.get(request[0])
        if counters is None:
            self.counters.foreign += 1
        else:
            counters.note(request, answer.outcome, began)
            age = began - answer.measured if answer.outcome == DATA and is_live(request) else None
            counters.note_times(ended - began, age)
        time.sleep(min(REST * (ended - began), MAX_REST))

    def _send(self, connection: socket.socket, reader: TcpSession) -> None:
        if reader.unsent:
            with contextlib.suppress(BlockingIOError):
                reader.unsent = reader.unsent[connection.send(reader.unsent) :]

    def _listen_for(self, connection: socket.socket, reader: TcpSession) -> None:
        """Read on once all is answered, and write on while something is left."""
        wanted = (selectors.EVENT_READ if reader.is_admitted else 0) | (selectors.EVENT_WRITE if reader.unsent else 0)
        known = connection in self._selector.get_map()
        if not wanted:
            if known:
                self._selector.unregister(connection)
        elif not known:
            self._selector.register(connection, wanted)
        elif self._selector.get_key(connection).events != wanted:
            self._selector.modify(connection, wanted)

    def _look_after(self, now: float) -> None:
        for connection, reader in list(self._readers.items()):
            if now - reader.last > IDLE:
                self._close(connection)
        self._lines.extend(self._quiet.due(now))

    def _close(self, connection: socket.socket) -> None:
        self._readers.pop(connection, None)
        if connection in self._selector.get_map():
            self._selector.unregister(connection)
        connection.close()

    def _log(self, kind: str, text: str) -> None:
        line = self._quiet.line(kind, text, boottime())
        if line is not None:
            self._lines.append(line)
