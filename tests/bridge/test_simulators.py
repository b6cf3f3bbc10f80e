"""The simulators as processes: each does what it says, in time, and the inverter's judge catches what it must."""

import itertools
import select
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import serial
from pymodbus.client import ModbusTcpClient

from ksem_contract.registers import RegisterRange
from ksem_simulators.ksem.push_plan import PushSettings
from ksem_simulators.line.wire_log import LOST, TO_CLIENT, TO_SERVER, WireByte, WireLogReader
from ksem_simulators.process import CommandRefused
from ksem_simulators.simulator import KsemHandle, LineHandle, PlenticoreHandle, SimulatorFailed
from ksem_simulators.truth import Block, TruthReader
from modbus_codec import MbapReader
from service_runtime.clock import boottime

from .broker import free_port
from .certificates import make_certificates
from .simulator_peers import RawClient, Receiver, RtuResponder, Write, with_crc

WHOLE_MAP = [(0, 100), (100, 48), (512, 120), (632, 120), (752, 40), (8192, 58), (40000, 100), (40100, 79)]
CHARACTER = 11 / 38400


@pytest.fixture(scope="module")
def peer() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def receiver(peer: Receiver) -> Receiver:
    peer.forget()
    return peer


@pytest.fixture
def own_receiver() -> Iterator[Receiver]:
    """For tests with a meter of their own."""
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def meter(tmp_path_factory: pytest.TempPathFactory, peer: Receiver) -> Iterator[KsemHandle]:
    with KsemHandle(tmp_path_factory.mktemp("meter"), push=peer.address) as handle:
        yield handle


@pytest.fixture
def ksem(meter: KsemHandle, receiver: Receiver) -> Iterator[KsemHandle]:
    """One meter for all tests, well again after each."""
    yield meter
    meter.command("clear")
    meter.command("push", **asdict(PushSettings()))
    meter.command("firmware", version="2.6.0")


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LineHandle]:
    with LineHandle(tmp_path_factory.mktemp("line")) as handle:
        yield handle


@pytest.fixture
def line(wire: LineHandle) -> Iterator[LineHandle]:
    """One line for all tests, whole again after each."""
    yield wire
    wire.command("clear")
    for do in ("unplug", "plug"):  # new ports: nothing of this test is on its way to the next
        for end in ("server", "client"):
            wire.command(do, end=end)


# The meter


def test_pymodbus_reads_the_whole_map_and_every_answer_is_what_the_truth_says(ksem: KsemHandle) -> None:
    truth = TruthReader(ksem.truth)
    client = ModbusTcpClient("127.0.0.1", port=ksem.port)
    assert client.connect()  # type: ignore[no-untyped-call]
    for start, count in WHOLE_MAP:
        answer = client.read_holding_registers(start, count=count, device_id=71)
        verdict = truth.judge(start, answer.registers, boottime())
        assert verdict.kind == "good", (start, verdict)
        assert verdict.age is not None
        assert verdict.age < 1.0
    client.close()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        ("0400000002", 2),
        ("0300000094", 3),
        ("0300000000", 3),
        ("0300930002", 2),
        ("0303180001", 2),
        ("03a00c0001", 2),
        ("0600000001", 1),
        ("2b0e0100", 1),
    ],
)
def test_all_else_is_refused(ksem: KsemHandle, pdu: str, code: int) -> None:
    with RawClient(ksem.port) as client:
        (frame,) = MbapReader().feed(client.ask(bytes.fromhex(pdu)))
        assert frame.pdu == bytes((bytes.fromhex(pdu)[0] | 0x80, code))


def test_with_tls_only_tls_is_answered(tmp_path: Path) -> None:
    files = make_certificates(tmp_path)
    options = ["--tls", "--tls-cert", str(files.server_cert), "--tls-key", str(files.server_key)]
    with KsemHandle(tmp_path, options=options) as ksem:
        with pytest.raises((TimeoutError, ConnectionError, AssertionError, ValueError)), RawClient(ksem.port) as client:
            client.read(0, 2)
        context = ssl.create_default_context(cafile=str(files.ca))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the tests' CA states no key usage; Python 3.13 asks for it
        with (
            socket.create_connection(("127.0.0.1", ksem.port), 2) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as wrapped,
        ):
            wrapped.sendall(bytes.fromhex("000100000006 01 03 2034 0001".replace(" ", "")))
            assert wrapped.recv(100)[-2:] == b"\x00\xc8"


