"""Who pushes: names that move, addresses that mean two meters, two meters behind one address. On the wire and MQTT."""

import asyncio
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import pytest

from ksem_contract.block_message import BlockMessage
from ksem_publisher import push_listener
from ksem_publisher.service import build
from ksem_publisher.settings import PublisherSettings
from ksem_simulators.simulator import KsemHandle
from ksem_simulators.truth import Block, TruthReader
from service_runtime.settings import load
from tests.faults.namespaces import may_make_networks

from .broker import Broker, free_port
from .meter_audience import MeterAudience
from .service import Service

WRITE = struct.pack(">HHHBBHHBH", 7, 0, 9, 1, 16, 9000, 1, 2, 4711)
ANSWER = struct.pack(">HHHBBHH", 7, 0, 6, 1, 16, 9000, 1)


class Names:
    """A name server of this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **names: str) -> None:
        self.names = names
        self.answers = threading.Event()
        self.answers.set()
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: str, port: object, *args: object, **options: object) -> object:
        if host not in self.names:
            return self._real(host, port, *args, **options)  # type: ignore[arg-type]
        assert self.answers.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.names[host], int(str(port or 0))))]


@contextmanager
def publishing(settings: str, folder: Path) -> Iterator[None]:
    """A publisher inside this process, whose names can be changed."""
    path = folder / "publisher.toml"
    path.write_text(settings)
    loaded = load(PublisherSettings, path=path, environ={})
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def run() -> None:
        await build(loaded).run(stop)

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        assert not thread.is_alive()
        loop.close()


class House:
    """A broker, meters of the simulator, and who listens to each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self.push_port, self.poll_port = free_port(), free_port()
        self.broker = Broker(folder / "broker")
        self.publisher: Service | None = None

    def __enter__(self) -> Self:
        self._stack.__enter__()
        self._stack.enter_context(self.broker)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def meter(self, name: str, host: str, *options: str, push: bool = True, port: int | None = None) -> KsemHandle:
        handle = KsemHandle(
            self.folder,
            name=name,
            host=host,
            port=self.poll_port if port is None else port,
            push=("127.0.0.1", self.push_port) if push else None,
            options=options,
        )
        return self._stack.enter_context(handle)

    def audience(self, meter: str = "main", truth: Path | None = None) -> MeterAudience:
        return self._stack.enter_context(MeterAudience(self.broker.port, truth, meter))

    def settings(self, *meters: str, listen: str = "127.0.0.1") -> str:
        mqtt = f'[mqtt]\nhost = "127.0.0.1"\nport = {self.broker.port}\n'
        push = f'[push]\nlisten = "{listen}"\nport = {self.push_port}\n'
        return (
            mqtt + push + "".join(f"[[meter]]\nport = {self.poll_port}\ntimeout = 0.5\n{meter}\n" for meter in meters)
        )

    def publish(self, *meters: str, listen: str = "127.0.0.1") -> None:
        """A publisher as a process."""
        service = Service("ksem_publisher", self.settings(*meters, listen=listen), self.folder)
        self.publisher = self._stack.enter_context(service)

    def publish_here(self, *meters: str) -> None:
        self._stack.enter_context(publishing(self.settings(*meters), self.folder))

    def is_taken(self, source: str, host: str = "127.0.0.1") -> bool:
        """Whether a push from this address is answered."""
        try:
            with socket.create_connection((host, self.push_port), 5, (source, 0)) as sock:
                sock.sendall(WRITE)
                return sock.recv(100) == ANSWER
        except OSError:
            return False


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as built:
        yield built


def until(holds: Callable[[], bool], what: str, within: float = 15.0) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {within} s"
        time.sleep(0.02)


class Judged:
    """What is published for one meter, judged by the device that it should come from."""

    def __init__(self, audience: MeterAudience) -> None:
        self.audience = audience

    def await_of(self, truth: Path, source: str, more: int = 5, within: float = 15.0) -> None:
        """Wait until the newest `more` blocks of this source are of this device."""
        reader = TruthReader(truth)
        self.audience.await_true(
            lambda: len(self._newest(source)) >= more and all(map(_is_of(reader), self._newest(source)[-more:])),
            f"{source} of {truth.stem}",
            within,
        )

    def assert_only_of(self, truth: Path, more: int = 15) -> None:
        """The next blocks are all of this device."""
        begin = len(self.audience.live)
        self.audience.await_true(lambda: len(self.audience.live) >= begin + more, f"{more} blocks")
        reader = TruthReader(truth)
        assert all(map(_is_of(reader), self.audience.live[begin : begin + more]))

    def _newest(self, source: str) -> list[BlockMessage]:
        return [block for block in self.audience.live if block.source == source]


def _is_of(reader: TruthReader) -> Callable[[BlockMessage], bool]:
    def holds(block: BlockMessage) -> bool:
        words = struct.pack(">28H", *(word or 0 for word in block.registers[:28]))
        return next(reader.holding(Block.LIVE, 0, words), None) is not None

    return holds


