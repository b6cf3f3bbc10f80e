"""The listener on real sockets of this machine: who may push, in which order, and what ends a connection."""

import asyncio
import errno
import gc
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path

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
        self.watched = threading.Semaphore(0)
        self.watch_every = inf
        self.watch_fails = False
        self.open: list[PushConnection] = []
        self.ever_open: list[PushConnection] = []

    def watch(self, now: float) -> float:
        if self.watch_fails:
            raise RuntimeError("a mistake")
        self.watched.release()
        return now + self.watch_every

    def on_opened(self, connection: PushConnection) -> None:
        self.open.append(connection)
        self.ever_open.append(connection)

    def on_writes(self, connection: PushConnection, writes: Sequence[PushedWrite]) -> None:
        assert self.go_on.wait(5)
        assert connection in self.open, "nothing may come of a connection that is closed"
        if self.failing:
            raise RuntimeError("a mistake")
        self.writes += writes
        self.taken.release()

    def on_moved(self, now: float) -> None: ...

    def on_closed(self, connection: PushConnection) -> None:
        self.open.remove(connection)
        self.closed.release()


@asynccontextmanager
async def listening(
    taker: Taker, host: str = "127.0.0.1", address: str = "127.0.0.1"
) -> AsyncIterator[tuple[PushListener, int]]:
    port = free_port()
    listener = PushListener(address, port, [MeterSettings(host=host)], {"main": taker})
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


def _connect(port: int, host: str = "127.0.0.1", source: str = "") -> socket.socket:
    return socket.create_connection((host, port), timeout=5, source_address=(source, 0) if source else None)


def _answered(port: int, host: str = "127.0.0.1", source: str = "") -> bool:
    """Whether a push is taken."""
    try:
        with _connect(port, host, source) as meter:
            meter.sendall(WRITE)
            return meter.recv(100) == ANSWER
    except OSError:
        return False


async def _until(holds: Callable[[], bool], within: float = 10.0) -> None:
    def wait() -> None:
        deadline = time.monotonic() + within
        while not holds():
            assert time.monotonic() < deadline, f"not within {within} s"
            time.sleep(0.01)

    await asyncio.to_thread(wait)