def _cycles(count: int) -> Callable[[list[Write]], bool]:
    return lambda writes: sum(write.range.start == 40 for write in writes) >= count


def test_both_groups_of_each_cycle_are_pushed_from_one_measurement(ksem: KsemHandle, receiver: Receiver) -> None:
    truth = TruthReader(ksem.truth)
    writes = receiver.wait_for(_cycles(8))
    writes = writes[writes[0].range.start != 0 :]
    assert [str(write.range) for write in writes[:4]] == ["0-27", "40-145", "0-27", "40-145"]
    for head, body in _pairs(writes):
        verdicts = [truth.judge(write.range.start, write.registers, write.at) for write in (head, body)]
        assert [verdict.kind for verdict in verdicts] == ["good", "good"]
        assert verdicts[0].cycle == verdicts[1].cycle
        assert all(verdict.age is not None and verdict.age < 0.1 for verdict in verdicts)
    gaps = [b.at - a.at for a, b in itertools.pairwise(write for write in writes if write.range.start == 0)]
    assert statistics.median(gaps) == pytest.approx(0.2, abs=0.01)


def _pairs(writes: list[Write]) -> list[tuple[Write, Write]]:
    return list(zip(writes[::2], writes[1::2], strict=False))


def test_pushing_can_be_changed_while_it_runs(ksem: KsemHandle, receiver: Receiver) -> None:
    receiver.wait_for(_cycles(2))
    ksem.command("push", split="hundred", gap=0.03, unit=255)
    writes = receiver.wait_for(lambda writes: sum(write.range.start == 100 for write in writes) >= 3)
    head, rest = next(pair for pair in itertools.pairwise(writes) if pair[1].range.start == 100)
    assert [str(head.range), str(rest.range), rest.unit] == ["0-99", "100-147", 255]
    assert 0.028 < rest.at - head.at < 0.15
    ksem.command("push", groups=["total"], split="groups")
    receiver.forget()
    assert {str(write.range) for write in receiver.wait_for(lambda writes: len(writes) >= 4)[1:]} == {"0-27"}
    ksem.command("push", enabled=False)
    ksem.command("push", enabled=True, groups=["total", "phases", "energy_total", "energy_phases"])
    writes = receiver.wait_for(lambda writes: any(write.range.start == 712 for write in writes))
    truth = TruthReader(ksem.truth)
    energy = [write for write in writes if write.range.start >= 512][-3:]
    assert {truth.judge(write.range.start, write.registers, write.at).kind for write in energy} == {"good"}


def test_a_meter_that_falls_silent_keeps_its_connection(ksem: KsemHandle, receiver: Receiver) -> None:
    receiver.wait_for(_cycles(2))
    before = ksem.status()["push"][0]["connects"]
    ksem.command("push", silent=True)
    cycle = ksem.status()["cycle"]
    while ksem.status()["cycle"] < cycle + 2:
        select.select((), (), (), 0.02)
    receiver.forget()
    while ksem.status()["cycle"] < cycle + 5:
        select.select((), (), (), 0.02)
    assert receiver.writes == []
    ksem.command("push", silent=False)
    receiver.wait_for(_cycles(1))
    assert ksem.status()["push"][0]["connects"] == before


def test_a_slow_second_half_still_belongs_to_its_cycle(tmp_path: Path, own_receiver: Receiver) -> None:
    with KsemHandle(tmp_path, push=own_receiver.address, options=["--second-half", "120", "--split", "phases"]) as ksem:
        writes = own_receiver.wait_for(lambda writes: len(writes) >= 8)[:4]
        truth = TruthReader(ksem.truth)
        assert len({truth.judge(write.range.start, write.registers, write.at).cycle for write in writes}) == 1
        assert [str(write.range) for write in writes] == ["0-27", "40-65", "80-105", "120-145"]
        assert writes[2].at - writes[1].at > 0.115


