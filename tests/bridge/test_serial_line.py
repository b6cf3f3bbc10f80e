"""The answering line on a real pseudo-terminal, asked with raw bytes."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ksem_contract.reasons import sentence
from modbus_codec.crc import append_crc
from rtu_server.register_cache import FreshnessLimits, RegisterCache
from rtu_server.responder import Responder, Unit
from rtu_server.serial_line import SerialLine
from rtu_server.settings import LineSettings, UnitSettings
from service_runtime.clock import boottime
from tests.bridge.service import freeze
from tests.unit.rtu_server.blocks import block, echo

READ_TOTALS = bytes.fromhex("01 03 00 00 00 1c 44 03")
READ_PHASES = bytes.fromhex("01 03 00 28 00 6a 45 ed")
STALE = bytes.fromhex("01 83 04 40 f3")
ILLEGAL_ADDRESS = bytes.fromhex("01 83 02 c0 f1")
NOT_ANSWERED_WITHIN = 0.25
"""Longer than an idle gap and any answer; the line must be silent for all of it."""


@dataclass
class Wire:
    """The client's end of the line, and the parts of the server."""

    path: Path
    ports: list[tuple[bool, str]] = field(default_factory=list)
    master: int = -1
    book: RegisterCache = field(default_factory=lambda: RegisterCache(FreshnessLimits()))
    _seq: int = 0

    def plug_in(self) -> None:
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(slave))
        self._slave = slave

    def unplug(self) -> None:
        self.path.unlink()
        os.close(self._slave)
        os.close(self.master)

    @property
    def slave(self) -> int:
        """The server's end, to change the port's settings."""
        return self._slave

    def feed(self, fill: int = 7) -> None:
        """Let a fresh live block arrive."""
        now = boottime()
        self._seq += 1
        self.book.settle_doubt()
        echo(self.book, at=now)
        self.book.on_block(block(at=now, fill=fill, seq=self._seq), now)

    def send(self, data: bytes) -> None:
        os.write(self.master, data)

    def received(self, count: int, within: float = 2.0) -> bytes:
        """Return `count` bytes of the server, fewer if they don't come in time."""
        data = b""
        until = time.monotonic() + within
        while len(data) < count and select.select([self.master], [], [], max(0.0, until - time.monotonic()))[0]:
            data += os.read(self.master, 4096)
        return data

    def ask(self, request: bytes, count: int) -> bytes:
        self.send(request)
        return self.received(count)

    def ask_within(self, request: bytes, count: int, within: float) -> bytes:
        self.send(request)
        return self.received(count, within)

    def is_silent(self) -> bool:
        return self.received(1, NOT_ANSWERED_WITHIN) == b""

    def await_port(self, up: bool) -> None:
        until = time.monotonic() + 5
        while not self.ports or self.ports[-1][0] is not up:
            assert time.monotonic() < until, f"port never {'opened' if up else 'closed'}: {self.ports}"
            time.sleep(0.005)


def data_reply(count: int, fill: int) -> bytes:
    return append_crc(bytes((1, 3, 2 * count)) + fill.to_bytes(2, "big") * count)


def build(wire: Wire, **settings: object) -> SerialLine:
    units = {1: Unit(1, "main", wire.book), 5: Unit(5, "main", RegisterCache(FreshnessLimits()), enabled=False)}
    return SerialLine(
        LineSettings(port=str(wire.path), unit=(UnitSettings(id=1), UnitSettings(id=5)), **settings),  # type: ignore[arg-type]
        Responder(units),
        lambda up, reasons: wire.ports.append((up, sentence(reasons))),
    )


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    """A line that has fresh data and is open."""
    wire = Wire(tmp_path / "port")
    wire.plug_in()
    line = build(wire)
    line.start()
    wire.await_port(up=True)
    wire.feed()
    yield wire
    line.stop()


def test_a_fresh_range_is_answered_with_the_meters_registers(wire: Wire) -> None:
    assert wire.ask(READ_TOTALS, 61) == data_reply(28, 7)
    assert wire.ask(READ_PHASES, 217) == data_reply(106, 7)


def test_a_new_block_is_in_the_next_answer(wire: Wire) -> None:
    assert wire.ask(READ_TOTALS, 61) == data_reply(28, 7)
    wire.feed(fill=9)
    assert wire.ask(READ_TOTALS, 61) == data_reply(28, 9)


