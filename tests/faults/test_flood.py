"""Whatever is sent to us, memory, descriptors and threads do not grow, the log stays short, and data flows after it."""

import json
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

import pytest

from ksem_contract.block_message import Pong
from modbus_codec.crc import append_crc
from service_runtime.clock import boottime
from tests.bridge.service import Service
from tests.chain import Chain
from tests.unit.rtu_server.blocks import block

from .ear import Ear
from .log_lines import quiet
from .processes import Footprint, await_calm
from .raw_line import line_fault

FAMILY = "flood"
GROWTH_KB: Final = 2048
WARM_UP = 3.0
FLOOD = 6.0


@contextmanager
def holding_still(service: Service, flood: Callable[[], None]) -> Iterator[Footprint]:
    """Flood for a while, which warms up, then again: what the service holds must not grow with it.

    Gives what it held before; what is done in the `with` block belongs to the flood.
    """
    before = Footprint.of(service.pid)
    repeat(flood, WARM_UP)
    warm = await_calm(service.pid, before.descriptors, before.threads)
    yield before
    repeat(flood, FLOOD)
    after = await_calm(service.pid, before.descriptors, before.threads)
    assert after.rss_kb - warm.rss_kb < GROWTH_KB, f"warm {warm}, after the flood {after}"


def repeat(work: Callable[[], None], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        work()


class TopicGarbage:
    """What anybody who may write to the topics could send: forged blocks of ever new sessions and names, no JSON."""

    def __init__(self, probe: Ear) -> None:
        self._ear = probe
        self._chance = random.Random(11)

    def __call__(self) -> None:
        for _ in range(15):
            for topic, payload in self._batch():
                self._ear.shout(topic, payload)

    def _batch(self) -> Iterator[tuple[str, bytes]]:
        chance, now = self._chance, boottime()
        session = f"{chance.getrandbits(32):08x}"
        name = f"r{chance.randrange(9000, 39000)}-8"
        yield "ksem/main/block/live", block(at=now, fill=chance.randrange(300, 60000), session=session).encode()
        yield f"ksem/main/block/{name}", block(name, start=int(name[1:-2]), count=8, at=now, session=session).encode()
        yield "ksem/main/pong/attic", Pong("main", "attic", session, session, int(now * 1000)).encode()
        yield "ksem/main/block/live", chance.randbytes(chance.randrange(2000))
        yield "ksem/main/block/" + "x" * chance.randrange(1, 200), b"{}"
        yield "ksem/main/pong/attic", b"[" * chance.randrange(5000)
        yield "ksem/main/block/live", json.dumps({"v": 1, "registers": [1e308] * chance.randrange(500)}).encode()
        yield "ksem/main/status", chance.randbytes(8)


class LineGarbage:
    """Noise, and requests to us that are never the same."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._chance = random.Random(12)

    def __call__(self) -> None:
        chance = self._chance
        body = bytes((1, chance.randrange(256))) + chance.randbytes(chance.choice((4, 4, 4, 1, 9, 40)))
        frames = [append_crc(body), chance.randbytes(chance.randrange(1, 300))]
        self._chain.inverter.raw(*(one.hex() for one in frames), gap_ms=20, listen_ms=10)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.promise(9, 10)
def test_garbage_on_topics_and_line_makes_the_rtu_server_grow_by_nothing(chain: Chain) -> None:
    # The garbage itself, requests asked for the first time, and a unit that is not asked for seconds.
    with (
        line_fault(chain, "garbage on the topics and on the line", family=FAMILY, lines=30),
        Ear(chain.broker.port) as probe,
    ):
        topics, line = TopicGarbage(probe), LineGarbage(chain)

        def flood() -> None:
            topics()
            line()

        with holding_still(chain.server, flood):
            pass


class PushGarbage:
    """Peers of the push port that are no KSEM, at the meter's own address and at another one."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._chance = random.Random(13)

    def connect(self, source: str) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), timeout=2, source_address=(source, 0))

    def __call__(self) -> None:
        for source in ("127.0.0.1", "127.0.0.9"):
            for data in self._pieces():
                # It may be refused, or closed on us, at any of these steps.
                with suppress(OSError), self.connect(source) as peer:
                    peer.sendall(data)
                    peer.settimeout(0.02)
                    peer.recv(4096)

    def _pieces(self) -> Iterator[bytes]:
        chance = self._chance
        yield chance.randbytes(chance.randrange(1, 3000))
        yield struct.pack(">HHH", 1, 0, 0xFFFF) + bytes(100)
        yield struct.pack(">HHH", 1, 7, 6) + bytes(6)
        yield struct.pack(">HHHB", 1, 0, 200, 1) + bytes(30)
        yield b"GET / HTTP/1.1\r\n\r\n"
        # Writes that are well-formed, far from what we publish, and never the same.
        for _ in range(20):
            start = chance.randrange(10_000, 60_000)
            yield struct.pack(">HHHBBHHBH", 1, 0, 9, 1, 16, start, 1, 2, 0xDEAD)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.promise(10)
def test_garbage_slow_peers_and_200_connections_make_the_publisher_grow_by_nothing(chain: Chain) -> None:
    """Polling carries the live data where the peer's connections push out the meter's own."""
    garbage = PushGarbage(chain.push_port)
    with (
        quiet(chain.publisher, at_most=200 + 20),  # each kind of write once, up to its bound
        line_fault(chain, "garbage, slow peers and 200 connections on the push port", family=FAMILY, lines=4),
        ExitStack() as open_ones,
        holding_still(chain.publisher, garbage) as before,
    ):
        slow = [open_ones.enter_context(garbage.connect(f"127.0.0.{1 + number % 3}")) for number in range(200)]
        during = await_calm(chain.publisher.pid, before.descriptors + 12, before.threads)
        for byte in struct.pack(">HHHBBHHB", 1, 0, 200, 1, 16, 10_000, 96, 192):
            for peer in slow:
                with suppress(OSError):  # refused, or closed for a newer one
                    peer.send(bytes((byte,)))
            time.sleep(0.1)  # slowly: a byte each
        assert during.threads == before.threads
        open_ones.close()