def test_fifty_pushes_a_second_with_a_value_of_its_own_each(tmp_path: Path, own_receiver: Receiver) -> None:
    with KsemHandle(tmp_path, push=own_receiver.address, options=["--cycle", "20"]) as ksem:
        writes = own_receiver.wait_for(_cycles(100))
        bodies = [write for write in writes if write.range.start == 40]
        assert len({body.registers for body in bodies}) == len(bodies)
        assert bodies[99].at - bodies[0].at == pytest.approx(99 * 0.02, rel=0.1)
        assert ksem.stop()["push"][0]["exceptions"] == 0


def test_a_fixed_interval_pipelined_over_two_connections(tmp_path: Path, own_receiver: Receiver) -> None:
    options = ["--interval", "0.05", "--pipeline", "--connections", "2", "--order", "down", "--split", "phases"]
    with KsemHandle(tmp_path, push=own_receiver.address, options=options):
        writes = own_receiver.wait_for(lambda writes: len(writes) >= 40)
    assert len({write.peer for write in writes}) == 2
    assert {str(write.range) for write in writes} == {"0-27", "40-65", "80-105", "120-145"}
    starts = [write.at for write in writes if write.range.start == 120]
    assert statistics.median(b - a for a, b in itertools.pairwise(starts)) == pytest.approx(0.05, abs=0.01)


def test_several_meters_in_one_process_have_addresses_and_truths_of_their_own(
    tmp_path: Path, own_receiver: Receiver
) -> None:
    options = ["--count", "3", "--port", str(free_port())]
    with KsemHandle(tmp_path, push=own_receiver.address, host="127.0.3.1", options=options) as ksem:
        writes = own_receiver.wait_for(lambda writes: len({write.peer[0] for write in writes}) == 3)
        ksem.command("push", enabled=False, meter=2)
        for peer, suffix in (("127.0.3.1", ""), ("127.0.3.2", ".1"), ("127.0.3.3", ".2")):
            truth = TruthReader(ksem.truth.with_name(ksem.truth.name + suffix))
            write = next(write for write in writes if write.peer[0] == peer)
            assert truth.judge(write.range.start, write.registers, write.at).kind == "good"
        own_receiver.forget()
        later = own_receiver.wait_for(lambda writes: sum(write.peer[0] == "127.0.3.1" for write in writes) >= 6)
        assert "127.0.3.2" in {write.peer[0] for write in later}
        assert sum(write.peer[0] == "127.0.3.3" for write in later) <= 2


def test_a_cut_connection_is_opened_again(ksem: KsemHandle, receiver: Receiver) -> None:
    receiver.wait_for(_cycles(2))
    before = ksem.status()["push"][0]["connects"]
    ksem.command("drop-connections")
    receiver.forget()
    receiver.wait_for(_cycles(2))
    assert ksem.status()["push"][0]["connects"] == before + 1


def _fault(ksem: KsemHandle, name: str, **parameters: object) -> RawClient:
    ksem.command("fault", name=name, **parameters)
    return RawClient(ksem.port, timeout=0.4)


def test_silent_and_refusing(ksem: KsemHandle) -> None:
    with _fault(ksem, "silent") as client, pytest.raises(TimeoutError):
        client.read(0, 2)
    ksem.command("poll", open=False)
    with pytest.raises(ConnectionRefusedError):
        RawClient(ksem.port)
    ksem.command("clear")
    with RawClient(ksem.port) as client:
        assert len(client.read(0, 2)) == 2


def test_exceptions_for_some_registers_and_a_number_of_times(ksem: KsemHandle) -> None:
    with _fault(ksem, "exception", code=6, only="512-791", times=1) as client:
        assert len(client.read(0, 2)) == 2
        assert client.ask(struct.pack(">BHH", 3, 512, 4))[-2:] == b"\x83\x06"
        assert len(client.read(512, 4)) == 4


