from functools import partial

import pytest

from modbus_codec.crc import append_crc, has_valid_crc
from simulation.bus import US, Adapter, Inverter, Line, RequestPlan, character_time, frame_gap
from simulation.world import Host, Process, World

FRAME = append_crc(bytes((1, 3, 0, 0, 0, 28)))


class Bus:
    def __init__(self, *, grain: float = 0.0, echo: bool = False, baudrate: int = 38_400) -> None:
        self.world = World("1")
        self.line = Line(self.world, baudrate)
        self.process = Process(Host(self.world, "one"), "node")
        self.process.start()
        self.adapter = Adapter(self.line, self.process, grain=grain, echo=echo)
        self.received: list[tuple[float, bytes]] = []
        self.adapter.on_bytes = self.listen
        assert self.adapter.open()

    def listen(self) -> None:
        self.received.append((self.world.now, self.adapter.read()))

    def run(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    @property
    def bytes(self) -> bytes:
        return b"".join(data for _, data in self.received)


@pytest.mark.parametrize(
    ("baudrate", "parity", "stopbits", "character", "gap"),
    [
        (1200, "N", 1, 10 / 1200, 35 / 1200),
        (9600, "E", 1, 11 / 9600, 38.5 / 9600),
        (19_200, "N", 2, 11 / 19_200, 38.5 / 19_200),
        (38_400, "N", 2, 11 / 38_400, 0.00175),
        (115_200, "N", 1, 10 / 115_200, 0.00175),
    ],
)
def test_characters_and_gaps_are_as_the_specification_has_them(
    baudrate: int, parity: str, stopbits: int, character: float, gap: float
) -> None:
    assert character_time(baudrate, parity, stopbits) == pytest.approx(character)
    assert frame_gap(baudrate, parity, stopbits) == pytest.approx(gap)


@pytest.mark.parametrize("grain", [0.0, 0.001, 0.004, 0.016])
def test_an_adapter_hands_over_everything_in_order_and_nothing_before_it_came(grain: float) -> None:
    bus = Bus(grain=grain)
    data = bytes(range(100))
    bus.line.send("inverter", data)
    bus.run(1.0)
    assert bus.bytes == data
    come = 0
    for at, part in bus.received:
        come += len(part)
        assert at >= come * bus.line.character - 1e-9
        assert at <= come * bus.line.character + max(grain, 9 * bus.line.character) + 1e-9


def test_who_talks_at_the_same_time_damages_both() -> None:
    bus = Bus()
    first = bus.line.send("inverter", FRAME)
    bus.run(2 * bus.line.character)
    second = bus.line.send("other", FRAME)
    bus.run(1.0)
    assert first.damaged
    assert second.damaged
    assert bytes(first.data[:2]) == FRAME[:2]
    assert not has_valid_crc(bytes(first.data))
    assert first.written == FRAME


def test_we_hear_ourselves_only_where_the_adapter_echoes() -> None:
    for echo in (False, True):
        bus = Bus(echo=echo)
        bus.adapter.write(FRAME)
        bus.run(1.0)
        assert bus.bytes == (FRAME if echo else b"")


def test_an_output_that_is_stuck_holds_what_is_written_until_it_is_dropped_or_free() -> None:
    bus = Bus()
    bus.adapter.stuck = True
    bus.adapter.write(FRAME)
    bus.run(1.0)
    assert bus.adapter.unsent() == len(FRAME)
    assert not bus.line.characters
    bus.adapter.drop_output()
    bus.adapter.unstick()
    bus.run(1.0)
    assert not bus.line.characters
    bus.adapter.stuck = True
    bus.adapter.write(FRAME)
    bus.adapter.unstick()
    bus.run(1.0)
    assert bus.line.characters == len(FRAME)


def test_a_port_that_goes_is_told_and_opens_empty() -> None:
    bus = Bus()
    gone: list[float] = []
    bus.adapter.on_gone = lambda: gone.append(bus.world.now)
    bus.process.stall(1.0)
    bus.line.send("inverter", FRAME)
    bus.run(0.1)
    bus.adapter.unplug()
    assert not bus.adapter.open()
    bus.run(2.0)
    assert len(gone) == 1
    bus.adapter.plug()
    assert bus.adapter.open()
    assert not bus.adapter.unread()


def test_the_inverter_asks_again_after_its_time_out_and_goes_on_after_an_answer() -> None:
    bus = Bus()
    inverter = Inverter(bus.line, RequestPlan(), bus.world.random("inverter"))
    bus.run(3.0)
    assert inverter.requested in range(6, 9)  # 8244 alone, until it is answered
    assert {bus.bytes[at : at + 8] for at in range(0, len(bus.bytes), 8)} == {bytes.fromhex("010320340001ce04")}
    answered: list[bytes] = []

    def send(reply: bytes) -> None:
        bus.adapter.write(reply)

    def answer() -> None:
        data = bus.adapter.read()
        answered.append(data)
        count = int.from_bytes(data[4:6], "big")
        reply = append_crc(bytes((1, 3, 2 * count)) + bytes(2 * count))
        bus.process.after(0.002, partial(send, reply))

    bus.adapter.on_bytes = answer
    bus.run(3.0)
    assert inverter.recognised
    assert len(answered) > 20


def test_replies_of_other_units_hold_requests_to_us() -> None:
    bus = Bus()
    inverter = Inverter(bus.line, RequestPlan(others=True), bus.world.random("inverter"))
    inverter.recognised = True
    sent: list[tuple[str, bytes]] = []

    class Ear:
        def begins(self, one: object) -> None: ...

        def ends(self, one: object) -> None:
            sent.append((getattr(one, "sender"), bytes(getattr(one, "data"))))  # noqa: B009

    bus.line.stations.append(Ear())
    bus.run(20.0)
    replies = [data for who, data in sent if who == "other"]
    assert replies
    assert all(has_valid_crc(data) for data in replies)
    requests = {data for who, data in sent if who == "inverter" and data[0] == 1}
    assert any(request in reply for reply in replies for request in requests)
    assert US not in {who for who, _ in sent}


def test_what_a_killed_process_had_written_and_a_stuck_output_held_never_leaves() -> None:
    bus = Bus()
    bus.adapter.stuck = True
    assert bus.adapter.write(FRAME)
    bus.process.crash()
    bus.adapter.unstick()
    bus.run(1.0)
    assert bus.line.characters == 0
