"""`airbridge capture` as a process, beside simulators that are processes too."""

import contextlib
import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from airbridge.capture.output import load_capture
from airbridge.capture.summary import CaptureSummary, Row
from ksem_contract.capture_file import CaptureHeader, CaptureRecord
from ksem_simulators.line.wire_log import WireLogReader
from ksem_simulators.simulator import KsemHandle, LineHandle, PlenticoreHandle
from modbus_codec.pdu import FunctionCode, ReadReply
from modbus_codec.rtu import Request, RtuFrame, RtuFrameReader
from service_runtime.clock import boottime

from .broker import accepts, free_port

_ALL_GROUPS = "total,phases,energy_total,energy_phases"
_PLACES = [(0, 28), (40, 106), (512, 40), (592, 120), (712, 80)]


class _Capture:
    """The command, started; `end` gives what it printed."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "airbridge", "capture", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"COLUMNS": "120"},
        )

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def end(self, timeout: float = 20.0) -> tuple[int, str]:
        try:
            output, _ = self._process.communicate(timeout=timeout)
        finally:
            self._process.kill()
            self._process.wait()
        return self._process.returncode, output


def _load(path: Path) -> tuple[CaptureHeader, list[CaptureRecord], CaptureSummary]:
    header, records = load_capture(path)
    summary = CaptureSummary()
    for record in records:
        summary.add(record)
    return header, records, summary


def _wait_for(condition: object, seconds: float = 15.0) -> None:
    deadline = boottime() + seconds
    while not condition():  # type: ignore[operator]
        assert boottime() < deadline, "it did not happen"
        time.sleep(0.02)


def _places(rows: list[Row]) -> list[tuple[int | None, int | None]]:
    return sorted((row.key.start or 0, row.key.count) for row in rows)


def test_all_that_a_meter_writes_is_recorded_and_summed_up(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "push.jsonl"
    capture = _Capture("push", "--listen", "127.0.0.1", "--port", str(port), "--output", str(file))
    _wait_for(lambda: accepts("127.0.0.1", port))
    with KsemHandle(tmp_path, push=("127.0.0.1", port), options=("--groups", _ALL_GROUPS, "--gap", "8")) as ksem:
        _wait_for(lambda: ksem.status()["push"][0]["cycles"] >= 10)
        capture.interrupt()
        code, output = capture.end()
        reported = ksem.status()["push"][0]
    assert code == 0, output
    header, records, summary = _load(file)
    assert (header.kind, header.serial_number) == ("push", False)
    assert _places(summary.rows) == _PLACES
    writes = [record for record in records if record.what == "write"]
    assert {(record.function, record.unit) for record in writes} == {(16, 1)}
    assert all(record.values is not None and len(record.values) == record.count for record in writes)
    # The meter counts what was answered; the last one may have been cut off by the end.
    assert 0 <= len(writes) - reported["writes"] <= 1
    order = summary.order
    assert order is not None
    assert [(key.start, key.count) for key in order.parts] == _PLACES
    assert order.period_ms is not None
    assert order.period_ms.median == pytest.approx(200, abs=20)
    for row in summary.rows:
        assert row.period_ms is not None
        assert row.period_ms.median == pytest.approx(200, abs=20)
    assert re.search(r"16 +1 +40-145 +106 +\d+ ", output)
    assert f"{len(writes)} writes, 0 reads, 0 refused, from 127.0.0.1" in output


def test_registers_are_recorded_as_the_meter_said_them_however_it_splits_them(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "push.jsonl"
    capture = _Capture("push", "--listen", "127.0.0.1", "--port", str(port), "-o", str(file), "--seconds", "2.5")
    _wait_for(lambda: accepts("127.0.0.1", port))
    options = ("--split", "0-9,10-27,40-99,100-145", "--unit", "255", "--pipeline", "--reconnect")
    with KsemHandle(tmp_path, push=("127.0.0.1", port), options=options) as ksem:
        code, output = capture.end()
        assert code == 0, output
        assert ksem.status()["push"][0]["exceptions"] == 0
    _, records, summary = _load(file)
    assert _places(summary.rows) == [(0, 10), (10, 18), (40, 60), (100, 46)]
    frequencies = [
        struct.unpack(">I", struct.pack(">2H", *(value or 0 for value in record.values[16:18])))[0]
        for record in records
        if record.what == "write" and record.start == 10 and record.values
    ]
    assert frequencies
    assert all(49_000 < frequency < 51_000 for frequency in frequencies)
    assert summary.counts["connected"] >= 5


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "precious.jsonl"
    file.write_text("precious")
    code, output = _Capture("push", "--port", str(free_port()), "-o", str(file), "--seconds", "1").end()
    assert code == 2
    assert "--force" in output
    assert file.read_text() == "precious"


def test_a_port_that_is_taken_is_told_with_its_remedy(tmp_path: Path) -> None:
    port, arguments = free_port(), ("--listen", "127.0.0.1", "--seconds", "5")
    first = _Capture("push", "--port", str(port), "-o", str(tmp_path / "1"), *arguments)
    _wait_for(lambda: accepts("127.0.0.1", port))
    code, output = _Capture("push", "--port", str(port), "-o", str(tmp_path / "2"), *arguments).end()
    first.interrupt()
    first.end()
    assert code == 2
    assert f"127.0.0.1:{port}" in output
    assert "--port" in output


def test_a_serial_port_that_is_not_there_is_told_with_its_remedy(tmp_path: Path) -> None:
    code, output = _Capture("bus", str(tmp_path / "none"), "-o", str(tmp_path / "bus.jsonl")).end()
    assert code == 2
    assert "no such port" in output
    assert not (tmp_path / "bus.jsonl").exists()


class _Meter:
    """Answers on the line as a meter does: data for 0-147 and 8192-8249, nothing for unit 9."""

    def __init__(self, port: Path) -> None:
        self._descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        reader = RtuFrameReader()
        while not self._stop.wait(0.001):
            with contextlib.suppress(BlockingIOError):
                for received in reader.feed(os.read(self._descriptor, 256), boottime()):
                    if isinstance(received, Request):
                        time.sleep(0.002)
                        os.write(self._descriptor, _reply(received))

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._descriptor)


def _reply(received: Request) -> bytes:
    start, count = struct.unpack(">HH", received.pdu[1:5])
    registers = tuple((start + offset) & 0xFFFF for offset in range(count))
    return RtuFrame(received.unit, ReadReply(FunctionCode(received.pdu[0]), registers).encode()).encode()


class _Tap:
    """A third port on the line: what was on the wire comes out of it, when it was there."""

    def __init__(self, wire_log: Path) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        self.port = os.ttyname(self._slave)
        self._log = WireLogReader(wire_log)
        self._newest = self._log.newest
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.001):
            for number, byte in self._log.after(self._newest):
                os.write(self.master, bytes((byte.value,)))
                self._newest = number

    @property
    def is_heard(self) -> bool:
        """Whether all that was on the wire has been read from the port."""
        unread = fcntl.ioctl(self._slave, termios.FIONREAD, b"\0\0\0\0")
        return self._newest == self._log.newest and unread == b"\0\0\0\0"

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._log.close()
        os.close(self._slave)
        os.close(self.master)


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[tuple[LineHandle, _Tap]]:
    with LineHandle(tmp_path) as line:
        meter = _Meter(line.server)
        tap = _Tap(line.wire_log)
        try:
            yield line, tap
        finally:
            tap.close()
            meter.close()


def test_all_that_inverter_and_meter_say_is_recorded_and_summed_up(
    tmp_path: Path, bus: tuple[LineHandle, _Tap]
) -> None:
    line, tap = bus
    file = tmp_path / "bus.jsonl"
    capture = _Capture("bus", tap.port, "--output", str(file))
    _wait_for(file.exists)
    with PlenticoreHandle(tmp_path, line=line, truth=None) as inverter:
        inverter.wait_for("data", 30)
        inverter.command("plan", ranges="8228-8243,0-27,40-145")
        inverter.wait_for("data", 12)
        inverter.command("pause")
        reported = inverter.status()
    _wait_for(lambda: tap.is_heard)
    capture.interrupt()
    code, output = capture.end()
    assert code == 0, output
    assert tap_received_nothing(tap)
    header, records, summary = _load(file)
    assert header.kind == "bus"
    got = {_place(name): (part["requests"], part["outcomes"]) for name, part in reported["ranges"].items()}
    rows = {(row.key.start, row.key.count): row for row in summary.rows}
    assert rows.keys() == got.keys()
    for place, (requests, outcomes) in got.items():
        row = rows[place]
        # A busy host may hand over two frames as one, once; and what it costs the inverter, the capture sees as that.
        assert requests - 1 <= row.seen <= requests
        assert row.answered + row.timeouts == row.seen
        assert row.timeouts <= 1 + requests - outcomes["data"]
    assert records[0].start == 8244
    replies = [record for record in records if record.what == "reply"]
    assert all(
        record.values == tuple(range(record.start, record.start + (record.count or 0)))
        for record in replies
        if record.start is not None and record.start != 8228
    )
    assert next(set(record.values or ()) for record in replies if record.start == 8228) == {None}
    for start, count in ((0, 28), (40, 106)):
        row = next(row for row in summary.rows if (row.key.start, row.key.count) == (start, count))
        assert row.delay_ms is not None
        took = reported["ranges"][str(row.key)]["turnaround_ms"]
        # A busy host scatters both, by as much as the inverter's own times scatter.
        assert row.delay_ms.median == pytest.approx(took["p50"], abs=1.5 + took["p99"] - took["p50"])
    assert "How it is answered" in output


def tap_received_nothing(tap: _Tap) -> bool:
    """Whether the capture kept silent on the line."""
    with contextlib.suppress(BlockingIOError):
        return os.read(tap.master, 16) == b""
    return True


def _place(name: str) -> tuple[int, int]:
    first, _, last = name.partition("-")
    return int(first), int(last or first) - int(first) + 1


def test_timeouts_and_exceptions_are_counted(tmp_path: Path) -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    file = tmp_path / "bus.jsonl"
    capture = _Capture("bus", os.ttyname(slave), "--output", str(file))
    _wait_for(file.exists)
    time.sleep(0.2)
    for piece in ("010300000002c40b", "010300000002c40b", "018304" + "40f3", "ffff00ff", "010300000002c40b"):
        os.write(master, bytes.fromhex(piece))
        time.sleep(0.06)
    capture.interrupt()
    code, output = capture.end()
    os.close(master)
    os.close(slave)
    assert code == 0, output
    _, _, summary = _load(file)
    (row,) = summary.rows
    assert (row.seen, row.answered, row.timeouts, dict(row.exceptions)) == (3, 0, 1, {4: 1})
    assert summary.counts["noise"] == 1
    assert "1 x 4" in output


def test_an_adapter_that_is_pulled_ends_the_capture_with_its_summary(tmp_path: Path) -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    file = tmp_path / "bus.jsonl"
    capture = _Capture("bus", os.ttyname(slave), "--output", str(file))
    _wait_for(file.exists)
    time.sleep(0.2)
    os.write(master, bytes.fromhex("010300000002c40b"))
    time.sleep(0.1)
    os.close(slave)
    os.close(master)
    code, output = capture.end()
    assert code == 2
    assert "unplugged" in output
    assert _load(file)[2].rows[0].seen == 1