class NameServer:
    """Stands in for the names of a network."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **names: list[str]) -> None:
        self.names = names
        self.answers = threading.Event()
        self.answers.set()
        self.requested = threading.Semaphore(0)
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, port: object, *args: object, **options: object) -> object:
        if host not in self.names:
            return self._real(host, port, *args, **options)  # type: ignore[arg-type]
        self.requested.release()
        assert self.answers.wait(20)
        if not self.names[host]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in self.names[host]]


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


def test_a_stranger_is_refused_and_told_of() -> None:
    async def main() -> None:
        taker = Taker()
        async with listening(taker, host="127.0.0.9") as (listener, port):
            with _connect(port) as stranger:
                assert await asyncio.to_thread(stranger.recv, 100) == b""
            assert "127.0.0.1" in listener.refused("main")[0].text

    asyncio.run(main())


@pytest.mark.promise(10)
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


@pytest.mark.promise(10)
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


def test_the_port_is_open_and_serves_addresses_while_a_name_server_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = NameServer(monkeypatch, silent=["127.0.0.2"])
    names.answers.clear()

    async def main() -> None:
        takers = {"named": Taker(), "main": Taker()}
        port = free_port()
        meters = [MeterSettings(id="named", host="silent"), MeterSettings(host="127.0.0.1")]
        listener = PushListener("127.0.0.1", port, meters, takers)
        task = asyncio.create_task(listener.run())
        try:
            await _until(lambda: _accepts(port))
            assert await asyncio.to_thread(_answered, port)
            assert not await asyncio.to_thread(_answered, port, source="127.0.0.2")
            assert listener.refused("named") == (), "it may be the meter's"
            names.answers.set()
            await _until(lambda: _answered(port, source="127.0.0.2"))
        finally:
            names.answers.set()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_a_connection_from_an_address_that_a_name_no_longer_means_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_listener, "RESOLVE_EVERY", 0.05)
    names = NameServer(monkeypatch, ksem=["127.0.0.5"])

    async def main() -> None:
        taker = Taker()
        async with listening(taker, host="ksem") as (_, port):
            await _until(lambda: _answered(port, source="127.0.0.5"))
            with _connect(port, source="127.0.0.5") as meter:
                names.names["ksem"] = ["127.0.0.6"]
                assert await asyncio.to_thread(meter.recv, 100) == b""
            assert not await asyncio.to_thread(_answered, port, source="127.0.0.5")
            assert await asyncio.to_thread(_answered, port, source="127.0.0.6")
            names.names["ksem"] = []
            for _ in range(4):
                assert await asyncio.to_thread(names.requested.acquire, timeout=5)
            assert await asyncio.to_thread(_answered, port, source="127.0.0.6"), "a name server that fails ends nothing"

    asyncio.run(main())


def test_a_new_connection_by_name_has_the_name_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_listener, "RESOLVE_SOON", 0.0)
    names = NameServer(monkeypatch, ksem=["127.0.0.5"])

    async def main() -> None:
        taker = Taker()
        async with listening(taker, host="ksem") as (_, port):
            await _until(lambda: _answered(port, source="127.0.0.5"))
            names.names["ksem"] = ["127.0.0.6"]
            with _connect(port, source="127.0.0.5") as meter:
                assert await asyncio.to_thread(meter.recv, 100) == b""

    asyncio.run(main())


def test_names_that_can_be_none_do_not_keep_the_port_shut() -> None:
    async def main() -> None:
        taker = Taker()
        async with listening(taker, host="ksem..lan") as (listener, port):
            assert not await asyncio.to_thread(_answered, port)
            await _until(lambda: bool(not _answered(port) and listener.refused("main")))

    asyncio.run(main())


def test_an_address_to_listen_on_that_can_be_none_is_reported() -> None:
    async def main() -> None:
        listener = PushListener("ksem..lan", free_port(), [MeterSettings(host="127.0.0.1")], {"main": Taker()})
        task = asyncio.create_task(listener.run())
        await _until(lambda: "can't listen on ksem..lan" in str(listener.why_closed))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


@pytest.mark.parametrize("any_address", ["::", "0::0"])
def test_the_wildcard_of_ipv6_takes_pushes_over_both(any_address: str) -> None:
    async def main() -> None:
        taker = Taker()
        async with listening(taker, address=any_address) as (_, port):
            assert await asyncio.to_thread(_answered, port)
        async with listening(taker, address=any_address, host="::1") as (_, port):
            assert await asyncio.to_thread(_answered, port, "::1")

    asyncio.run(main())


def _descriptors() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_listener_that_fails_is_opened_anew_and_leaves_no_descriptor_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_listener, "_REOPEN", 0.01)

    async def main() -> None:
        taker = Taker()
        taker.watch_every = 0.0
        async with listening(taker) as (listener, port):
            await asyncio.to_thread(_answered, port)
            before = _descriptors()
            for _ in range(5):
                taker.watch_fails = True
                await _until(lambda: listener.why_closed is not None)
                taker.watch_fails = False
                await _until(lambda: _answered(port))
            await _until(lambda: _descriptors() <= before)

    asyncio.run(main())


def test_nothing_is_kept_of_peers_that_never_read_their_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_listener, "MOST_UNSENT", 200_000)

    async def main() -> None:
        taker = Taker()
        async with listening(taker) as (_, port):

            def shout() -> None:
                with socket.socket() as deaf, pytest.raises(OSError, match=r"[Rr]eset|[Bb]roken"):
                    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                    deaf.connect(("127.0.0.1", port))
                    deaf.settimeout(5)
                    deaf.sendall(WRITE_MANY)
                    while True:
                        deaf.sendall(100 * (READ_MANY + WRITE_MANY))

            await asyncio.to_thread(shout)
            await _until(lambda: not taker.open)
            assert [one for one in taker.ever_open if one.unsent] == []

    asyncio.run(main())


def test_without_a_descriptor_left_open_connections_go_on_and_new_ones_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_listener, "_REOPEN", 0.05)
    real, failing = socket.socket.accept, threading.Event()
    failed = threading.Semaphore(0)

    def accept(self: socket.socket) -> tuple[socket.socket, object]:
        if failing.is_set():
            failed.release()
            raise OSError(errno.EMFILE, "Too many open files")
        return real(self)

    async def main() -> None:
        taker = Taker()
        async with listening(taker) as (_, port):
            with _connect(port) as meter:
                meter.sendall(WRITE)
                assert await asyncio.to_thread(meter.recv, 100) == ANSWER
                monkeypatch.setattr(socket.socket, "accept", accept)
                failing.set()
                with _connect(port) as other:
                    for _ in range(2):
                        assert await asyncio.to_thread(failed.acquire, timeout=5)
                    meter.sendall(WRITE)
                    assert await asyncio.to_thread(meter.recv, 100) == ANSWER
                    failing.clear()
                    other.sendall(WRITE)
                    assert await asyncio.to_thread(other.recv, 100) == ANSWER

    asyncio.run(main())
