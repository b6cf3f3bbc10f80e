"""What the simulated inverter shows on its own Modbus TCP port."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ksem_contract.blocks import LIVE
from ksem_contract.registers import RegisterRange
from ksem_simulators.plenticore.belief import Belief, BeliefPlan, ByteOrder
from ksem_simulators.plenticore.modbus_server import InverterServer
from modbus_codec.tcp import MbapFrame
from service_runtime.clock import boottime


def live(power: int, phases: tuple[int, int, int] = (0, 0, 0)) -> tuple[int, ...]:
    """Registers of the block `live`; powers in 0.1 W, plus is import."""
    words = [0] * LIVE.count

    def put(address: int, value: int) -> None:
        words[address : address + 2] = value >> 16, value & 0xFFFF

    for start, watts in zip((0, 40, 80, 120), (power, *phases), strict=True):
        put(start if watts > 0 else start + 2, abs(watts))
    put(26, 50_010)
    return tuple(words)


def shown(belief: Belief, now: float, address: int, order: ByteOrder = "little") -> float:
    registers = belief.registers(now, order, 71)
    pair = (registers[address], registers[address + 1])
    high, low = pair if order == "big" else pair[::-1]
    return float(struct.unpack(">f", struct.pack(">2H", high, low))[0])


def test_shows_what_it_read_only_after_its_own_delay() -> None:
    belief = Belief(BeliefPlan(delay=0.4))
    belief.read(LIVE, live(1000), 10.0)
    belief.read(LIVE, live(-2000), 11.0)
    assert shown(belief, 11.3, 252) == pytest.approx(100.0)
    assert shown(belief, 11.5, 252) == pytest.approx(-200.0)


@pytest.mark.parametrize("order", ["little", "big"])
def test_shows_floats_in_both_byte_orders_and_says_which(order: ByteOrder) -> None:
    belief = Belief(BeliefPlan(delay=0.0))
    belief.read(LIVE, live(6000, (1000, 2000, 3000)), 10.0)
    assert [shown(belief, 10.0, address, order) for address in (252, 224, 234, 244)] == [600.0, 100.0, 200.0, 300.0]
    assert shown(belief, 10.0, 220, order) == pytest.approx(50.01)
    assert belief.registers(10.0, order, 71)[5] == (order == "big")


def test_shows_new_values_only_once_a_power_has_changed_by_its_deadband() -> None:
    belief = Belief(BeliefPlan(delay=0.0, deadband=5.0))
    for at, power in ((10.0, 1000), (10.2, 1040), (10.4, 1060)):
        belief.read(LIVE, live(power), at)
    assert [shown(belief, at, 252) for at in (10.0, 10.3, 10.5)] == pytest.approx([100.0, 100.0, 106.0])
    assert shown(belief, 16.0, 252) == 0.0


def test_without_a_deadband_every_value_is_shown_though_no_power_moves() -> None:
    belief = Belief(BeliefPlan(delay=0.0))
    belief.read(LIVE, live(1000), 10.0)
    assert shown(belief, 10.0, 220) == pytest.approx(50.01)
    belief.read(LIVE, (*live(1000)[:27], 50_020, *live(1000)[28:]), 10.2)
    assert shown(belief, 10.2, 220) == pytest.approx(50.02)


def test_shows_zeros_once_its_meter_is_gone() -> None:
    belief = Belief(BeliefPlan(delay=0.0))
    belief.read(LIVE, live(1000), 10.0)
    assert shown(belief, 14.0, 252) == pytest.approx(100.0)
    assert shown(belief, 16.0, 252) == 0.0
    assert shown(belief, 16.0, 220) == 0.0


def test_each_fault_changes_what_it_names() -> None:
    belief = Belief(BeliefPlan(delay=0.0))
    belief.read(LIVE, live(6000, (1000, 2000, 3000)), 10.0)
    belief.plan = BeliefPlan(delay=0.0, wrong_sign=True, factor=1.05)
    assert shown(belief, 10.0, 252) == pytest.approx(-630.0)
    belief.plan = BeliefPlan(delay=0.0, swapped_phases=True)
    assert [shown(belief, 10.0, address) for address in (252, 224, 234, 244)] == [600.0, 300.0, 100.0, 200.0]
    belief.plan = BeliefPlan(delay=0.0, frozen=True, kind=0)
    assert shown(belief, 10.0, 252) == pytest.approx(600.0)
    belief.read(LIVE, live(7000), 11.0)
    assert shown(belief, 11.0, 252) == pytest.approx(600.0)
    assert belief.registers(11.0, "little", 71)[1082] == 0


@contextmanager
def server(*, one_client: bool = False) -> Iterator[InverterServer]:
    belief = Belief(BeliefPlan(delay=0.0))
    belief.read(RegisterRange(0, LIVE.count), live(1000), boottime())
    found = InverterServer(belief, "127.0.0.1", 0, answer_after=(0.0, 0.0), one_client=one_client)
    found.switch_on()
    try:
        yield found
    finally:
        found.switch_off()


def connect(one: InverterServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", one.port), timeout=5.0)


def ask(sock: socket.socket, pdu: str, unit: int = 71) -> bytes:
    sock.sendall(MbapFrame(7, unit, bytes.fromhex(pdu)).encode())
    return sock.recv(300)[7:]


def test_answers_documented_registers_and_refuses_all_else() -> None:
    with server() as inverter, connect(inverter) as client:
        assert ask(client, "03 00fc 0002") == bytes.fromhex("03 04 0000 42c8")
        assert ask(client, "03 043a 0001") == bytes.fromhex("03 02 0003")
        assert ask(client, "03 0102 0001") == bytes.fromhex("83 02"), "258 is documented and not simulated"
        assert ask(client, "04 00fc 0002") == bytes.fromhex("84 01")
        assert ask(client, "06 0215 0064") == bytes.fromhex("86 01")
        assert inverter.counters.writes == 1


def test_one_client_at_a_time_turns_the_second_away() -> None:
    with server(one_client=True) as inverter, connect(inverter) as first:
        ask(first, "03 00fc 0002")
        with connect(inverter) as second:
            assert second.recv(10) == b""
        assert inverter.counters.turned_away == 1


def test_switched_off_it_refuses_connections_and_cuts_those_that_are_there() -> None:
    with server() as inverter, connect(inverter) as client:
        ask(client, "03 0005 0001")
        inverter.switch_off()
        assert client.recv(10) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(inverter)
        inverter.switch_on()
        with connect(inverter) as again:
            assert ask(again, "03 0005 0001") == bytes.fromhex("03 02 0000")