@pytest.mark.slow
@pytest.mark.promise(2)
def test_a_meter_whose_name_moves_is_followed_and_its_old_address_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_listener, "RESOLVE_EVERY", 0.2)
    names = Names(monkeypatch, ksem="127.0.0.5")
    old, new = house.meter("old", "127.0.0.5"), house.meter("new", "127.0.0.6", "--seed", "7")
    judged = Judged(house.audience())
    house.publish_here('host = "ksem"')
    judged.await_of(old.truth, "push")
    names.names["ksem"] = "127.0.0.6"
    judged.await_of(new.truth, "push")
    judged.assert_only_of(new.truth)
    assert not house.is_taken("127.0.0.5")


@pytest.mark.slow
@pytest.mark.promise(2)
def test_two_meters_whose_names_swap_addresses_are_followed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_listener, "RESOLVE_EVERY", 0.2)
    names = Names(monkeypatch, first="127.0.0.5", second="127.0.0.6")
    one, other = house.meter("one", "127.0.0.5"), house.meter("other", "127.0.0.6", "--seed", "7")
    first, second = Judged(house.audience("first")), Judged(house.audience("second"))
    house.publish_here('id = "first"\nhost = "first"', 'id = "second"\nhost = "second"')
    first.await_of(one.truth, "push")
    second.await_of(other.truth, "push")
    names.names.update(first="127.0.0.6", second="127.0.0.5")
    first.await_of(other.truth, "push")
    second.await_of(one.truth, "push")
    first.assert_only_of(other.truth)
    second.assert_only_of(one.truth)


def test_an_address_that_two_names_mean_is_nobodys_and_both_meters_health_names_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_listener, "RESOLVE_EVERY", 0.2)
    names = Names(monkeypatch, first="127.0.0.5")
    meter = house.meter("one", "127.0.0.5", push=False)
    first, second = house.audience("first"), house.audience("second")
    house.publish_here('id = "first"\nhost = "first"', 'id = "second"\nhost = "127.0.0.5"')
    for audience in (first, second):
        audience.await_health(
            lambda health: any(
                "127.0.0.5 are refused: it is the address of the meters first, second" in one.reason.text
                for one in health.checks
            ),
            "both are named",
        )
    assert not house.is_taken("127.0.0.5")
    names.names["first"] = "127.0.0.6"
    until(lambda: house.is_taken("127.0.0.5"), "it means one meter again")
    assert meter.port


def test_an_address_in_the_settings_of_two_meters_is_refused_with_both_names(house: House) -> None:
    house.publish('id = "first"\nhost = "10.0.0.5"', 'id = "second"\nhost = "b"\npush_from = ["10.0.0.5"]')
    assert house.publisher is not None
    house.publisher.await_log('"10.0.0.5" may be those of "first" or of "second"')
    assert house.publisher.wait(10) != 0


def test_pushes_are_taken_while_a_name_server_does_not_answer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, slow="127.0.0.2")
    names.answers.clear()
    meter = house.meter("one", "127.0.0.1")
    judged = Judged(house.audience())
    house.publish_here('id = "slow"\nhost = "slow"', 'host = "127.0.0.1"')
    try:
        judged.await_of(meter.truth, "push")
        assert not names.answers.is_set()
    finally:
        names.answers.set()


def test_the_wildcard_of_ipv6_serves_meters_of_both_families(house: House) -> None:
    house.publish('host = "127.0.0.1"\npush_from = ["127.0.0.1", "::1"]', listen="::")
    until(lambda: house.is_taken("127.0.0.1"), "IPv4")
    assert house.is_taken("::1", "::1")


def test_health_stays_readable_however_many_strangers_push(house: House) -> None:
    audience = house.audience()
    many = ", ".join(f'"10.9.{number}.1"' for number in range(200))
    house.publish(f'host = "127.0.0.1"\npush_from = ["127.0.0.1", {many}]')
    until(lambda: house.is_taken("127.0.0.1"), "it listens")
    for number in range(1, 31):
        assert not house.is_taken(f"127.0.1.{number}")
    health = audience.await_health(lambda health: "more addresses were refused" in str(health.checks), "summed up")
    assert len(health.why) <= 2000
    assert all(len(check.reason.remedy) <= 2000 for check in health.checks)


