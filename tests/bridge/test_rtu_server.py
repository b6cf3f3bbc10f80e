"""rtu-server as a process, with a real broker and a pseudo-terminal."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ksem_contract.health import NodeHealth, RequestsMessage, UnitHealth
from modbus_codec.crc import append_crc
from modbus_codec.tcp import MbapFrame, MbapReader
from service_runtime.clock import boottime

from .broker import Broker, free_port
from .fake_publisher import FakePublisher
from .service import Service
from .test_serial_line import ILLEGAL_ADDRESS, READ_TOTALS, STALE, Wire, data_reply

WRONG_ENCODER = Path(__file__).parent / "wrong_encoder"
STATUS, HEALTH, REQUESTS = "ksem/rtu/attic/status", "ksem/rtu/attic/health", "ksem/rtu/attic/requests"


def settings(broker: Broker, wire: Wire, more: str = "") -> str:
    return f"""
[node]
name = "attic"
[mqtt]
host = "127.0.0.1"
port = {broker.port}
[[line]]
port = "{wire.path}"
{more}
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def wire(tmp_path: Path) -> Wire:
    wire = Wire(tmp_path / "port")
    wire.plug_in()
    return wire


@pytest.fixture
def publisher(broker: Broker) -> Iterator[FakePublisher]:
    publisher = FakePublisher(broker.port).start()
    yield publisher
    publisher.stop()


@pytest.fixture
def server(broker: Broker, wire: Wire, tmp_path: Path) -> Iterator[Service]:
    with Service("rtu_server", settings(broker, wire), tmp_path) as server:
        server.await_log("is open")
        yield server


def ask_until(wire: Wire, expected: bytes, publisher: FakePublisher | None = None, within: float = 5.0) -> float:
    """Ask for the totals until the answer is `expected`, with live blocks at 20 Hz; return how long it took."""
    begun = time.monotonic()
    answer = b""
    while time.monotonic() - begun < within:
        if publisher is not None:
            publisher.send()
        wire.send(READ_TOTALS)
        answer = wire.received(len(expected), 0.1)
        if answer == expected:
            return time.monotonic() - begun
    raise AssertionError(f"still {answer.hex(' ')}")


@pytest.mark.usefixtures("server")
@pytest.mark.promise(2)
def test_a_cold_server_refuses_and_serves_as_soon_as_a_block_was_dated(wire: Wire, publisher: FakePublisher) -> None:
    assert wire.ask(READ_TOTALS, 5) == STALE
    assert ask_until(wire, data_reply(28, 7), publisher) < 2


@pytest.mark.usefixtures("server")
@pytest.mark.promise(2)
def test_blocks_of_a_publisher_that_answers_no_ping_are_never_served(broker: Broker, wire: Wire) -> None:
    publisher = FakePublisher(broker.port, answers=False).start()
    try:
        for _ in range(20):
            publisher.send()
            assert wire.ask(READ_TOTALS, 5) == STALE
    finally:
        publisher.stop()


def read_over_tcp(port: int) -> bytes:
    """The PDU of the answer to a read of the totals."""
    with socket.create_connection(("127.0.0.1", port), 2) as connection:
        connection.sendall(MbapFrame(7, 1, READ_TOTALS[1:-2]).encode())
        reader = MbapReader()
        while not (frames := reader.feed(connection.recv(300))):
            pass
        return frames[0].pdu


def test_a_clock_that_is_disproved_ends_all_data_at_once(
    broker: Broker, wire: Wire, publisher: FakePublisher, tmp_path: Path
) -> None:
    """This host stood still for 12 s, and its clock with it: all that it holds is older than it knows."""
    port = free_port()
    tcp = f'[[tcp]]\nlisten = "127.0.0.1"\nport = {port}\n[[tcp.unit]]\nid = 1\n[freshness]\nlive = 60\n'
    with Service("rtu_server", settings(broker, wire, tcp), tmp_path) as server:
        server.await_log("is open")
        ask_until(wire, data_reply(28, 7), publisher)
        for _ in range(3):
            publisher.send()
            assert wire.ask(READ_TOTALS, 61) == data_reply(28, 7)
            assert read_over_tcp(port)[:2] == b"\x03\x38"
        publisher.answers = False
        pings = len(publisher.received["ksem/main/ping/attic"])
        publisher.send(fill=8, boot_ms=int(1000 * (boottime() + 12)))
        publisher.await_count("ksem/main/ping/attic", pings + 1)  # the block was judged
        for _ in range(10):
            assert wire.ask(READ_TOTALS, 5) == STALE
            assert read_over_tcp(port) == b"\x83\x04"


