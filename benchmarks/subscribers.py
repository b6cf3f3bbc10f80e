"""Runs many subscribed nodes in one thread, over raw MQTT 3.1.1, so that they cost little themselves [shell]."""

import re
import selectors
import socket
import threading
import time
from typing import Final, Self

from ksem_contract.block_message import Ping
from ksem_contract.freshness import PING_EVERY
from ksem_contract.topics import Topics

_CONNECT, _SUBSCRIBE, _PUBLISH = 0x10, 0x82, 0x30
LEARNING: Final = 2.0
"""Seconds within which each node has sent two pings: the second pong holds how seldom it may send them."""
_EVERY: Final = re.compile(rb'"every_ms":(\d+)')


def _text(text: str) -> bytes:
    return len(text).to_bytes(2) + text.encode()


def _packet(kind: int, body: bytes) -> bytes:
    length, rest = bytearray(), len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length.append(digit | (128 if rest else 0))
        if not rest:
            return bytes((kind, *length)) + body


class Subscribers:
    """So many nodes, subscribed to a meter's blocks, status and pongs as an RTU server is; `pings`: each polls the
    publisher's clock every 10 s, or as seldom as it wishes, as an RTU server does. `topic`: subscribe to this alone.
    After `LEARNING` their pings lie evenly spread.
    """

    def __init__(self, port: int, count: int, *, pings: bool, topic: str = "") -> None:
        self._port = port
        self._count = count
        self._pings = pings
        self._topic = topic
        self._stopping = threading.Event()
        self._sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.received = 0

    def __enter__(self) -> Self:
        topics = Topics()
        for number in range(self._count):
            sock = socket.create_connection(("127.0.0.1", self._port))
            node = f"node-{number}"
            sock.sendall(_packet(_CONNECT, _text("MQTT") + bytes((4, 2, 0, 0)) + _text(f"bench-{node}")))
            wanted = [self._topic] if self._topic else [topics.meter_blocks("main"), topics.meter_status("main")]
            wanted += [] if self._topic else [topics.pong("main", node)]
            body = b"\0\1" + b"".join(_text(one) + b"\0" for one in wanted)
            sock.sendall(_packet(_SUBSCRIBE, body))
            self._sockets.append(sock)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(2)
        for sock in self._sockets:
            sock.close()

    def _run(self) -> None:
        topics = Topics()
        now = time.monotonic()
        nonce, requested, due = 0, [0] * self._count, [now + node / self._count for node in range(self._count)]
        every = PING_EVERY
        with selectors.DefaultSelector() as selector:
            for sock in self._sockets:
                selector.register(sock, selectors.EVENT_READ)
            while not self._stopping.is_set():
                for key, _ in selector.select(0.1):
                    assert isinstance(key.fileobj, socket.socket)
                    received = key.fileobj.recv(65536)
                    self.received += len(received)
                    pace = _EVERY.search(received)
                    every = int(pace[1]) / 1000 if pace else every
                now = time.monotonic()
                for node in [node for node, at in enumerate(due) if self._pings and at <= now]:
                    ping = topics.ping("main", f"node-{node}")
                    self._sockets[node].sendall(_packet(_PUBLISH, _text(ping) + Ping(f"{nonce:08x}").encode()))
                    nonce, requested[node] = nonce + 1, requested[node] + 1
                    spread = (node + 1) / self._count if requested[node] == 2 else 1.0
                    due[node] = now + (LEARNING / 2 - 0.1 if requested[node] == 1 else every * spread)
