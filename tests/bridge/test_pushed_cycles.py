"""Raw Modbus TCP pushes into ksem-publisher as a process: what a real broker then holds of each cycle."""

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from ksem_contract.block_message import BlockMessage
from ksem_contract.blocks import LIVE
from modbus_codec.tcp import MbapFrame
from tests.unit.ksem_publisher.model_meter import TWO_GROUPS, live_words

from .broker import Broker, free_port
from .meter_audience import MeterAudience
from .odd_meter import OddMeter
from .publisher_bench import publisher_settings
from .service import Service

PERIOD = 0.2
ALL = range(LIVE.count)
BROUGHT = tuple(address for start, count in TWO_GROUPS for address in range(start, start + count))


def cycle_words(cycle: int, *, constant: bool = False) -> list[int]:
    """All registers of `live` in a cycle: those between the groups show the cycle, too."""
    words = live_words(cycle, (100, 200, -50) if constant else None)
    if constant:  # the power stands still, the frequency does not
        words[26:28] = [0, 49_900 + cycle % 200]
    for address in (*range(28, 40), *range(66, 80), *range(106, 120), 146, 147):
        words[address] = 1 + cycle
    return words


ENERGY_WRITES = ((512, 40), (592, 100), (692, 100))


def energy_words(cycle: int, count: int) -> list[int]:
    """Counters of four registers each that grow by a little."""
    return [0, 0, 0, 1000 + cycle] * (count // 4)


def energy_registers(cycle: int) -> dict[int, int]:
    return {
        address: word
        for start, count in ENERGY_WRITES
        for address, word in enumerate(energy_words(cycle, count), start)
    }


class PushBench:
    """A publisher, a meter that answers polls with what it measured last, and connections to the push port."""

    def __init__(self, port: int, audience: MeterAudience, meter: OddMeter) -> None:
        self.audience = audience
        self._port, self._meter = port, meter
        self._sockets: dict[Hashable, socket.socket] = {}

    def measure(self, cycle: int, *, constant: bool = False) -> list[int]:
        """From now on the meter answers polls with this cycle; its words of `live`.

        A push is only used while it agrees with polls.
        """
        words = cycle_words(cycle, constant=constant)
        self._meter.more = dict(enumerate(words)) | energy_registers(cycle)
        return words

    def write(self, key: Hashable, start: int, registers: Sequence[int]) -> None:
        """Write on the connection `key`, which is opened if need be, and wait for the answer."""
        self.open(key)
        pdu = struct.pack(f">BHHB{len(registers)}H", 16, start, len(registers), 2 * len(registers), *registers)
        self._sockets[key].sendall(MbapFrame(1, 1, pdu).encode())
        assert len(self._sockets[key].recv(260)) == 12

    def open(self, key: Hashable) -> None:
        if key not in self._sockets:
            self._sockets[key] = socket.create_connection(("127.0.0.1", self._port), 5)
            self._sockets[key].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self, key: Hashable) -> None:
        with contextlib.suppress(KeyError):
            self._sockets.pop(key).close()

    def close_all(self) -> None:
        for key in list(self._sockets):
            self.close(key)

    def cycles(self, count: int, push: Callable[[int], None], *, period: float = PERIOD, first: int = 0) -> None:
        """Call `push` with each cycle's number when it is due."""
        began = time.monotonic()
        for number in range(first, first + count):
            wait_until(began + (number - first) * period)
            push(number)

    @property
    def pushed(self) -> list[BlockMessage]:
        return [block for block in self.audience.live if block.source == "push"]


def wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def writes_of(shapes: Sequence[tuple[int, int]], words: Sequence[int]) -> list[tuple[int, list[int]]]:
    return [(start, list(words[start : start + count])) for start, count in shapes]