def tcp_unit(publisher: FakePublisher) -> UnitHealth | None:
    """The unit of the Modbus TCP server in the newest health message."""
    return NodeHealth.decode(health).tcp[0] if (health := publisher.last(HEALTH)) else None


def await_tcp_reason(publisher: FakePublisher, code: str) -> UnitHealth:
    """Publish live blocks until health gives this reason for the unit of the Modbus TCP server."""
    deadline = time.monotonic() + 15
    while (unit := tcp_unit(publisher)) is None or [reason.code for reason in unit.reasons] != [code]:
        assert time.monotonic() < deadline, unit
        publisher.send()
        time.sleep(0.05)
    return unit


@pytest.mark.promise(9)
def test_a_unit_that_was_silenced_at_a_modbus_tcp_server_is_down_with_its_reason(
    broker: Broker, wire: Wire, publisher: FakePublisher, tmp_path: Path
) -> None:
    port = free_port()
    tcp = f'[[tcp]]\nlisten = "127.0.0.1"\nport = {port}\n[[tcp.unit]]\nid = 1\n'
    environ = {"PYTHONPATH": os.pathsep.join([str(WRONG_ENCODER), os.environ.get("PYTHONPATH", "")])}
    with Service("rtu_server", settings(broker, wire, tcp), tmp_path, environ=environ) as server:
        server.await_log("readers are served")
        assert await_tcp_reason(publisher, "tcp-served").state == "ok"
        assert read_over_tcp(port)[:2] == b"\x03\x38"
        server.await_log("unit 1 gave a wrong answer")
        unit = await_tcp_reason(publisher, "unit-silenced")
        assert unit.state == "down"
        assert "register 0 is 6" in str(unit.reasons[0])
        assert ask_until(wire, data_reply(28, 7), publisher) < 5, "the line's unit gives right answers"


@pytest.mark.parametrize("vital", ["[]", pytest.param('["device"]', marks=pytest.mark.slow)])
@pytest.mark.parametrize("goodbye", [True, False], ids=["says offline", "is gone"])
def test_a_restarted_publisher_is_served_though_no_vital_block_has_a_limit(
    broker: Broker, wire: Wire, publisher: FakePublisher, tmp_path: Path, vital: str, goodbye: bool
) -> None:
    with Service("rtu_server", settings(broker, wire, f"[freshness]\nvital = {vital}\n"), tmp_path) as server:
        server.await_log("is open")
        publisher.send("device")
        ask_until(wire, data_reply(28, 7), publisher)
        if goodbye:
            publisher.status(b"offline")
        publisher.answers = False
        again = FakePublisher(broker.port, session="bbbb").start()
        try:
            again.send("device")
            answer, deadline = b"", time.monotonic() + 10
            while answer != data_reply(28, 9):
                assert time.monotonic() < deadline, answer.hex(" ")
                again.send(fill=9)
                wire.send(READ_TOTALS)
                answer = wire.received(61, 0.1)
        finally:
            again.stop()


@pytest.mark.usefixtures("server")
def test_ranges_on_demand_never_push_out_live_data(wire: Wire, publisher: FakePublisher) -> None:
    ask_until(wire, data_reply(28, 7), publisher)
    for start in range(9000, 9080, 2):
        publisher.send(f"r{start}-1")
        if start % 20 == 0:
            publisher.send()
        assert wire.ask(READ_TOTALS, 61) == data_reply(28, 7)
    assert wire.ask(append_crc(bytes.fromhex("01 03 23 28 00 01")), 7) == data_reply(1, 7)


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_a_publisher_that_answers_no_ping_is_pinged_ever_more_seldom(broker: Broker) -> None:
    publisher = FakePublisher(broker.port, answers=False).start()
    try:
        ends = time.monotonic() + 8
        while time.monotonic() < ends:
            publisher.send()
            time.sleep(0.1)
        # After 0, 0.25, 0.75, 1.75, 3.75 and 7.75 s, and a few that the connection was worth; not 20.
        assert 4 <= len(publisher.received["ksem/main/ping/attic"]) <= 10
    finally:
        publisher.stop()