def test_stale_data_is_refused_with_exception_4(wire: Wire) -> None:
    assert wire.ask(READ_TOTALS, 61) == data_reply(28, 7)
    time.sleep(1.6)  # the limit itself is what passes
    assert wire.ask(READ_TOTALS, 5) == STALE
    wire.feed()
    assert wire.ask(READ_TOTALS, 61) == data_reply(28, 7)


@pytest.mark.parametrize(
    ("request_hex", "answer_hex"),
    [
        ("01 03 01 2c 00 01", "01 83 02"),
        ("01 03 00 93 00 02", "01 83 02"),
        ("01 04 00 02 00 02", "01 84 02"),
        ("01 03 00 00 00 00", "01 83 03"),
        ("01 03 00 00 00 7e", "01 83 03"),
        ("01 06 00 00 00 01", "01 86 01"),
        ("01 10 00 00 00 01 02 00 07", "01 90 01"),
        ("01 05 00 00 ff 00", "01 85 01"),
        ("01 2b 0e 01 00", "01 ab 01"),
        ("01 42", "01 c2 01"),
        ("01 03 02 00 00 01", "01 83 04"),
    ],
)
def test_other_requests_get_the_exception_that_is_due_and_reading_goes_on(
    wire: Wire, request_hex: str, answer_hex: str
) -> None:
    assert wire.ask(append_crc(bytes.fromhex(request_hex)), 5) == append_crc(bytes.fromhex(answer_hex))
    assert wire.ask(READ_TOTALS, 61) == data_reply(28, 7)


@pytest.mark.parametrize(
    "others",
    [
        append_crc(bytes.fromhex("02 03 00 00 00 1c")),
        append_crc(bytes.fromhex("00 03 00 00 00 1c")),
        append_crc(bytes.fromhex("00 06 00 00 00 01")),
        append_crc(bytes.fromhex("05 03 00 00 00 1c")),
        append_crc(bytes.fromhex("02 03 00 00 00 1c")) + append_crc(bytes((2, 3, 56)) + READ_TOTALS * 7),
        append_crc(bytes.fromhex("02 83 02")),
        data_reply(28, 7),
        data_reply(106, 7),
        READ_TOTALS[:-1] + b"\xff",
        READ_TOTALS[:5],
        b"\x00",
        bytes(range(200)),
        b"\xff" * 300,
    ],
    ids=lambda others: f"{others[:3].hex()}+{len(others)}",
)
def test_what_is_not_for_us_is_met_with_silence_and_the_next_request_is_answered(wire: Wire, others: bytes) -> None:
    wire.send(others)
    assert wire.is_silent()
    wire.feed()  # so many bytes at once may be taken for a pause that no clock counted: a new echo is due
    assert wire.ask(READ_TOTALS, 61) == data_reply(28, 7)


def test_a_request_that_comes_byte_by_byte_is_answered_once(wire: Wire) -> None:
    for byte in READ_TOTALS:
        wire.send(bytes((byte,)))
        time.sleep(0.0003)  # the pace of the line
    assert wire.received(61) == data_reply(28, 7)
    assert wire.is_silent()


def test_noise_right_before_a_request_does_not_cost_it(wire: Wire) -> None:
    for noise in (b"\x00", b"\xff\x01", b"\x01\x03"):
        assert wire.ask(noise + READ_TOTALS, 61) == data_reply(28, 7)


def test_two_requests_at_one_look_are_a_pause_that_no_clock_counted_and_get_no_data_before_a_new_echo(
    wire: Wire,
) -> None:
    wire.send(READ_PHASES + READ_TOTALS)
    assert wire.is_silent()
    assert wire.ask(READ_TOTALS, 5) == STALE
    wire.feed()
    assert wire.ask(READ_TOTALS, 61) == data_reply(28, 7)


def test_a_request_overtaken_within_its_silence_is_not_answered(wire: Wire) -> None:
    for _ in range(50):
        wire.feed()
        wire.send(READ_PHASES)
        sent = time.perf_counter()
        while time.perf_counter() - sent < 0.0006:  # until the server has read it, but for a busy host
            pass
        wire.send(READ_TOTALS)
        if time.perf_counter() - sent > 0.001:
            wire.received(1000, 0.1)
        elif answer := wire.received(61, 0.2):  # nothing: it read both at one look
            assert answer == data_reply(28, 7)
            assert wire.is_silent()
            return
    pytest.skip("this host never read one request before the next came within its silence")


@pytest.mark.promise(4)
def test_no_answer_begins_before_the_silence_of_a_frame_is_over(wire: Wire) -> None:
    waits = []
    for _ in range(50):
        wire.feed()
        requested = time.perf_counter()
        wire.send(READ_TOTALS)
        begun = wire.received(1)
        waits.append(time.perf_counter() - requested)
        assert begun + wire.received(61 - len(begun)) == data_reply(28, 7)
    assert min(waits) >= 0.00175