def test_a_short_answer_has_fewer_registers(ksem: KsemHandle) -> None:
    with _fault(ksem, "short") as client:
        (frame,) = MbapReader().feed(client.ask(struct.pack(">BHH", 3, 0, 10)))
        assert (frame.pdu[:2], len(frame.pdu)) == (b"\x03\x12", 20)


def test_a_late_answer_has_the_values_of_the_time_it_was_asked(ksem: KsemHandle) -> None:
    with _fault(ksem, "late", seconds=1.0) as client:
        client.set_timeout(3.0)
        words = client.read(0, 28)
        verdict = TruthReader(ksem.truth).judge(0, words, boottime())
        assert verdict.kind == "good"
        assert verdict.age is not None
        assert 1.0 < verdict.age < 1.5


def test_half_an_answer_and_the_end(ksem: KsemHandle) -> None:
    with _fault(ksem, "close") as client:
        half = client.ask(struct.pack(">BHH", 3, 0, 28))
        assert len(half) == (7 + 2 + 56) // 2
        assert client._socket.recv(100) == b""


@pytest.mark.parametrize("name", ["wrong-transaction", "wrong-unit", "garbage"])
def test_answers_that_nobody_may_take(ksem: KsemHandle, name: str) -> None:
    with _fault(ksem, name) as client, pytest.raises((AssertionError, Exception)):
        client.read(0, 28)


def test_another_device_answers_what_the_meter_never_said(ksem: KsemHandle) -> None:
    with _fault(ksem, "foreign") as client:
        for start, count in WHOLE_MAP[:6]:
            words = client.read(start, count)
            assert TruthReader(ksem.truth).judge(start, words, boottime()).kind == "wrong"


def test_a_reboot_is_gone_then_zero_hertz_then_well(ksem: KsemHandle, receiver: Receiver) -> None:
    receiver.wait_for(_cycles(1))
    ksem.command("reboot", gone=0.5, zero=1.0)
    receiver.forget()
    with pytest.raises(ConnectionRefusedError):
        RawClient(ksem.port)
    writes = receiver.wait_for(_cycles(1))
    assert writes[0].range.start == 0
    assert writes[0].registers[26:28] == (0, 0)
    assert TruthReader(ksem.truth).judge(0, writes[0].registers, boottime()).kind == "wrong"
    with RawClient(ksem.port) as client:
        assert client.read(26, 2) == [0, 0]
        assert client.read(514, 2) != [0, 0]
    writes = receiver.wait_for(lambda writes: writes[-1].range.start == 0 and writes[-1].registers[27] > 49_000)
    assert TruthReader(ksem.truth).judge(0, writes[-1].registers, boottime()).kind == "good"


def test_frozen_values_and_counters_that_step_back(ksem: KsemHandle, receiver: Receiver) -> None:
    with RawClient(ksem.port) as client:
        before = client.read(512, 4)
        ksem.command("counters-back", counts=1000)
        receiver.forget()
        receiver.wait_for(_cycles(2))
        after = client.read(512, 4)
        assert 990 < (before[2] - after[2]) * 65536 + before[3] - after[3] <= 1000
        ksem.command("freeze", on=True)
        receiver.forget()
        writes = receiver.wait_for(_cycles(4))
        assert len({write.registers for write in writes if write.range.start == 40}) == 1
        ksem.command("freeze", on=False)
        receiver.forget()
        assert len({write.registers for write in receiver.wait_for(_cycles(4)) if write.range.start == 40}) > 2


def test_another_firmware_moves_the_sunspec_models(ksem: KsemHandle) -> None:
    with RawClient(ksem.port) as client:
        new = (client.read(8195, 1), client.read(40070, 1))
        ksem.command("firmware", version="2.5.0")
        old = (client.read(8195, 1), client.read(40069, 1))
        assert new[1] == old[1] == [203]
        assert new[0] != old[0]