def test_yesterdays_retained_blocks_are_never_served(
    broker: Broker, wire: Wire, publisher: FakePublisher, tmp_path: Path
) -> None:
    publisher.send("live", fill=3, session="dead", boot_ms=1)
    publisher.send("device", fill=3, session="dead", boot_ms=1)
    with Service("rtu_server", settings(broker, wire), tmp_path) as server:
        server.await_log("is open")
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            assert wire.ask(READ_TOTALS, 5) == STALE
        assert ask_until(wire, data_reply(28, 7), publisher) < 2


@pytest.mark.promise(7)
def test_status_means_that_the_inverter_gets_data(wire: Wire, server: Service, publisher: FakePublisher) -> None:
    publisher.await_payload(STATUS, b"offline")
    ask_until(wire, data_reply(28, 7), publisher)
    publisher.await_payload(STATUS, b"online", within=3)
    assert wire.ask(READ_TOTALS, 61)[:2] in (b"\x01\x03", b"\x01\x83")
    publisher.await_payload(STATUS, b"offline", within=5)  # the publisher has sent no more blocks: stale after 1.5 s
    ask_until(wire, data_reply(28, 7), publisher)
    publisher.await_payload(STATUS, b"online", within=3)
    server.kill()
    publisher.await_payload(STATUS, b"offline", within=3)


@pytest.mark.promise(7)
def test_a_late_last_will_is_corrected(wire: Wire, server: Service, publisher: FakePublisher) -> None:
    stop = threading.Event()

    def feed() -> None:
        while not stop.wait(0.05):
            publisher.send()

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        ask_until(wire, data_reply(28, 7))
        publisher.await_payload(STATUS, b"online", within=3)
        publisher.link.publish(STATUS, b"offline", qos=1, retain=True)
        ask_until(wire, data_reply(28, 7))
        publisher.await_payload(STATUS, b"online", within=3)
    finally:
        stop.set()
        feeder.join()
    assert server.stop() == 0


@pytest.mark.promise(7)
def test_a_clean_end_says_offline_within_two_seconds(wire: Wire, server: Service, publisher: FakePublisher) -> None:
    ask_until(wire, data_reply(28, 7), publisher)
    publisher.await_payload(STATUS, b"online", within=3)
    begun = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begun < 2
    publisher.await_payload(STATUS, b"offline", within=1)


@pytest.mark.usefixtures("server")
def test_health_and_requests_tell_what_the_inverter_asks_and_gets(wire: Wire, publisher: FakePublisher) -> None:
    ask_until(wire, data_reply(28, 7), publisher)
    assert wire.ask(append_crc(bytes.fromhex("01 03 9f ff 00 01")), 5)[:2] == b"\x01\x83"
    deadline = time.monotonic() + 5
    while True:
        assert time.monotonic() < deadline, publisher.received[REQUESTS][-1:]
        entries = (
            RequestsMessage.decode(publisher.received[REQUESTS][-1]).requests if publisher.received[REQUESTS] else ()
        )
        reported = {(entry.function, entry.start, entry.count): entry for entry in entries}
        if (3, 0x9FFF, 1) in reported:
            break
        publisher.send()
        time.sleep(0.05)
    assert reported[3, 0, 28].last == "data"
    assert not reported[3, 0, 28].demanded
    assert reported[3, 0x9FFF, 1].last == "exception-2"
    assert reported[3, 0x9FFF, 1].demanded
    health = NodeHealth.decode(publisher.received[HEALTH][-1])
    assert health.broker.state == "up"
    assert health.units[0].port.state == "up"
    assert "attic" not in json.loads(publisher.received[HEALTH][-1])


@pytest.mark.slow
@pytest.mark.usefixtures("server")
def test_the_age_of_data_is_that_of_live_values_alone(wire: Wire, publisher: FakePublisher) -> None:
    """A Plenticore reads the measuring interval too, from a block that is renewed once in a minute."""
    publisher.send("device", age=40.0)
    ask_until(wire, data_reply(28, 7), publisher)
    interval = append_crc(bytes.fromhex("01 03 20 34 00 01"))
    assert wire.ask(interval, 7)[:3] == b"\x01\x03\x02"
    publisher.await_count(HEALTH, 1)
    deadline = time.monotonic() + 20  # health comes every 10 s
    while time.monotonic() < deadline:
        ask_until(wire, data_reply(28, 7), publisher)
        health = NodeHealth.decode(publisher.received[HEALTH][-1])
        if health.units[0].data > 20 and health.units[0].age_ms.max is not None:
            break
        time.sleep(0.05)
    assert health.units[0].data > 20
    assert health.units[0].age_ms.max is not None
    assert health.units[0].age_ms.max < 10_000


