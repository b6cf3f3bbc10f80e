"""The listener on real sockets of this machine: who may push, in which order, and what ends a connection."""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from math import inf

import pytest

from ksem_publisher import push_listener
from ksem_publisher.push_connection import PushConnection, PushedWrite
from ksem_publisher.push_listener import PushListener
from ksem_publisher.settings import MeterSettings
from tests.bridge.broker import free_port

WRITE = struct.pack(">HHHBBHHBH", 7, 0, 9, 1, 16, 0, 1, 2, 4711)
WRITE_MANY = struct.pack(">HHHBBHHB123H", 7, 0, 253, 1, 16, 0, 123, 246, *range(123))
READ_MANY = struct.pack(">HHHBBHH", 7, 0, 6, 1, 3, 0, 123)
ANSWER = struct.pack(">HHHBBHH", 7, 0, 6, 1, 16, 0, 1)


class Taker:
    """A meter's end that can be told to wait."""

    def __init__(self) -> None:
        self.writes: list[PushedWrite] = []
        self.closed = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()
        self.taken = threading.Semaphore(0)
        self.failing = False
        self.begins = False
        self.watched = threading.Semaphore(0)
        self.watch_every = inf

    def may_wait(self, connection: PushConnection, places: Sequence[tuple[int, int]]) -> bool:
        return self.begins and len(places) == 1

    def watch(self, now: float) -> float:
        self.watched.release()
        return now + self.watch_every

    def on_opened(self, connection: PushConnection) -> None: ...

    def on_writes(self, connection: PushConnection, writes: Sequence[PushedWrite]) -> None:
        assert self.go_on.wait(5)
        if self.failing:
            raise RuntimeError("a mistake")
        self.writes += writes
        self.taken.release()

    def on_closed(self, connection: PushConnection) -> None:
        self.closed.release()