def mixed(blocks: Sequence[BlockMessage], truth: Sequence[Sequence[int]], addresses: Sequence[int]) -> list[int]:
    """The `seq` of the blocks whose words at these addresses are those of no single cycle."""
    known = {tuple(words[address] for address in addresses) for words in truth}
    return [block.seq for block in blocks if tuple(block.registers[address] for address in addresses) not in known]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[PushBench]:
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(tmp_path / "broker"))
        push_port = free_port()
        meter = stack.enter_context(OddMeter())
        meter.more = energy_registers(0)
        audience = stack.enter_context(MeterAudience(broker.port))
        settings = publisher_settings(broker, meter.port, push_port)
        stack.enter_context(Service("ksem_publisher", settings, tmp_path))
        audience.await_true(lambda: bool(audience.received["ksem/main/block/device"]), "the meter's device block")
        audience.await_live("poll")
        made = PushBench(push_port, audience, meter)
        stack.callback(made.close_all)
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("lag", [0.13, 0.16, 0.19])
def test_while_the_power_stands_still_phases_far_behind_the_totals_are_not_mixed_with_the_next(
    bench: PushBench, lag: float
) -> None:
    began = time.monotonic()
    for number in range(40):
        wait_until(began + number * PERIOD)
        words = bench.measure(number, constant=True)
        for part, (start, registers) in enumerate(writes_of(TWO_GROUPS, words)):
            wait_until(began + number * PERIOD + part * lag)
            bench.write("one", start, registers)
    assert bench.pushed == []
    healths = bench.audience.received["ksem/main/health"]
    assert any(b"where a cycle ends" in payload for payload in healths)
    assert bench.audience.live[-1].source == "poll"


SPLITS = {
    "over the gaps": ((0, 100), (100, 48)),
    "with the words behind the phases": ((0, 28), (40, 108)),
    "between the groups in writes of their own": ((0, 28), (28, 12), (40, 106), (146, 2)),
}


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param(shapes, marks=[pytest.mark.slow] if "behind the phases" in name else [])
        for name, shapes in SPLITS.items()
    ],
    ids=SPLITS,
)
def test_words_between_the_groups_are_of_the_cycle_that_brought_them(
    bench: PushBench, shapes: tuple[tuple[int, int], ...]
) -> None:
    def push(number: int) -> None:
        for start, registers in writes_of(shapes, bench.measure(number)):
            bench.write("one", start, registers)

    bench.cycles(30, push)
    brought = [address for start, count in shapes for address in range(start, start + count)]
    assert len(bench.pushed) >= 10
    assert mixed(bench.pushed, [cycle_words(number) for number in range(30)], brought) == []


@pytest.mark.parametrize(
    "live_too", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["live data", "counters alone"]
)
def test_a_second_sender_that_is_refused_leaves_no_trace(bench: PushBench, *, live_too: bool) -> None:
    shapes = ((0, 28), (40, 106))
    foreign = [60_000 + word % 1000 for word in cycle_words(0)]

    def push(number: int) -> None:
        for start, registers in writes_of(shapes, bench.measure(number)):
            bench.write("meter", start, registers)
        if number >= 8:
            if live_too:
                for start, registers in writes_of(((0, 28), (28, 12), (40, 108)), foreign):
                    bench.write("second", start, registers)
            for start, count in ENERGY_WRITES:
                bench.write("second", start, [7] * count)

    bench.cycles(40, push)
    assert len(bench.pushed) >= 15
    assert mixed(bench.pushed, [cycle_words(number) for number in range(40)], BROUGHT) == []
    for block in bench.audience.live:
        assert not {*block.registers[28:40], *block.registers[146:148]} & set(foreign), block.seq
    for payload in bench.audience.received["ksem/main/block/energy"]:
        energy = BlockMessage.decode(payload)
        assert (energy.source, energy.registers[0:40] == (7,) * 40) == ("poll", False)
    health = bench.audience.health()
    assert health is not None
    assert not [group for group in health.push.groups if group.start >= 512 or group.stop > 146]


