"""Readers over Modbus TCP, while the inverter is served over the whole chain."""

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from pymodbus.client import ModbusTcpClient

from ksem_simulators.truth import TruthReader
from modbus_codec.tcp import MbapFrame, MbapReader
from service_runtime.clock import boottime
from tests.chain import Chain

from .broker import free_port
from .fake_publisher import FakePublisher

READ_TOTALS = bytes.fromhex("03 00 00 00 1c")


class House(Chain):
    """The chain, with a Modbus TCP server."""

    tcp_port: int


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    port = free_port()
    tcp = f'[[tcp]]\nlisten = "127.0.0.1"\nport = {port}\n'
    with House(tmp_path_factory.mktemp("tcp"), server=tcp) as house:
        house.tcp_port = port
        house.start()
        house.await_good()
        yield house


def raw(house: House, pdu: bytes, unit: int = 1) -> bytes:
    with socket.create_connection(("127.0.0.1", house.tcp_port), 2) as connection:
        connection.sendall(MbapFrame(7, unit, pdu).encode())
        reader = MbapReader()
        while not (frames := reader.feed(connection.recv(300))):
            pass
        return frames[0].pdu


def test_mbpoll_reads_the_meters_registers(house: House) -> None:
    target = ["-p", str(house.tcp_port), "-a", "71"]
    command = ["mbpoll", "-m", "tcp", *target, "-t", "4:hex", "-0", "-r", "40", "-c", "106"]
    ran = subprocess.run([*command, "-1", "-q", "127.0.0.1"], capture_output=True, text=True, timeout=20, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    words = tuple(int(word, 16) for word in re.findall(r"^\[\d+\]:\s+0x([0-9A-F]{4})", ran.stdout, re.MULTILINE))
    verdict = TruthReader(house.meter.truth).judge(40, words, boottime())
    assert verdict.kind == "good", verdict.why


def test_pymodbus_reads_it_while_the_inverter_is_served(house: House) -> None:
    house.inverter.command("reset")
    truth = TruthReader(house.meter.truth)
    client = ModbusTcpClient("127.0.0.1", port=house.tcp_port, timeout=2)
    assert client.connect()  # type: ignore[no-untyped-call]
    try:
        for _ in range(50):
            reply = client.read_holding_registers(0, count=28)
            assert not reply.isError(), reply
            verdict = truth.judge(0, reply.registers, boottime())
            assert verdict.kind == "good", verdict.why
    finally:
        client.close()  # type: ignore[no-untyped-call]
    house.await_good(10)
    house.assert_never()


def test_the_sunspec_chain_is_there_for_drivers_that_look_for_it(house: House) -> None:
    deadline = time.monotonic() + 15
    while (reply := raw(house, bytes.fromhex("03 9c 40 00 04"), unit=71))[0] != 3:
        assert time.monotonic() < deadline, f"{reply.hex()}\n{house.logs()}"
        time.sleep(0.2)
    assert reply[2:6] == b"SunS"


def test_every_read_of_openwbs_own_driver_is_answered(house: House) -> None:
    """packages/modules/devices/kostal/kostal_sem/counter.py"""
    reads = [(start, 2) for start in (62, 102, 142, 60, 100, 140, 64, 104, 144, 26)]
    reads += [(512, 8), (40, 4), (80, 4), (120, 4), (0, 4)]
    deadline = time.monotonic() + 15
    for start, count in reads:
        pdu = b"\x03" + start.to_bytes(2) + count.to_bytes(2)
        while (reply := raw(house, pdu, unit=71))[:2] != bytes((3, 2 * count)):
            assert time.monotonic() < deadline, f"{start}: {reply.hex()}\n{house.logs()}"
            time.sleep(0.2)


def test_writes_change_nothing(house: House) -> None:
    assert raw(house, bytes.fromhex("06 00 00 00 01")) == bytes.fromhex("86 01")


def test_garbage_closes_its_own_connection_only(house: House) -> None:
    with socket.create_connection(("127.0.0.1", house.tcp_port), 2) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert connection.recv(100) == b""
    assert raw(house, READ_TOTALS)[0] == 3


def test_more_readers_than_there_is_room_for_cost_the_oldest_its_connection(house: House) -> None:
    connections = [socket.create_connection(("127.0.0.1", house.tcp_port), 2) for _ in range(70)]
    try:
        connections[-1].sendall(MbapFrame(1, 1, READ_TOTALS).encode())
        connections[-1].settimeout(5)
        assert len(connections[-1].recv(300)) > 7
        connections[0].settimeout(5)
        assert connections[0].recv(10) == b""
    finally:
        for connection in connections:
            connection.close()


def await_tcp_reasons(house: House, codes: set[str]) -> set[str]:
    """Wait until the node's health gives these reasons for the server's units; return their states."""
    probe = FakePublisher(house.broker.port, session="probe", answers=False).start()
    deadline = time.monotonic() + 15
    try:
        while True:
            units = json.loads(probe.last("ksem/rtu/attic/health") or b'{"tcp":[]}')["tcp"]
            if {reason["code"] for unit in units for reason in unit["reasons"]} == codes:
                return {unit["state"] for unit in units}
            assert time.monotonic() < deadline, units
            time.sleep(0.05)
    finally:
        probe.stop()


@pytest.mark.slow
def test_the_server_is_in_health_beside_the_lines(house: House) -> None:
    raw(house, READ_TOTALS)
    probe = FakePublisher(house.broker.port, session="ear", answers=False).start()
    try:
        topic = "ksem/rtu/attic/health"
        probe.await_count(topic, 2, within=15)
        health = json.loads(probe.received[topic][-1])
    finally:
        probe.stop()
    units = {unit["unit"]: unit for unit in health["tcp"]}
    assert units.keys() == {1, 71}
    assert (units[1]["line"], units[1]["state"], units[1]["port"]["state"]) == ("tcp", "ok", "up")
    assert units[1]["data"] > 0
    assert [unit["line"] for unit in health["units"]] == ["rs485"]


def test_readers_are_refused_when_the_data_is_old_and_served_when_it_is_back(house: House) -> None:
    house.publisher.freeze()
    try:
        deadline = time.monotonic() + 5
        while (reply := raw(house, READ_TOTALS)) != b"\x83\x04":
            assert reply[0] == 3
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert await_tcp_reasons(house, {"blocks-missing"}) == {"down"}
    finally:
        house.publisher.thaw()
    house.await_good()
    deadline = time.monotonic() + 5
    while raw(house, READ_TOTALS)[0] != 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert await_tcp_reasons(house, {"tcp-served"}) == {"ok"}