def test_mistaken_commands_are_refused_with_what_is_allowed(ksem: KsemHandle) -> None:
    with pytest.raises(CommandRefused, match=r"command 'brew'.*status"):
        ksem.command("brew")
    with pytest.raises(CommandRefused, match="late"):
        ksem.command("fault", name="lte")
    with pytest.raises(CommandRefused, match="split"):
        ksem.command("push", spilt="groups")


@pytest.mark.parametrize("kind", ["ksem", "line", "plenticore"])
def test_help_tells_the_commands(kind: str) -> None:
    reported = subprocess.run(
        [sys.executable, "-m", "ksem_simulators", kind, "--help"], capture_output=True, text=True, check=True
    )
    assert '{"do":"status"}' in reported.stdout


def test_a_simulator_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(SimulatorFailed, match="split 'thirds'"):
        KsemHandle(tmp_path, options=["--split", "thirds"]).start()


# The line


class _Ends:
    """Both ends of a line, raw."""

    def __init__(self, line: LineHandle) -> None:
        self.server = serial.Serial(str(line.server), 38400, stopbits=2, timeout=0)
        self.client = serial.Serial(str(line.client), 38400, stopbits=2, timeout=0)
        self._log = WireLogReader(line.wire_log)
        self._opened = boottime()

    def log(self) -> list[WireByte]:
        """All that was on the wire since."""
        return self._log.since(self._opened)

    def received(self, end: serial.Serial, count: int, seconds: float = 1.0) -> bytes:
        """So many bytes, or what there was of them in that time."""
        data, until = b"", boottime() + seconds
        while len(data) < count and (left := until - boottime()) > 0:
            if select.select((end.fileno(),), (), (), left)[0]:
                data += end.read(4096)
        return data

    def close(self) -> None:
        self.server.close()
        self.client.close()


@pytest.fixture
def ends(line: LineHandle) -> Iterator[_Ends]:
    made = _Ends(line)
    yield made
    made.close()


def test_217_bytes_take_their_time_on_the_wire_within_one_percent(ends: _Ends) -> None:
    durations = []
    for _ in range(5):
        before = boottime()
        ends.server.write(bytes(range(217)))
        assert ends.received(ends.client, 217) == bytes(range(217))
        seen = boottime() - before
        delivered = [byte.delivered for byte in [byte for byte in ends.log() if byte.delivered > before]]
        assert len(delivered) >= 216
        durations.append(delivered[215] - delivered[0])
        assert seen >= 217 * CHARACTER
    # A busy host may hand over late: the best of five shows the line's own speed.
    nearest = min(durations, key=lambda duration: abs(duration - 215 * CHARACTER))
    assert nearest == pytest.approx(215 * CHARACTER, rel=0.01)


def test_no_byte_is_handed_over_before_its_time(ends: _Ends) -> None:
    ends.client.write(bytes(100))
    ends.received(ends.server, 100)
    log = ends.log()
    assert all(byte.delivered >= byte.due for byte in log)
    for one, two in itertools.pairwise(log):
        assert two.due - one.due == pytest.approx(CHARACTER, abs=1e-9)


def test_both_directions_are_heard_by_the_other_end_only(ends: _Ends) -> None:
    ends.client.write(b"question")
    assert ends.received(ends.server, 8) == b"question"
    ends.server.write(b"answer")
    assert ends.received(ends.client, 6) == b"answer"
    assert ends.server.read(10) == b""


def test_faults_reach_the_end_they_are_meant_for(line: LineHandle, ends: _Ends) -> None:
    before = line.status()["faulted_frames"]
    line.command("fault", kind="flip", to="server", at=2, mask=255, times=1)
    line.command("fault", kind="truncate", to="client", at=3, times=1)
    ends.client.write(b"abcd")
    assert ends.received(ends.server, 4) == b"ab\x9cd"
    ends.server.write(b"efgh")
    assert ends.received(ends.client, 4, 0.1) == b"efg"
    ends.client.write(b"abcd")
    assert ends.received(ends.server, 4) == b"abcd"
    assert [b - a for a, b in zip(before, line.status()["faulted_frames"], strict=True)] == [1, 1]