OVERLAPS = {
    "each cycle": lambda number, _part: number,
    "each write": lambda number, part: 2 * number + part,
}


@pytest.mark.slow
@pytest.mark.parametrize("late", [1, 2])
@pytest.mark.parametrize("key_of", OVERLAPS.values(), ids=OVERLAPS)
def test_a_push_whose_next_connection_opens_before_the_last_is_closed_is_used(
    bench: PushBench, key_of: Callable[[int, int], int], late: int
) -> None:
    def push(number: int) -> None:
        for part, (start, registers) in enumerate(writes_of(TWO_GROUPS, bench.measure(number))):
            key = key_of(number, part)
            bench.write(key, start, registers)
            bench.close(key - late)

    bench.cycles(60, push)
    assert len(bench.pushed) >= 25
    assert mixed(bench.pushed, [cycle_words(number) for number in range(60)], BROUGHT) == []
    health = bench.audience.await_health(lambda health: health.push.link.state == "up", "the push is used")
    assert health.push.period_ms == pytest.approx(1000 * PERIOD, abs=20)


def push_all_groups(bench: PushBench, number: int, before_each: Callable[[], None] = lambda: None) -> None:
    energy = [(start, energy_words(number, count)) for start, count in ENERGY_WRITES]
    for start, registers in (*writes_of(TWO_GROUPS, cycle_words(number)), *energy):
        before_each()
        bench.write("one", start, registers)


@pytest.mark.slow
def test_a_meter_whose_cycles_wait_in_a_queue_is_polled_and_named(bench: PushBench) -> None:
    began = time.monotonic()

    def slow() -> None:  # each write takes 50 ms, and the meter measures meanwhile
        time.sleep(0.05)
        bench.measure(int((time.monotonic() - began) / PERIOD))

    number = 0
    while time.monotonic() < began + 12:
        push_all_groups(bench, number, slow)
        number += 1
    assert bench.pushed == []
    assert bench.audience.live[-1].source == "poll"
    sources = {BlockMessage.decode(payload).source for payload in bench.audience.received["ksem/main/block/energy"]}
    assert sources == {"poll"}
    why = [payload for payload in bench.audience.received["ksem/main/health"] if b"register 8244" in payload]
    assert any(b"cycles wait in it" in payload for payload in why)
    assert not any(b"two meters" in payload for payload in bench.audience.received["ksem/main/health"])


@pytest.mark.slow
@pytest.mark.parametrize("period", [0.25, 0.3])
def test_a_push_that_skips_measured_cycles_is_polled_and_named(bench: PushBench, period: float) -> None:
    def push(number: int) -> None:  # always the newest one
        newest = int(number * period / PERIOD)
        bench.measure(newest)
        push_all_groups(bench, newest)

    bench.cycles(40, push, period=period)
    assert bench.pushed == []
    assert bench.audience.live[-1].source == "poll"
    assert any(b"register 8244" in payload for payload in bench.audience.received["ksem/main/health"])


@pytest.mark.slow
def test_a_queue_that_a_meter_pushes_faster_than_it_measures_is_polled_and_named(bench: PushBench) -> None:
    waiting, period = 20, PERIOD / 2

    def push(number: int) -> None:
        bench.measure(waiting + number // 2)
        push_all_groups(bench, number)

    bench.cycles(2 * waiting, push, period=period)
    assert bench.pushed == []
    assert bench.audience.live[-1].source == "poll"
    assert any(b"register 8244" in payload for payload in bench.audience.received["ksem/main/health"])
    assert not any(b"two meters" in payload for payload in bench.audience.received["ksem/main/health"])


def test_all_groups_pushed_in_their_time_are_used(bench: PushBench) -> None:
    def push(number: int) -> None:
        bench.measure(number)
        push_all_groups(bench, number)

    bench.cycles(30, push)
    assert len(bench.pushed) >= 10
    assert mixed(bench.pushed, [cycle_words(number) for number in range(30)], BROUGHT) == []