@pytest.mark.slow
def test_requests_of_eight_units_that_were_fully_scanned_can_be_read(
    broker: Broker, wire: Wire, publisher: FakePublisher, tmp_path: Path
) -> None:
    units = "".join(f"[[line.unit]]\nid = {number}\n" for number in range(1, 9))
    with Service("rtu_server", settings(broker, wire, units), tmp_path) as server:
        server.await_log("is open")
        for number in range(1, 9):
            for start in range(64):
                wire.ask(append_crc(bytes((number, 3, 3, start, 0, 1))), 5)
        deadline = time.monotonic() + 20
        while True:
            newest = RequestsMessage.decode(publisher.received[REQUESTS][-1])
            if len(newest.requests) + newest.left_out == 8 * 64:
                break
            assert time.monotonic() < deadline, len(newest.requests)
            time.sleep(0.1)
        assert newest.left_out > 0


def test_home_assistant_is_told_again_when_it_starts_and_forgets_the_device_when_asked_to(
    broker: Broker, wire: Wire, server: Service, publisher: FakePublisher, tmp_path: Path
) -> None:
    topic = "homeassistant/device/ksem_rtu/airbridge_ksem_rtu_attic/config"
    probe = FakePublisher(broker.port, session="ear", subscriptions=[topic]).start()
    probe.await_count(topic, 1)
    assert json.loads(probe.received[topic][-1])["device"]["via_device"] == "airbridge_ksem_main"
    publisher.link.publish("homeassistant/status", b"online")
    probe.await_count(topic, 2)
    server.stop()
    with Service("rtu_server", settings(broker, wire, "[homeassistant]\ndiscovery = false"), tmp_path):
        probe.await_payload(topic, b"")
    probe.stop()


@pytest.mark.usefixtures("server")
@pytest.mark.promise(9)
def test_garbage_on_the_topics_is_ignored_and_told_once(wire: Wire, server: Service, publisher: FakePublisher) -> None:
    ask_until(wire, data_reply(28, 7), publisher)
    for garbage in (b"", b"{", b'{"v":9}', b"\xff" * 100, b'{"v":1,"registers":[]}', b"[" * 5000, b"null"):
        for topic in ("ksem/main/block/live", "ksem/main/pong/attic", "ksem/main/status", "ksem/main/block/other"):
            publisher.link.publish(topic, garbage)
    assert ask_until(wire, data_reply(28, 7), publisher) < 1
    server.await_log("breaks the contract")
    assert server.log_text().count("breaks the contract") == 1


@pytest.mark.usefixtures("server")
def test_a_range_outside_the_map_gets_exception_2(wire: Wire, publisher: FakePublisher) -> None:
    ask_until(wire, data_reply(28, 7), publisher)
    publisher.send()
    assert wire.ask(append_crc(bytes.fromhex("01 03 01 2c 00 01")), 5) == ILLEGAL_ADDRESS


def test_data_that_is_back_is_refused_until_stay_is_over_and_the_status_agrees(
    broker: Broker, wire: Wire, publisher: FakePublisher, tmp_path: Path
) -> None:
    more = "[[line.unit]]\nid = 1\nstay = 4.0\nearliest = 0.01\n"
    with Service("rtu_server", settings(broker, wire, more), tmp_path) as server:
        server.await_log("is open")
        assert wire.ask(READ_TOTALS, 5) == STALE
        refused = time.monotonic()
        publisher.await_count("ksem/main/ping/attic", 1)
        while time.monotonic() < refused + 3:
            publisher.send()
            assert wire.ask(READ_TOTALS, 5) == STALE
        assert "(stay)" in NodeHealth.decode(publisher.last(HEALTH) or b"").why
        assert publisher.last(STATUS) == b"offline"
        assert ask_until(wire, data_reply(28, 7), publisher) < 3
        publisher.await_payload(STATUS, b"online")