def test_silence_inside_a_frame_is_as_long_as_told(line: LineHandle, ends: _Ends) -> None:
    line.command("fault", kind="silence", at=4, ms=50, times=1)
    ends.client.write(b"abcdefgh")
    assert ends.received(ends.server, 8) == b"abcdefgh"
    times = [byte.delivered for byte in ends.log()]
    assert times[4] - times[3] == pytest.approx(0.05 + CHARACTER, abs=0.005)


def test_noise_from_nobody_is_heard_at_both_ends(line: LineHandle, ends: _Ends) -> None:
    line.command("inject", to="both", hex="02030400")
    assert ends.received(ends.server, 4) == b"\x02\x03\x04\x00"
    assert ends.received(ends.client, 4) == b"\x02\x03\x04\x00"


def test_an_echoing_adapter_lets_the_server_hear_itself(line: LineHandle, ends: _Ends) -> None:
    line.command("echo", on=True)
    ends.server.write(b"mine")
    assert ends.received(ends.client, 4) == b"mine"
    assert ends.received(ends.server, 4) == b"mine"
    line.command("clear")
    ends.server.write(b"mine")
    assert ends.received(ends.client, 4) == b"mine"
    assert ends.received(ends.server, 1, 0.05) == b""


def test_an_adapter_with_grain_delivers_in_batches(line: LineHandle, ends: _Ends) -> None:
    line.command("grain", ms=16)
    ends.client.write(bytes(8))
    ends.received(ends.server, 8)
    times = {round(byte.owed, 4) for byte in ends.log()}
    assert len(times) <= 2
    assert all(abs(moment / 0.016 - round(moment / 0.016)) < 0.01 for moment in times)


def test_a_port_that_is_pulled_out_fails_and_comes_back_under_its_name(line: LineHandle, ends: _Ends) -> None:
    line.command("unplug", end="server")
    assert not line.server.exists()
    with pytest.raises((OSError, serial.SerialException, termios.error)):
        ends.received(ends.server, 1, 0.5)
        ends.server.write(b"x")
        ends.server.in_waiting  # noqa: B018 - asks the port
    line.command("plug", end="server")
    assert line.server.exists()
    with serial.Serial(str(line.server), 38400, timeout=0) as again:
        ends.client.write(b"here")
        assert ends.received(again, 4).endswith(b"here")


def test_bytes_that_nobody_takes_are_lost_and_counted(line: LineHandle, ends: _Ends) -> None:
    before = line.status()["lost"]
    line.command("unplug", end="server")
    ends.client.write(b"lost")
    ends.server.close()
    moment = boottime()
    while not (log := [byte for byte in ends.log() if byte.flags & LOST]) and boottime() < moment + 2:
        select.select((), (), (), 0.01)
    assert len(log) == 4
    assert line.status()["lost"] == before + 4


def test_a_stalled_line_fills_the_servers_buffer(line: LineHandle, ends: _Ends) -> None:
    line.command("stall", seconds=30)
    ends.server.write_timeout = 0.2
    with pytest.raises(serial.SerialTimeoutException):
        for _ in range(200):
            ends.server.write(bytes(1024))
    line.command("clear")
    assert len(ends.received(ends.client, 20)) >= 20


def test_both_ends_talking_at_once_is_counted_as_a_collision(line: LineHandle, ends: _Ends) -> None:
    before = line.status()["collisions"]
    ends.client.write(bytes(50))
    ends.server.write(bytes(50))
    ends.received(ends.server, 50)
    ends.received(ends.client, 50)
    assert line.status()["collisions"] == before + 1


def test_another_speed_and_no_speed_at_all(tmp_path: Path) -> None:
    for baudrate, seconds in ((9600, 100 * 11 / 9600), (0, 0.0)):
        with LineHandle(tmp_path, name=f"line{baudrate}", baudrate=baudrate) as line:
            ends = _Ends(line)
            ends.client.write(bytes(100))
            ends.received(ends.server, 100)
            log = ends.log()
            assert log[-1].due - log[0].due == pytest.approx(seconds * 0.99, abs=1e-6)
            ends.close()