@pytest.mark.promise(4)
def test_an_answer_that_the_port_does_not_take_is_dropped_and_never_sent_late(wire: Wire) -> None:
    for _ in range(200):  # nobody reads: the pseudo-terminal's buffer fills
        wire.send(READ_PHASES)
        time.sleep(0.003)
    backlog = wire.received(1 << 20, 0.3)
    assert len(backlog) < 200 * 217
    assert wire.is_silent()
    wire.feed(fill=3)
    assert wire.ask(READ_TOTALS, 61) == data_reply(28, 3)


def test_a_port_that_vanishes_and_comes_back_under_its_name_is_used_again(wire: Wire) -> None:
    wire.unplug()
    wire.await_port(up=False)
    wire.plug_in()
    wire.await_port(up=True)
    wire.feed()
    assert wire.ask(READ_TOTALS, 61) == data_reply(28, 7)


def test_a_port_that_is_absent_at_start_is_waited_for(tmp_path: Path) -> None:
    wire = Wire(tmp_path / "port")
    line = build(wire)
    line.start()
    wire.await_port(up=False)
    assert "no such port" in wire.ports[-1][1]
    wire.plug_in()
    wire.await_port(up=True)
    wire.feed()
    assert wire.ask(READ_TOTALS, 61) == data_reply(28, 7)
    line.stop()


def test_a_port_held_by_another_program_is_named_as_such(wire: Wire) -> None:
    second = Wire(wire.path)
    line = build(second)
    line.start()
    second.await_port(up=False)
    assert "held by another program" in second.ports[-1][1]
    line.stop()


def test_settings_that_another_program_changes_are_set_anew(wire: Wire) -> None:
    assert wire.ask(READ_TOTALS, 61) == data_reply(28, 7)
    subprocess.run(["stty", "-F", os.ttyname(wire.slave), "sane"], check=True)
    until = time.monotonic() + 6
    while (answer := wire.ask_within(READ_TOTALS, 61, 0.2)) != data_reply(28, 7):
        assert time.monotonic() < until, answer
        wire.feed()


def test_a_program_that_has_the_port_open_too_is_named(tmp_path: Path) -> None:
    wire = Wire(tmp_path / "port")
    wire.plug_in()
    with subprocess.Popen(["sleep", "60"], stdin=wire.slave) as other:
        line = build(wire)
        line.start()
        wire.await_port(up=True)
        other.kill()
    assert f"also open in sleep (process {other.pid})" in wire.ports[-1][1]
    line.stop()


def test_a_port_without_rs485_mode_is_closed_and_named_where_that_is_asked_for(tmp_path: Path) -> None:
    wire = Wire(tmp_path / "port")
    wire.plug_in()
    line = build(wire, rs485=True)
    line.start()
    wire.await_port(up=False)
    assert "rs485 = true" in wire.ports[-1][1]
    line.stop()


SERVE = """
import sys
from pathlib import Path
from tests.bridge.test_serial_line import Wire, build
wire = Wire(Path(sys.argv[1]))
line = build(wire)
line.start()
wire.await_port(up=True)
wire.feed()
print("ready", flush=True)
while True:
    __import__("time").sleep(0.05)
    wire.feed()
"""


@pytest.mark.parametrize("first", [0, 4, 8], ids=["before", "in the middle of", "after"])
@pytest.mark.promise(4)
def test_no_answer_follows_a_stall_of_the_process(tmp_path: Path, first: int) -> None:
    """The process is stopped before, in the middle of or right after a request and goes on 0.3 s later."""
    wire = Wire(tmp_path / "port")
    wire.plug_in()
    with subprocess.Popen([sys.executable, "-c", SERVE, str(wire.path)], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            assert wire.ask(READ_TOTALS, 61) == data_reply(28, 7)
            for _ in range(3):
                wire.send(READ_TOTALS[:first])
                freeze(server.pid)
                wire.send(READ_TOTALS[first:])
                time.sleep(0.3)  # the stall itself
                in_time = wire.received(61, 0.01)  # it may have been answered before it stood
                assert in_time in (b"", data_reply(28, 7))
                assert first == 8 or not in_time
                server.send_signal(signal.SIGCONT)
                assert wire.received(1, NOT_ANSWERED_WITHIN) == b""
                assert wire.ask(READ_TOTALS, 61) == data_reply(28, 7)
        finally:
            server.kill()