TWO_METERS = "two meters behind one address"
SHAPES = {
    "one connection each": (),
    "a connection a cycle": ("--reconnect",),
    "a connection a cycle, half a second apart": ("--reconnect", "--interval", "0.5"),
    "in one write for each value": ("--split", "values"),
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.promise(2)
def test_pushes_of_another_meter_behind_the_address_are_never_published_while_the_right_one_is_silent(
    house: House, shape: tuple[str, ...]
) -> None:
    right = house.meter("right", "127.0.0.1", push=False)
    house.meter("other", "127.0.0.1", "--seed", "7", *shape, port=0)
    audience = house.audience(truth=right.truth)
    house.publish('host = "127.0.0.1"')
    audience.await_health(lambda health: TWO_METERS in health.why, "two meters", 20)
    audience.await_live("poll", 20)
    assert audience.wrong == []
    assert {block.source for block in audience.live} == {"poll"}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.promise(2)
def test_of_two_meters_that_push_from_one_address_only_the_polled_one_is_published(
    house: House, shape: tuple[str, ...]
) -> None:
    right = house.meter("right", "127.0.0.1", *shape)
    house.meter("other", "127.0.0.1", "--seed", "7", "--offset", "70", *shape, port=0)
    audience = house.audience(truth=right.truth)
    house.publish('host = "127.0.0.1"')
    audience.await_status(b"online", within=10)
    begin = len(audience.live)
    audience.await_true(lambda: len(audience.live) >= begin + 50, "50 blocks", 25)
    assert audience.wrong == []
    if "--interval" not in shape:
        audience.await_health(lambda health: TWO_METERS in health.why, "two meters", 20)


@pytest.mark.slow
def test_the_right_meters_connection_is_taken_up_though_the_other_one_was_there_first(house: House) -> None:
    right = house.meter("right", "127.0.0.1")
    right.command("push", enabled=False)
    house.meter("other", "127.0.0.1", "--seed", "7", port=0)
    audience = house.audience(truth=right.truth)
    house.publish('host = "127.0.0.1"')
    audience.await_health(lambda health: TWO_METERS in health.why, "two meters", 20)
    right.command("push", enabled=True)
    audience.await_live("push", 10, within=25)
    assert audience.wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("shape", [SHAPES["one connection each"], SHAPES["a connection a cycle"]], ids=" ".join)
def test_another_meter_that_goes_on_pushing_where_the_right_one_has_stopped_is_found_out(
    house: House, shape: tuple[str, ...]
) -> None:
    right = house.meter("right", "127.0.0.1", *shape)
    audience = house.audience(truth=right.truth)
    house.publish('host = "127.0.0.1"')
    audience.await_live("push", 5)
    other = house.meter("other", "127.0.0.1", "--seed", "7", *shape, port=0)
    right.command("push", enabled=False)
    audience.await_health(lambda health: TWO_METERS in health.why, "two meters", 20)
    assert len(audience.wrong) <= 8, "for a second and a half at most"
    known = len(audience.wrong)
    audience.await_live("poll", 20)
    assert audience.wrong[known:] == []
    other.stop()
    right.command("push", enabled=True)
    audience.await_live("push", 10, within=40)
    assert audience.wrong[known:] == []


@pytest.mark.slow
@pytest.mark.promise(2)
def test_energy_counters_of_another_meter_are_not_published(house: House) -> None:
    house.meter("right", "127.0.0.1", push=False)
    other = house.meter("other", "127.0.0.1", "--seed", "7", "--groups", "energy_total,energy_phases", port=0)
    other.command("counters-back", counts=50_000_000)
    audience = house.audience()
    house.publish('host = "127.0.0.1"')
    audience.await_health(lambda health: TWO_METERS in health.why, "two meters", 20)
    audience.await_block("energy", 15)
    topic = audience.topics.meter_block("main", "energy")
    assert {BlockMessage.decode(payload).source for payload in audience.received[topic]} == {"poll"}


CABLE = """
ip link set lo up && ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up &&
ip -6 addr add fe80::1/64 dev v0 nodad && ip -6 addr add fe80::2/64 dev v1 nodad && exec "$@"
"""
PUSHES = """
import socket, subprocess, sys, time
publisher = subprocess.Popen([sys.executable, "-m", "ksem_publisher", "--config", sys.argv[1]])
try:
    for _ in range(500):
        try:
            sock = socket.socket(socket.AF_INET6)
            sock.settimeout(5)
            sock.bind(("fe80::2", 0, 0, socket.if_nametoindex("v1")))
            sock.connect(("fe80::1", 5020, 0, socket.if_nametoindex("v1")))
            break
        except OSError:
            sock.close()
            time.sleep(0.02)
    try:
        sock.sendall(bytes.fromhex(sys.argv[2]))
        print("taken" if sock.recv(100) else "refused")
    except ConnectionError:
        print("refused")
finally:
    publisher.terminate()
    publisher.wait(10)
"""


@pytest.mark.skipif(not may_make_networks() or not shutil.which("ip"), reason="needs network namespaces and iproute2")
@pytest.mark.parametrize(("zone", "what"), [("v0", "taken"), ("v1", "refused")])
def test_of_a_link_local_address_only_the_named_interface_may_push(tmp_path: Path, zone: str, what: str) -> None:
    settings = tmp_path / "publisher.toml"
    settings.write_text(f'[push]\nlisten = "::"\n[[meter]]\nhost = "fe80::2%{zone}"\n')
    script = tmp_path / "pushes.py"
    script.write_text(PUSHES)
    ended = subprocess.run(
        ["unshare", "--net", "sh", "-c", CABLE, "sh", sys.executable, script, settings, WRITE.hex()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout.split() == [what], ended.stderr
