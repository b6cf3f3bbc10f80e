"""ksem-publisher with meters that answer in odd ways, and a real broker."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from ksem_contract.block_message import BlockMessage
from ksem_contract.health import RequestEntry, RequestsMessage
from ksem_contract.registers import RegisterRange
from ksem_publisher.snapshot import VALUES
from modbus_codec.crc import append_crc
from service_runtime.clock import boottime

from .broker import Broker, free_port
from .meter_audience import MeterAudience
from .odd_meter import Answer, OddMeter, OddPush, ksem_image
from .publisher_bench import publisher_settings
from .service import Service
from .test_serial_line import Wire

INTERVAL = RegisterRange(8244, 1)
FAST = "[poll]\nenergy = 0.5\ndevice = 0.5\nsunspec = 60\n"


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

    def push(self, registers: Callable[[], list[int]] | None = None, energy: Callable[[], list[int]] = list) -> OddPush:
        live = registers or (lambda: self.meter.registers(RegisterRange(0, 148)))
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
        return [BlockMessage.decode(payload) for payload in self.audience.received[topic] if payload]

    def lines(self, phrase: str) -> list[str]:
        return [line for line in self.publisher.log_text().splitlines() if phrase in line]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def ask(wire: Wire, request: str, expected: str, within: float = 15.0) -> None:
    """Ask on the serial line until the answer is the expected one."""
    answer = append_crc(bytes.fromhex(expected))
    received, end = b"", time.monotonic() + within
    while received != answer:
        assert time.monotonic() < end, f"{received.hex(' ')} instead of {answer.hex(' ')}"
        wire.send(append_crc(bytes.fromhex(request)))
        received = wire.received(len(answer), 0.15)


ODD_ANSWERS = {
    "a function that is no exception to ours": ("0000 0003 01 80 04", "function 128"),
    "another function": ("0000 0005 01 04 02 00c8", "function 4"),
    "an odd byte count": ("0000 0006 01 03 03 00c801", "byte count is 3"),
    "a byte count that does not fit the length": ("0000 0005 01 03 74 00c8", "do not fit"),
    "too few registers": ("0000 0005 01 03 02 00c8", "58 registers requested, 1 came"),
    "an exception that is too long": ("0000 0004 01 83 0400", "exception of length 4"),
    "no Modbus": ("0007 0003 01 83 04", "protocol 7"),
    "a length of nothing": ("0000 0000 01 03 74 00", "do not fit"),
}


def refuse(start: int, code: int, count: int = 0) -> Callable[[RegisterRange], Answer]:
    """Reads from this register on (and of this many) are refused."""

    def answer(wanted: RegisterRange) -> Answer:
        hit = wanted.start == start and count in {0, wanted.count}
        return code if hit else NotImplemented

    return answer


@pytest.mark.parametrize("code", [2, pytest.param(4, marks=pytest.mark.slow), pytest.param(6, marks=pytest.mark.slow)])
def test_of_a_device_that_refuses_to_tell_who_it_is_nothing_is_published(bench: Bench, code: int) -> None:
    bench.meter.answer = refuse(8192, code)
    bench.start()
    health = bench.audience.await_health(lambda one: "identify itself" in one.poll.link.why, "no identity")
    assert f"exception {code}" in health.poll.link.why
    end = time.monotonic() + 3
    while time.monotonic() < end:
        assert {one.start for _, one in bench.meter.reads} == {8192}
        time.sleep(0.1)
    assert not [topic for topic in bench.audience.received if "/block/" in topic]
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


@pytest.mark.parametrize("source", ["push", "poll"])
@pytest.mark.parametrize("at", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_no_value_in_the_totals_power_is_refused_and_named(bench: Bench, source: str, at: int) -> None:
    bench.start()
    if source == "push":
        bench.push()
    bench.audience.await_live(source, 3)
    bench.meter.more = {at: 0xFFFF, at + 1: 0xFFFF}
    bench.audience.await_health(lambda one: f"registers {at} to {at + 1}" in one.why, "named")
    bench.audience.await_status(b"offline")
    assert not [block for block in bench.blocks("live") if block.registers[at] == 0xFFFF]
    bench.meter.more = {}
    bench.audience.await_live(source, 3)


@pytest.mark.parametrize("source", ["push", pytest.param("poll", marks=pytest.mark.slow)])
def test_no_value_in_a_phase_passes_as_the_meter_has_it_and_is_reported(bench: Bench, source: str) -> None:
    absent = {address: 0xFFFF for start in (80, 102, 120, 142) for address in range(start, start + 2)}
    bench.meter.more = absent
    wire = bench.rtu()
    bench.start()
    if source == "push":
        bench.push()
    for block in bench.audience.await_live(source, 5):
        assert all(block.registers[address] == 0xFFFF for address in absent)
    ask(wire, "01 03 00 50 00 02", "01 03 04 ff ff ff ff")
    bench.audience.await_health(lambda one: "registers 80-81" in one.why and "no value" in one.why, "reported")


@pytest.mark.slow
def test_mean_values_around_nothing_are_no_anomaly(bench: Bench) -> None:
    def registers() -> list[int]:
        small = 3 + bench.meter.cycle % 5
        found = bench.meter.registers(RegisterRange(0, 148))
        for at in (40, 80, 120):
            found[at : at + 4] = [0, small, 0, small + 1]
        found[0:4] = [0, 3 * small, 0, 3 * small + 3]
        return found

    # What it measures at the moment is as small; a poll is near the mean, and never the same.
    bench.meter.more = {start + offset: 0 for start in (0, 40, 80, 120) for offset in range(4)}
    bench.start()
    bench.push(registers)
    bench.audience.await_live("push", 20, within=30)
    bench.audience.await_health(lambda one: one.state == "ok", "nothing is wrong")
    assert not bench.lines("at once")


@pytest.mark.slow
def test_pushed_and_polled_energy_never_goes_back_in_time_and_nothing_starves(bench: Bench) -> None:
    bench.meter.slow = 0.05
    counted = [0] * 280
    counted[7] = 60_000

    def energy() -> list[int]:
        counted[3] = 50_000 + bench.meter.cycle
        return counted

    def answer(wanted: RegisterRange) -> Answer:
        registers = bench.meter.registers(wanted)
        if wanted.start == 512:
            registers[3] = 50_000 + bench.meter.cycle
        return registers

    bench.meter.answer = answer
    bench.start("[poll]\nenergy = 0.3\ndevice = 1\nsunspec = 1\n")
    bench.audience.await_block("energy")
    bench.push(energy=energy)
    bench.audience.await_live("push", 5)
    begin = time.monotonic()
    bench.audience.await_live("push", 60, within=30)
    measured = [block.boot_ms - block.age_ms for block in bench.blocks("energy")]
    assert measured == sorted(measured)
    assert {block.source for block in bench.blocks("energy")} == {"push", "poll"}
    lasted = time.monotonic() - begin
    for name in ("device", "sunspec"):
        assert len(bench.blocks(name)) >= lasted / 2, name
    assert not bench.lines("went backwards")


@pytest.mark.slow
@pytest.mark.parametrize("code", [2, 5, 6])
@pytest.mark.parametrize(("start", "name"), [(8192, "device"), (512, "energy")])
def test_a_block_that_is_refused_while_the_push_runs_is_named_in_health(
    bench: Bench, code: int, start: int, name: str
) -> None:
    bench.start()
    bench.push()
    bench.audience.await_live("push", 5)
    bench.audience.await_block(name)
    bench.audience.await_health(lambda one: one.state == "ok", "all is well")
    bench.meter.answer = refuse(start, code)
    bench.audience.await_health(
        lambda one: one.state == "degraded" and f"({name}): exception {code}" in one.why, "the block is named"
    )
    assert len(bench.lines(f"exception {code}")) <= 2
    bench.meter.answer = lambda _: NotImplemented
    bench.audience.await_health(lambda one: one.state == "ok", "all is well again")


def test_a_block_that_was_refused_from_the_start_while_the_push_runs_is_named_in_health(bench: Bench) -> None:
    bench.meter.answer = refuse(8192, 2)
    bench.start()
    bench.push()
    bench.audience.await_live("push", 5)
    bench.audience.await_health(
        lambda one: one.state == "degraded" and "(device): exception 2" in one.why, "the block is named"
    )


@pytest.mark.slow
def test_while_the_push_is_frozen_polled_counters_go_on(bench: Bench) -> None:
    frozen = bench.meter.registers(RegisterRange(0, 148))
    bench.start(FAST + "[checks]\nfrozen_after = 2\n")
    bench.push(lambda: frozen)
    bench.audience.await_health(lambda one: "a push that stands still" in one.why, "the push is frozen")
    bench.audience.await_live("poll", 10)
    bench.audience.await_block("energy", more=3)
    assert {block.source for block in bench.blocks("energy")[-3:]} == {"poll"}


def test_a_block_kept_by_the_broker_is_as_old_as_it_is(bench: Bench) -> None:
    bench.start()
    device = bench.audience.await_block("device")
    bench.publisher.stop()
    bench.meter.answer = lambda _: 4
    old = replace(device, boot_ms=device.boot_ms + 10**9, age_ms=5, time="2026-01-01T00:00:00.000Z")
    bench.audience.link.publish(bench.audience.topics.meter_block("main", "device"), old.encode(), retain=True)
    begun = boottime()
    bench.start()
    bench.audience.await_true(lambda: bench.blocks("device")[-1].source == "kept", "the block is adopted")
    kept = bench.blocks("device")[-1]
    assert kept.age_ms >= begun * 1000, "another boot's clock: older than this boot"
    since = datetime.now(UTC) - datetime.fromisoformat(old.time)
    assert kept.age_ms >= (since.total_seconds() - 60) * 1000


def test_the_counters_of_a_meter_that_replaces_another_are_published(bench: Bench) -> None:
    bench.start()
    topic = bench.audience.topics.meter_value("main", "energy_import")
    bench.audience.await_true(lambda: bench.audience.received[topic][-1:] == [b"5.0000"], "the old meter's counter")
    bench.meter.more[515] = 10_000
    bench.audience.await_health(lambda one: "not published" in one.why, "a counter that goes back is withheld")
    bench.meter.serial = "79999999"
    bench.audience.await_true(lambda: bench.audience.received[topic][-1:] == [b"1.0000"], "the new meter's counter")
    bench.audience.await_health(
        lambda one: "not published" not in one.why and "...9999 is not ...4567" in one.why,
        "nothing is withheld, and health names the other meter",
    )
    assert not bench.lines("79999999")


def test_another_meter_than_the_last_known_one_is_named_by_a_publisher_that_starts(bench: Bench) -> None:
    bench.start()
    bench.audience.await_block("device")
    bench.publisher.stop()
    bench.meter.serial = "79999999"
    bench.start()
    bench.audience.await_health(lambda one: "...9999 is not ...4567" in one.why, "the other meter is named")


def test_with_a_serial_number_in_the_settings_another_meter_gives_nothing_pushed_or_polled(bench: Bench) -> None:
    bench.meter.serial = "79999999"
    bench.start(keys='serial = "71234567"')
    bench.push()
    bench.audience.await_health(
        lambda one: one.state == "down" and "...9999 is not that of [[meter]] serial ...4567" in one.why,
        "another meter is refused",
    )
    time.sleep(4)  # a push that no poll denies would count meanwhile
    assert not bench.blocks("live")
    assert not bench.blocks("device")
    bench.meter.serial = "71234567"
    bench.audience.await_live("push", 3)
    bench.audience.await_health(lambda one: one.state == "ok", "the right meter is used")
    bench.meter.serial = "79999999"
    bench.audience.await_status(b"offline")


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "why"), ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_an_answer_that_does_not_belong_to_its_request_is_refused_with_one_line_and_the_true_reason(
    bench: Bench, answer: str, why: str
) -> None:
    bench.start()
    bench.audience.await_live("poll", 3)
    bench.meter.answer = lambda _: bytes.fromhex(answer)
    before = len(bench.lines(" "))
    bench.audience.await_health(lambda one: why in one.poll.link.why or "registers requested" in one.poll.link.why, why)
    bench.audience.await_status(b"offline")
    end = time.monotonic() + 4
    while time.monotonic() < end:
        time.sleep(0.2)
    assert why in bench.audience.health().poll.link.why  # type: ignore[union-attr]
    lines = bench.lines(" ")[before:]
    assert len(lines) <= 4, lines
    assert not bench.lines("Traceback")
    bench.meter.answer = lambda _: NotImplemented
    bench.audience.await_live("poll", 3)


def test_an_answer_that_comes_twice_or_in_pieces_costs_no_traceback_and_is_never_taken_for_the_next(
    bench: Bench,
) -> None:
    def twice(wanted: RegisterRange) -> Answer:
        registers = bench.meter.registers(wanted)
        once = struct.pack(f">HHBBB{len(registers)}H", 0, 3 + 2 * len(registers), 1, 3, 2 * len(registers), *registers)
        transaction = struct.pack(">H", len(bench.meter.reads))
        return once + transaction + once

    bench.meter.answer = twice
    bench.start()
    bench.audience.await_health(lambda one: "bytes follow the answer" in one.poll.link.why, "reported")
    assert not [topic for topic in bench.audience.received if "/block/" in topic]
    assert not bench.lines("Traceback")


@pytest.mark.slow
@pytest.mark.parametrize("code", [5, 6])
def test_a_meter_that_is_busy_at_a_third_of_the_reads_is_read_in_time_and_fills_no_log(bench: Bench, code: int) -> None:
    bench.start()
    bench.audience.await_live("poll", 3)
    before = len(bench.lines(" "))
    bench.meter.answer = lambda _: code if len(bench.meter.reads) % 3 == 0 else NotImplemented
    live = bench.audience.await_live("poll", 60, within=40)
    measured = [block.boot_ms - block.age_ms for block in live]
    assert max(later - earlier for earlier, later in pairwise(measured)) < 1000
    assert len(bench.lines(" ")[before:]) <= 3, bench.lines(" ")[before:]


def test_a_port_that_opens_and_refuses_each_read_is_told_by_its_newest_reason(bench: Bench) -> None:
    port = bench.meter.port
    bench.meter.port = free_port()
    bench.start()
    bench.push()
    bench.audience.await_health(lambda one: "no connection" in one.poll.link.why, "the port is shut")
    bench.meter.answer = lambda _: 6
    with socket.create_server(("127.0.0.1", bench.meter.port)) as opened:
        relay = threading.Thread(target=_relay, args=(opened, port), daemon=True)
        relay.start()
        bench.audience.await_health(lambda one: "exception 6" in one.poll.link.why, "the newest reason")


def _relay(opened: socket.socket, port: int) -> None:
    """Pass on what comes to `opened` to this port."""
    with contextlib.suppress(OSError):
        while True:
            peer, _ = opened.accept()
            other = socket.create_connection(("127.0.0.1", port))
            for one, two in ((peer, other), (other, peer)):
                threading.Thread(target=_pump, args=(one, two), daemon=True).start()


def _pump(one: socket.socket, two: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(4096):
            two.sendall(data)
    two.close()


def _entry(start: int, count: int) -> RequestEntry:
    return RequestEntry("rs485", 1, "main", 3, start, count, 1.0, "exception-2", 0, demanded=True)


@pytest.mark.slow
def test_a_flood_of_wanted_ranges_costs_no_live_data(bench: Bench) -> None:
    bench.start()
    bench.audience.await_live("poll", 3)
    for node in range(8):
        wanted = RequestsMessage(tuple(_entry(9000 + 5000 * node + 10 * one, 5) for one in range(256)))
        bench.audience.link.publish(f"ksem/rtu/n{node}/requests", wanted.encode(), retain=True)
        bench.audience.link.publish(f"ksem/rtu/n{node}/status", b"online", retain=True)
    live = bench.audience.await_live("poll", 40, within=30)
    measured = [block.boot_ms - block.age_ms for block in live]
    assert max(later - earlier for earlier, later in pairwise(measured)) < 1000


def test_nodes_that_are_gone_make_room_for_the_one_that_is_there(bench: Bench) -> None:
    for node in range(100):
        bench.audience.link.publish(f"ksem/rtu/gone{node}/status", b"offline", retain=True)
        bench.audience.link.publish(f"ksem/rtu/gone{node}/requests", RequestsMessage(()).encode(), retain=True)
    bench.start()
    bench.audience.await_live("poll", 3)
    bench.audience.link.publish("ksem/rtu/attic/status", b"online", retain=True)
    wanted = RequestsMessage((_entry(49206, 10),))
    bench.audience.link.publish("ksem/rtu/attic/requests", wanted.encode(), retain=True)
    bench.audience.await_block("r49206-10")


def _cycle_of(block: BlockMessage) -> int:
    """Which cycle of the meter a whole block is: exactly one."""
    registers = tuple(block.registers)
    for cycle in range(2000):
        image = ksem_image(cycle)
        if all(registers[at] in {image[at], None} for part in VALUES for at in range(part.start, part.stop)):
            return cycle
    raise AssertionError(f"no cycle of the meter: {registers}")


@pytest.mark.slow
@pytest.mark.parametrize("slow", [0.09, 0.12, 0.15])
def test_a_slow_meter_without_push_is_read_whole_and_never_torn(bench: Bench, slow: float) -> None:
    bench.meter.slow = slow
    bench.start("[poll]\nenergy = 10\ndevice = 10\nsunspec = 60\n")
    live = bench.audience.await_live("poll", 20, within=40)
    for block in live:
        _cycle_of(block)
    measured = [block.boot_ms - block.age_ms for block in live]
    assert max(later - earlier for earlier, later in pairwise(measured)) < 1700
    assert sum(None not in block.registers[120:128] for block in live) >= 5


@pytest.mark.slow
def test_of_a_meter_slower_than_its_cycle_the_total_is_published_and_health_says_why(bench: Bench) -> None:
    bench.meter.slow = 0.25
    bench.start("[poll]\nenergy = 10\ndevice = 10\nsunspec = 60\n")
    for block in bench.audience.await_live("poll", 8, within=40):
        _cycle_of(block)
    bench.audience.await_health(lambda one: "an answer takes 2" in one.why and "L3" in one.why, "the reason")


@pytest.mark.parametrize("source", ["push", pytest.param("poll", marks=pytest.mark.slow)])
def test_a_house_with_backup_power_gets_data_while_the_grid_is_away(bench: Bench, source: str) -> None:
    bench.meter.more = {**dict.fromkeys(range(148), 0), 63: 1}
    bench.start(FAST + "[checks]\noutage = true\nfrozen_after = 1\n")
    if source == "push":
        bench.push()
    for block in bench.audience.await_live(source, 20, within=20):
        assert block.registers[26:28] == (0, 0)
    bench.audience.await_block("energy")
