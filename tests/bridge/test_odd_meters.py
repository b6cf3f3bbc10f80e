"""ksem-publisher with meters that answer in odd ways, and a real broker."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ksem_contract.block_message import BlockMessage
from ksem_contract.register_range import RegisterRange
from modbus_codec.crc import append_crc

from .broker import Broker, free_port
from .meter_audience import MeterAudience
from .odd_meter import Answer, OddMeter, OddPush
from .publisher_bench import publisher_settings
from .service import Service
from .test_serial_line import Wire

INTERVAL = RegisterRange(8244, 1)
FAST = "[poll]\nenergy = 0.5\ndevice = 0.5\nsunspec = 60\n"
GONE = "the meter closed the connection"


class Bench:
    """Broker, audience and an odd meter; `start` starts the publisher, then `push` the pushes."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.push_port = free_port()
        self.broker = stack.enter_context(Broker(folder / "broker"))
        self.meter = stack.enter_context(OddMeter())
        self.audience = stack.enter_context(MeterAudience(self.broker.port))
        self.publisher: Service

    def start(self, more: str = FAST, keys: str = "") -> None:
        text = publisher_settings(self.broker, self.meter.port, self.push_port, keys, more)
        self.publisher = Service("ksem_publisher", text, self._folder)
        self._stack.callback(self.publisher.kill)
        self.publisher.start()

    def push(self, words: Callable[[], list[int]] | None = None, energy: Callable[[], list[int]] = list) -> OddPush:
        live = words or (lambda: self.meter.words(RegisterRange(0, 148)))
        return self._stack.enter_context(OddPush(self.push_port, live, energy))

    def rtu(self) -> Wire:
        """The serial end of an rtu-server."""
        wire = Wire(self._folder / "port")
        wire.plug_in()
        text = f'[node]\nname = "attic"\n[mqtt]\nhost = "127.0.0.1"\nport = {self.broker.port}\n'
        self._stack.enter_context(Service("rtu_server", f'{text}[[line]]\nport = "{wire.path}"\n', self._folder))
        return wire

    def blocks(self, name: str) -> list[BlockMessage]:
        topic = self.audience.topics.meter_block("main", name)
        return [BlockMessage.decode(payload) for payload in self.audience.heard[topic] if payload]

    def lines(self, phrase: str) -> list[str]:
        return [line for line in self.publisher.log_text().splitlines() if phrase in line]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def ask(wire: Wire, request: str, expected: str, within: float = 15.0) -> None:
    """Ask on the serial line until the answer is the expected one."""
    answer = append_crc(bytes.fromhex(expected))
    heard, end = b"", time.monotonic() + within
    while heard != answer:
        assert time.monotonic() < end, f"{heard.hex(' ')} instead of {answer.hex(' ')}"
        wire.send(append_crc(bytes.fromhex(request)))
        heard = wire.heard(len(answer), 0.15)


def refuse(start: int, code: int, count: int = 0) -> Callable[[RegisterRange], Answer]:
    """Reads from this register on (and of this many) are refused."""

    def answer(wanted: RegisterRange) -> Answer:
        hit = wanted.start == start and count in {0, wanted.count}
        return code if hit else NotImplemented

    return answer


@pytest.mark.parametrize("code", [2, 4, 6])
def test_of_a_device_that_refuses_to_tell_who_it_is_nothing_is_published(bench: Bench, code: int) -> None:
    bench.meter.answer = refuse(8192, code)
    bench.start()
    health = bench.audience.await_health(lambda one: "who it is" in one.poll.link.why, "no identity")
    assert f"exception {code}" in health.poll.link.why
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert {one.start for _, one in bench.meter.reads} == {8192}
        time.sleep(0.1)
    assert not [topic for topic in bench.audience.heard if "/block/" in topic]
    bench.meter.answer = lambda _: NotImplemented
    bench.audience.await_block("energy")


def test_a_meter_that_is_busy_once_tells_who_it_is_the_next_time(bench: Bench) -> None:
    bench.meter.answer = lambda _: 6 if len(bench.meter.reads) == 1 else NotImplemented
    bench.start()
    bench.audience.await_live("poll", 4)
    first = [one.start for _, one in bench.meter.reads[:3]]
    assert first == [8192, 8192, 0]


def test_a_meter_without_the_registers_behind_its_interval_is_known_by_the_others(bench: Bench) -> None:
    bench.meter.answer = refuse(8192, 2, count=58)
    wire = bench.rtu()
    bench.start()
    device = bench.audience.await_block("device")
    assert device.registers[52] == 200
    assert device.registers[53:] == (None,) * 5
    ask(wire, "01 03 20 34 00 01", "01 03 02 00 c8")
    bench.audience.await_block("energy")
    bench.audience.await_health(lambda one: "refuses" not in one.why, "nothing is refused that is needed")


def test_a_meter_whose_clock_is_of_1970_is_read(bench: Bench) -> None:
    bench.meter.more = {8245: 0, 8246: 0, 8247: 0, 8248: 5000}
    wire = bench.rtu()
    bench.start()
    ask(wire, "01 03 20 34 00 01", "01 03 02 00 c8")
