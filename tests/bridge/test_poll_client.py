"""The poll client against a simulated meter with every fault, plain and over TLS."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksem_contract.blocks import DEVICE
from ksem_contract.registers import RegisterRange
from ksem_publisher.poll_client import PollClient, PollError, RefusedError
from ksem_simulators.simulator import KsemHandle

from .broker import free_port
from .certificates import make_certificates

TOTALS = RegisterRange(0, 28)
INTERVAL = RegisterRange(8244, 1)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "tls"])
def meter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[KsemHandle, bool]]:
    folder: Path = tmp_path_factory.mktemp("meter")
    options: tuple[str, ...] = ()
    if request.param:
        made = make_certificates(folder)
        options = ("--tls", "--tls-cert", str(made.server_cert), "--tls-key", str(made.server_key))
    with KsemHandle(folder, options=options) as ksem:
        yield ksem, request.param


def client_of(meter: tuple[KsemHandle, bool]) -> PollClient:
    return PollClient("127.0.0.1", meter[0].port, unit=1, timeout=0.3, tls=meter[1])


def test_registers_are_read(meter: tuple[KsemHandle, bool]) -> None:
    async def scene() -> None:
        client = client_of(meter)
        await client.connect()
        registers = await client.read(DEVICE)
        assert (len(registers), registers[8244 - 8192]) == (58, 200)
        client.close()

    asyncio.run(scene())


def test_an_exception_is_told_with_its_code_and_keeps_the_connection(meter: tuple[KsemHandle, bool]) -> None:
    async def scene() -> None:
        client = client_of(meter)
        await client.connect()
        with pytest.raises(RefusedError, match=r"read 9000-9009 from .*exception 2") as caught:
            await client.read(RegisterRange(9000, 10))
        assert caught.value.code == 2
        assert client.connected
        client.close()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("fault", "reported"),
    [
        ("silent", "no answer in 0.3 s"),
        ("short", "28 registers requested, 27 came"),
        ("late", "no answer"),
        ("close", "closed the connection"),
        ("wrong-transaction", "transaction"),
        ("wrong-unit", "unit 99"),
        ("garbage", "transaction"),
    ],
)
def test_after_anything_but_a_good_answer_the_connection_is_closed_and_the_next_one_is_right(
    meter: tuple[KsemHandle, bool], fault: str, reported: str
) -> None:
    async def scene() -> None:
        client = client_of(meter)
        await client.connect()
        meter[0].command("fault", name=fault, seconds=0.5)
        with pytest.raises(PollError, match=reported):
            await client.read(TOTALS)
        meter[0].command("clear")
        assert not client.connected
        await client.connect()
        assert await client.read(INTERVAL) == (200,)
        client.close()

    asyncio.run(scene())


def test_a_cancelled_read_closes_the_connection(meter: tuple[KsemHandle, bool]) -> None:
    async def scene() -> None:
        client = client_of(meter)
        await client.connect()
        meter[0].command("fault", name="late", seconds=0.2)
        reading = asyncio.create_task(client.read(TOTALS))
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        meter[0].command("clear")
        assert not client.connected

    asyncio.run(scene())


def test_a_meter_that_is_not_there_is_told() -> None:
    async def scene() -> None:
        with pytest.raises(PollError, match="no connection"):
            await PollClient("127.0.0.1", free_port(), unit=1, timeout=0.3, tls=False).connect()

    asyncio.run(scene())


def test_a_name_whose_first_address_is_dead_is_reached_by_the_next(
    meter: tuple[KsemHandle, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        # A listener whose queue is full drops what comes, as a router without the route does.
        with socket.create_server(("127.0.0.2", meter[0].port), backlog=0), contextlib.ExitStack() as stack:
            for _ in range(2):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.2", meter[0].port))
            loop = asyncio.get_running_loop()

            async def names(*_: object, **__: object) -> list[tuple[object, ...]]:
                return [(2, 1, 6, "", (host, meter[0].port)) for host in ("127.0.0.2", "127.0.0.1")]

            client = PollClient("meter.test", meter[0].port, unit=1, timeout=0.3, tls=meter[1])
            monkeypatch.setattr(loop, "getaddrinfo", names)
            begun = loop.time()
            await client.connect()
            assert loop.time() - begun < 2
            monkeypatch.undo()
            assert await client.read(INTERVAL) == (200,)
            monkeypatch.setattr(loop, "getaddrinfo", names)
            begun = loop.time()
            await client.connect()
            assert loop.time() - begun < 0.5, "the good address is tried first"
            client.close()

    asyncio.run(scene())