def test_a_unit_that_gave_a_wrong_answer_is_silent_within_seconds_and_says_why(
    broker: Broker, wire: Wire, publisher: FakePublisher, tmp_path: Path
) -> None:
    lie = tmp_path / "lie"
    environ = {"LIE_WHILE_THERE_IS": str(lie)}
    with Service("tests.bridge.false_server", settings(broker, wire), tmp_path, environ=environ) as server:
        server.await_log("is open")
        ask_until(wire, data_reply(28, 7), publisher)
        lie.touch()
        begun = time.monotonic()
        while "gave a wrong answer and is silent from now on: register 0 is 238" not in server.log_text():
            assert time.monotonic() < begun + 6, "it goes on lying"
            publisher.send()
            wire.ask_within(READ_TOTALS, 61, 0.1)
        lie.unlink()
        wire.is_silent()  # what was requested before
        for _ in range(5):
            publisher.send()
            wire.send(READ_TOTALS)
            assert wire.is_silent()
        publisher.await_payload(STATUS, b"offline")
        assert server.log_text().count("gave a wrong answer and is silent") == 1


def test_silence_can_be_chosen_for_stale_data(broker: Broker, wire: Wire, tmp_path: Path) -> None:
    more = '[[line.unit]]\nid = 1\non_stale = "silent"\n[[line.unit]]\nid = 2\non_stale = "exception-11"\n'
    with Service("rtu_server", settings(broker, wire, more), tmp_path) as server:
        server.await_log("is open")
        wire.send(READ_TOTALS)
        assert wire.is_silent()
        assert wire.ask(append_crc(bytes.fromhex("02 03 00 00 00 1c")), 5)[:3] == b"\x02\x83\x0b"


def test_bad_settings_end_it_with_exit_code_2_and_every_mistake(tmp_path: Path) -> None:
    text = '[[line]]\nport = "x"\nbaudrate = 1\nparty = "N"\n[freshness]\nvital = ["power"]\n[mqtt]\nport = 70000\n'
    server = Service("rtu_server", text, tmp_path).start()
    assert server.wait() == 2
    assert "4 mistakes" in server.log_text()
    for named in ("baudrate", "party", "vital", "port"):
        assert named in server.log_text()


def serve_until(publisher: FakePublisher, wire: Wire, what: Callable[[], bool], within: float) -> None:
    """Ask as an inverter does, with live blocks, until `what` holds."""
    until = time.monotonic() + within
    while not what():
        assert time.monotonic() < until
        publisher.send()
        wire.send(READ_TOTALS)
        wire.received(61, 0.08)


def last_health(publisher: FakePublisher) -> NodeHealth | None:
    payload = publisher.last(HEALTH)
    return NodeHealth.decode(payload) if payload else None


@pytest.mark.usefixtures("server")
def test_a_port_that_takes_no_answers_is_named_and_the_node_goes_offline_within_3_s(
    wire: Wire, publisher: FakePublisher
) -> None:
    ask_until(wire, data_reply(28, 7), publisher)
    serve_until(publisher, wire, lambda: publisher.last(STATUS) == b"online", 3.0)
    termios.tcflow(wire.slave, termios.TCOOFF)
    serve_until(publisher, wire, lambda: publisher.last(STATUS) == b"offline", 3.0)

    def is_named() -> bool:
        health = last_health(publisher)
        return health is not None and f"{wire.path} takes no answers" in health.why and health.units[0].unsent > 0

    serve_until(publisher, wire, is_named, 3.0)
    termios.tcflow(wire.slave, termios.TCOON)
    serve_until(publisher, wire, lambda: publisher.last(STATUS) == b"online", 3.0)


def test_a_port_that_can_not_be_opened_for_lack_of_files_is_named_and_tried_again(
    wire: Wire, server: Service, publisher: FakePublisher
) -> None:
    ask_until(wire, data_reply(28, 7), publisher)
    limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    # The port itself may be opened; what it needs besides may not.
    for more in (0, 1):
        wire.unplug()
        server.await_log("no such port", times=more + 1)
        used = {int(each.name) for each in Path(f"/proc/{server.pid}/fd").iterdir()}
        free = [number for number in range(100) if number not in used]
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (free[more], limits[1]))
        wire.plug_in()
        server.await_log("too many open files", times=more + 1)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, limits)
        server.await_log("is open", times=2 + more)
        assert ask_until(wire, data_reply(28, 7), publisher) < 3