@asynccontextmanager
async def listening(taker: Taker, host: str = "127.0.0.1") -> AsyncIterator[tuple[PushListener, int]]:
    port = free_port()
    listener = PushListener("127.0.0.1", port, [MeterSettings(host=host)], {"main": taker})
    task = asyncio.create_task(listener.run())
    await asyncio.to_thread(_await_open, port)
    try:
        yield listener, port
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _accepts(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(1)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _await_open(port: int) -> None:
    deadline = time.monotonic() + 5
    while not _accepts(port):
        assert time.monotonic() < deadline, "it never listened"
        time.sleep(0.005)


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_write_is_answered_before_anything_else_is_done_with_it() -> None:
    async def main() -> None:
        taker = Taker()
        taker.go_on.clear()
        async with listening(taker) as (_, port):
            with _connect(port) as meter:
                meter.sendall(WRITE)
                assert await asyncio.to_thread(meter.recv, 100) == ANSWER
                assert taker.writes == []
                taker.go_on.set()
                assert await asyncio.to_thread(taker.taken.acquire, timeout=5)
                assert [(one.function, one.start, one.registers) for one in taker.writes] == [(16, 0, (4711,))]

    asyncio.run(main())


def test_the_beginning_of_a_cycle_is_handed_on_with_its_end_and_both_are_answered_before() -> None:
    async def main() -> None:
        taker = Taker()
        taker.begins = True
        taker.go_on.clear()
        async with listening(taker) as (_, port):
            with _connect(port) as meter:
                for _ in range(2):
                    meter.sendall(WRITE)
                    assert await asyncio.to_thread(meter.recv, 100) == ANSWER
                taker.go_on.set()
                assert await asyncio.to_thread(taker.taken.acquire, timeout=5)
                assert len(taker.writes) == 2

    asyncio.run(main())


def test_a_beginning_that_nothing_follows_is_handed_on_alone() -> None:
    async def main() -> None:
        taker = Taker()
        taker.begins = True
        async with listening(taker) as (_, port):
            with _connect(port) as meter:
                meter.sendall(WRITE)
                assert await asyncio.to_thread(meter.recv, 100) == ANSWER
                assert await asyncio.to_thread(taker.taken.acquire, timeout=5)
                assert len(taker.writes) == 1

    asyncio.run(main())


def test_a_stranger_is_refused_and_told_of() -> None:
    async def main() -> None:
        taker = Taker()
        async with listening(taker, host="127.0.0.9") as (listener, port):
            with _connect(port) as stranger:
                assert await asyncio.to_thread(stranger.recv, 100) == b""
            assert "127.0.0.1" in listener.refused[0]

    asyncio.run(main())


def test_garbage_closes_the_connection_and_others_go_on() -> None:
    async def main() -> None:
        taker = Taker()
        async with listening(taker) as (_, port):
            with _connect(port) as good, _connect(port) as bad:
                bad.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert await asyncio.to_thread(bad.recv, 100) == b""
                good.sendall(WRITE)
                assert await asyncio.to_thread(good.recv, 100) == ANSWER

    asyncio.run(main())


def test_a_mistake_over_one_push_does_not_end_the_pushes_of_others() -> None:
    async def main() -> None:
        taker = Taker()
        taker.failing = True
        async with listening(taker) as (_, port):
            with _connect(port) as one:
                one.sendall(WRITE)
                assert await asyncio.to_thread(one.recv, 100) == ANSWER
                assert await asyncio.to_thread(one.recv, 100) == b""
            taker.failing = False
            with _connect(port) as other:
                other.sendall(WRITE)
                assert await asyncio.to_thread(other.recv, 100) == ANSWER
                assert await asyncio.to_thread(taker.taken.acquire, timeout=5)

    asyncio.run(main())


def test_the_oldest_connection_of_a_peer_makes_room() -> None:
    async def main() -> None:
        taker = Taker()
        async with listening(taker) as (_, port):
            sockets = []
            for _ in range(push_listener.MOST_CONNECTIONS + 1):
                sockets.append(_connect(port))
                sockets[-1].sendall(WRITE)
                assert await asyncio.to_thread(sockets[-1].recv, 100) == ANSWER
            assert await asyncio.to_thread(sockets[0].recv, 100) == b""
            for sock in sockets:
                sock.close()

    asyncio.run(main())


def test_a_peer_that_does_not_read_its_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_listener, "MOST_UNSENT", 1000)

    async def main() -> None:
        taker = Taker()
        async with listening(taker) as (_, port):
            with socket.socket() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                deaf.connect(("127.0.0.1", port))
                deaf.settimeout(5)
                deaf.sendall(WRITE_MANY)

                def shout() -> None:
                    with pytest.raises(OSError, match=r"[Rr]eset|[Bb]roken"):
                        while True:
                            deaf.sendall(100 * READ_MANY)

                await asyncio.to_thread(shout)
            assert await asyncio.to_thread(taker.closed.acquire, timeout=5)

    asyncio.run(main())


def test_the_end_closes_what_is_open_and_frees_the_port() -> None:
    async def main() -> None:
        taker = Taker()
        async with listening(taker) as (_, port):
            meter = _connect(port)
            meter.sendall(WRITE)
            assert await asyncio.to_thread(meter.recv, 100) == ANSWER
        assert await asyncio.to_thread(meter.recv, 100) == b""
        assert not _accepts(port)
        meter.close()

    asyncio.run(main())


def test_pushes_that_stay_away_are_looked_for_though_nothing_comes() -> None:
    async def main() -> None:
        taker = Taker()
        taker.watch_every = 0.05
        async with listening(taker):
            for _ in range(4):
                assert await asyncio.to_thread(taker.watched.acquire, timeout=5)

    asyncio.run(main())


def test_once_given_up_a_meter_is_looked_for_again_after_it_has_written() -> None:
    async def main() -> None:
        taker = Taker()
        async with listening(taker) as (_, port):
            assert await asyncio.to_thread(taker.watched.acquire, timeout=5)
            with _connect(port) as meter:
                meter.sendall(WRITE)
                assert await asyncio.to_thread(meter.recv, 100) == ANSWER
                begun = time.monotonic()
                assert await asyncio.to_thread(taker.watched.acquire, timeout=5)
                assert time.monotonic() - begun > 0.3, "it is looked for in time, not at once"

    asyncio.run(main())