def test_the_trace_has_a_line_for_each_byte(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with LineHandle(tmp_path, options=["--trace", str(trace)]) as line:
        ends = _Ends(line)
        ends.client.write(b"ab")
        ends.received(ends.server, 2)
        ends.close()
    assert [row.split()[1:3] for row in trace.read_text().splitlines()] == [["to-server", "61"], ["to-server", "62"]]


# The inverter, and all three together


class _Chain:
    """Meter, line, inverter, and the simplest server between: it holds what it heard from the meter."""

    def __init__(self, folder: Path, line: LineHandle, ksem: KsemHandle, receiver: Receiver) -> None:
        self.registers = receiver.registers
        with RawClient(ksem.port) as client:
            for start, count in ((28, 12), (66, 14), (106, 14), (512, 120), (8192, 58)):
                self.registers.update(enumerate(client.read(start, count), start))
        receiver.wait_for(_cycles(2))
        self.truth = TruthReader(ksem.truth)
        self.responder = RtuResponder(line.server, self.newest)
        self.inverter = PlenticoreHandle(folder, line=line, truth=ksem.truth).start()

    def newest(self, start: int, count: int) -> list[int] | None:
        """From one cycle, but for the short time between two writes."""
        if start > 147:
            return [self.registers[address] for address in range(start, start + count)]
        snapshot = self.truth.newest(Block.LIVE)
        assert snapshot is not None
        older = self.truth.snapshot(Block.LIVE, snapshot.number - 1) or snapshot
        return list(older.registers(RegisterRange(start, count)))

    def close(self) -> None:
        self.inverter.stop()
        self.responder.close()


@pytest.fixture
def chain(tmp_path: Path, line: LineHandle, ksem: KsemHandle, receiver: Receiver) -> Iterator[_Chain]:
    made = _Chain(tmp_path, line, ksem, receiver)
    yield made
    made.close()


def test_all_is_good_and_the_times_are_those_of_the_server(chain: _Chain) -> None:
    chain.inverter.wait_for("good", 25)
    summary = chain.inverter.stop()
    assert set(summary["outcomes"]) == {"good"}, summary["problems"]
    assert summary["recognised"]
    assert summary["without_wire_times"] == 0
    assert summary["early"] == 0
    assert summary["late_frames"] == summary["noise_bytes"] == 0
    assert 1.9 <= summary["turnaround_ms"]["p50"] < 3.5
    assert 200 < summary["ranges"]["40-145"]["age_ms"]["p50"] < 420
    assert set(summary["ranges"]) == {"8244-8244", "0-27", "40-145"}


def _one_word_off(words: list[int]) -> list[int]:
    return [*words[:-1], words[-1] ^ 0x5555]


def test_wrong_words_are_caught(chain: _Chain) -> None:
    chain.inverter.wait_for("good", 3)
    chain.responder.reply = lambda start, count: _one_word_off(chain.newest(start, count) or [])
    answer = chain.inverter.wait_for("wrong", 4)
    assert answer["outcomes"].get("good", 0) <= 1


def test_a_mix_of_two_cycles_is_caught(chain: _Chain) -> None:
    chain.inverter.wait_for("good", 3)
    held: dict[int, list[int]] = {}

    def mixed(start: int, count: int) -> list[int] | None:
        new = chain.newest(start, count) or []
        old = held.get(start, new)
        held[start] = new
        return old[: count // 2] + new[count // 2 :]

    chain.responder.reply = mixed
    chain.inverter.wait_for("torn", 3)


def test_the_previous_requests_answer_is_caught(chain: _Chain) -> None:
    chain.inverter.wait_for("good", 3)
    chain.inverter.command("plan", ranges="0-27,40-67")
    previous: list[list[int]] = []

    def one_behind(start: int, count: int) -> list[int] | None:
        previous.append(chain.newest(start, count) or [])
        return previous[-2] if len(previous) > 1 else None

    chain.responder.reply = one_behind
    chain.inverter.wait_for("wrong", 4)


def test_old_values_are_caught(chain: _Chain) -> None:
    chain.inverter.wait_for("good", 3)
    kept = {start: chain.newest(start, count) or [] for start, count in ((0, 28), (40, 106))}
    chain.responder.reply = lambda start, count: kept[start]
    answer = chain.inverter.wait_for("stale", 3)
    assert answer["after_s"] > 0.8
    assert chain.inverter.status()["age_ms"]["max"] > 1500


def test_zeros_where_nothing_was_measured_are_caught(chain: _Chain) -> None:
    chain.inverter.command("plan", ranges="28-39,66-79")
    chain.responder.reply = lambda start, count: [0] * count
    chain.inverter.wait_for("wrong", 4)


def test_exceptions_silence_and_other_units_are_told_apart(chain: _Chain) -> None:
    chain.inverter.wait_for("good", 1)
    chain.responder.reply = lambda start, count: None
    chain.inverter.wait_for("exception-4", 2)
    chain.responder.spoil = lambda frame: with_crc("02" + frame[1:-2].hex())
    chain.inverter.wait_for("foreign", 2)
    chain.responder.spoil = lambda frame: frame[:-1]
    chain.inverter.wait_for("broken", 2)
    chain.responder.silent = True
    chain.inverter.wait_for("timeout", 2)


def test_an_answer_after_the_time_out_is_late(chain: _Chain) -> None:
    chain.inverter.wait_for("good", 1)
    chain.responder.delay = 0.152
    chain.inverter.wait_for("late", 2)
    chain.responder.delay = 0.25
    chain.inverter.wait_for("late", 1)
    assert chain.inverter.status()["late_frames"] + chain.inverter.status()["outcomes"]["late"] >= 3


def test_an_answer_before_three_and_a_half_characters_is_early(chain: _Chain) -> None:
    chain.responder.delay = 0.0
    chain.inverter.wait_for("good", 8)
    status = chain.inverter.status()
    assert status["early"] >= 1


def test_scripted_frames_tell_exactly_what_came_back_and_when(chain: _Chain) -> None:
    chain.inverter.wait_for("good", 1)
    chain.inverter.command("pause")
    reported = chain.inverter.raw("010320340001", crc=True, listen_ms=60)
    assert reported["received"] == "01030200c8b9d2"
    assert reported["heard"][0]["hex"] == reported["received"]
    assert 1.9 < reported["heard"][0]["after_ms"] < 20
    assert reported["asked"][0]["end_ms"] == pytest.approx(8000 * CHARACTER, abs=0.01)
    chain.responder.silent = True
    assert chain.inverter.raw("010320340001", "010320340001", crc=True, gap_ms=20, listen_ms=30)["heard"] == []
    chain.responder.silent = False
    chain.inverter.command("resume")
    chain.inverter.wait_for("good", 2)


def test_the_inverter_finds_its_port_again(chain: _Chain, line: LineHandle) -> None:
    chain.inverter.wait_for("good", 2)
    line.command("unplug", end="client", seconds=0.3)
    chain.inverter.wait_for("good", 3)
    assert chain.inverter.status()["port"] == {"opened": 2, "lost": 1}


def test_before_the_meter_is_recognised_nothing_else_is_asked(chain: _Chain, line: LineHandle) -> None:
    chain.inverter.stop()
    chain.responder.reply = lambda start, count: None
    requested: list[int] = []

    def refuse(start: int, count: int) -> list[int] | None:
        requested.append(start)
        return None if len(requested) < 3 else chain.newest(start, count)

    chain.responder.reply = refuse
    log = WireLogReader(line.wire_log)
    before = boottime()
    chain.inverter.start()
    chain.inverter.wait_for("good", 4)
    assert requested[:5] == [8244, 8244, 8244, 0, 40]
    assert {byte.direction for byte in log.since(before)} == {TO_SERVER, TO_CLIENT}