FAILING = """
import sys
from rtu_server.__main__ import main
from rtu_server.serial_line import SerialLine
run, left = SerialLine._run, int(sys.argv.pop(1))
def fails(self):
    global left
    left -= 1
    if left >= 0:
        raise RuntimeError("out of luck")
    run(self)
SerialLine._run = fails
sys.exit(main())
"""


@pytest.mark.parametrize("times", [1, 2])
def test_a_thread_that_ends_is_started_anew_once_and_then_the_process_ends_with_an_error(
    broker: Broker, wire: Wire, publisher: FakePublisher, tmp_path: Path, times: int
) -> None:
    path = tmp_path / "rtu-server.toml"
    path.write_text(settings(broker, wire))
    with subprocess.Popen(
        [sys.executable, "-c", FAILING, str(times), "--config", str(path)], stderr=subprocess.PIPE
    ) as server:
        try:
            if times == 1:
                ask_until(wire, data_reply(28, 7), publisher, within=10.0)
                publisher.await_payload(STATUS, b"online", within=3)
                server.send_signal(signal.SIGTERM)
                assert server.wait(5.0) == 0
            else:
                assert server.wait(10.0) == 1
            assert server.stderr is not None
            log = server.stderr.read().decode()
        finally:
            server.kill()
    assert log.count("has ended: RuntimeError('out of luck')") == times, log
    assert log.count("started anew") == 1 + 1 * (times == 1), log


FAILS_AT_EACH_OPENING = """
import itertools, sys
from rtu_server.__main__ import main
from rtu_server.serial_line import SerialLine
count = itertools.count()
def fails(self):
    raise RuntimeError(f"attempt {next(count)}")
SerialLine._open = fails
sys.exit(main())
"""


@pytest.mark.slow
def test_an_error_at_each_opening_is_logged_a_few_times_and_then_counted(
    broker: Broker, wire: Wire, publisher: FakePublisher, tmp_path: Path
) -> None:
    path = tmp_path / "rtu-server.toml"
    path.write_text(settings(broker, wire))
    with subprocess.Popen(
        [sys.executable, "-c", FAILS_AT_EACH_OPENING, "--config", str(path)], stderr=subprocess.PIPE
    ) as server:
        try:
            publisher.await_count(HEALTH, 9, within=30)  # each tells another attempt
            server.send_signal(signal.SIGTERM)
            assert server.wait(5.0) == 0
            assert server.stderr is not None
            lines = server.stderr.read().decode().splitlines()
        finally:
            server.kill()
    # Without a bound: one for the error and one for the port, every 0.4 s.
    assert any("attempt 0" in line for line in lines)
    assert len(lines) <= 22, lines


def test_a_log_that_takes_nothing_stops_neither_answers_nor_the_end(
    broker: Broker, wire: Wire, publisher: FakePublisher, tmp_path: Path
) -> None:
    path = tmp_path / "rtu-server.toml"
    path.write_text(settings(broker, wire))
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    with subprocess.Popen([sys.executable, "-m", "rtu_server", "--config", str(path)], stderr=writing) as server:
        try:
            ask_until(wire, data_reply(28, 7), publisher, within=10.0)
            for address in range(20):  # each is a first request, which is logged
                publisher.send()
                assert wire.ask(append_crc(bytes((1, 3, 0, address, 0, 1))), 7)[:3] == b"\1\3\2"
            server.send_signal(signal.SIGTERM)
            assert server.wait(5.0) == 0
        finally:
            server.kill()
            os.close(reading)
            os.close(writing)


@pytest.mark.parametrize("listen", ["a..b", "x" * 64, "\u0130..", "192.168.1.5 ", "a\0b"])
def test_an_address_to_listen_on_that_is_none_is_refused_in_the_settings(
    broker: Broker, wire: Wire, tmp_path: Path, listen: str
) -> None:
    text = settings(broker, wire) + f"[[tcp]]\nlisten = {json.dumps(listen)}\n"
    server = Service("rtu_server", text, tmp_path).start()
    assert server.wait(10.0) == 2
    assert "[[tcp]] #1 listen" in server.log_text()
