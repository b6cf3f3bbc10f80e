"""A bare MQTT 5 client for scripts: one socket, no thread, every packet when it is told to."""

import contextlib
import socket
import struct

from simulation.broker import Message, Subscription

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14
_EXPIRY = 2
"""Property: Message Expiry Interval."""


class ConnectionLost(Exception):
    """The broker has closed the connection."""


def _text(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack(">H", len(raw)) + raw


def _packet(kind: int, flags: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while True:
        size, digit = divmod(size, 128)
        length += bytes((digit | (0x80 if size else 0),))
        if not size:
            return bytes((kind << 4 | flags,)) + length + body


class WireClient:
    """Connects at once. `received` holds what came; it is complete after `settle`."""

    def __init__(self, port: int, client: str, user: str, will: Message | None, keepalive: int) -> None:
        self.received: list[Message] = []
        self.closed = False
        self._id = 0
        self._buffer = b""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        flags = 0x02 | 0x80
        body = b"\0" + _text(client)
        if will is not None:
            flags |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
            body += b"\0" + _text(will.topic) + _text(will.payload)
        body += _text(user)
        self._send(CONNECT, 0, _text("MQTT") + bytes((5, flags)) + struct.pack(">H", keepalive) + body)
        self._await(CONNACK)

    def publish(self, message: Message) -> None:
        """Returns when the broker has it."""
        self._id += 1
        body = _text(message.topic) + (struct.pack(">H", self._id) if message.qos else b"")
        properties = b"" if message.expiry is None else bytes((_EXPIRY,)) + struct.pack(">I", message.expiry)
        body += bytes((len(properties),)) + properties + message.payload
        self._send(PUBLISH, message.qos << 1 | message.retain, body)
        if message.qos:
            self._await(PUBACK)
        else:
            self.settle()

    def subscribe(self, wanted: Subscription) -> None:
        self._id += 1
        options = bytes((wanted.qos | (4 if wanted.no_local else 0),))
        self._send(SUBSCRIBE, 2, struct.pack(">H", self._id) + b"\0" + _text(wanted.pattern) + options)
        self._await(SUBACK)
        self.settle()

    def settle(self) -> None:
        """All that the broker has sent until now is received."""
        self._send(PINGREQ, 0, b"")
        self._await(PINGRESP)

    def is_closed(self) -> bool:
        """Waits for the broker to close the connection, for the rest of what it sent."""
        with contextlib.suppress(ConnectionLost):
            self._await(-1)
        return self.closed

    def disconnect(self) -> None:
        self._send(DISCONNECT, 0, b"")
        self.is_closed()
        self._socket.close()

    def drop(self) -> None:
        """Without a goodbye."""
        self._socket.close()

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        try:
            self._socket.sendall(_packet(kind, flags, body))
        except OSError as error:
            self.closed = True
            raise ConnectionLost from error

    def _await(self, wanted: int) -> None:
        while True:
            kind, flags, body = self._next()
            if kind == PUBLISH:
                self._take(flags, body)
            if kind == wanted:
                return

    def _next(self) -> tuple[int, int, bytes]:
        head = self._read(1)[0]
        size = shift = 0
        while True:
            digit = self._read(1)[0]
            size |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                break
        return head >> 4, head & 0x0F, self._read(size)

    def _read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            try:
                data = self._socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                self.closed = True
                raise ConnectionLost
            self._buffer += data
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _take(self, flags: int, body: bytes) -> None:
        size = int.from_bytes(body[:2])
        topic, at = body[2 : 2 + size].decode(), 2 + size
        qos = flags >> 1 & 3
        if qos:
            self._send(PUBACK, 0, body[at : at + 2])
            at += 2
        payload = body[at + 1 + body[at] :]
        self.received.append(Message(topic, payload, qos, bool(flags & 1)))
