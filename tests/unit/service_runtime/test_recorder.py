"""What goes over a service's wires: noted only while somebody asks, told in small batches, decoded elsewhere."""

import logging
import struct

from ksem_contract.capture_feed import MOST_DATA, CaptureAsk, CaptureBatch, WireEvent
from modbus_codec.crc import append_crc
from service_runtime.recorder.decode import MeterDecoder, NodeDecoder
from service_runtime.recorder.recorder import TICK, Recorder
from service_runtime.recorder.tape import MOST_WAITING, OFF, KeptEvents, Tape, unpacked


class _Bench:
    """A recorder with a broker in its hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.takes = True
        self.sent: list[CaptureBatch] = []
        self.recorder = Recorder(
            "records",
            self._publish,
            {"peer": "meter:502", "unit": "1"},
            logging.getLogger("test"),
            held=lambda: [WireEvent(self.now, "held", "live", b"\0\0\0\7")],
            clock=lambda: self.now,
        )

    def _publish(self, topic: str, payload: bytes) -> bool:
        if self.takes:
            self.sent.append(CaptureBatch.decode(payload))
        return self.takes

    def ask(self, seconds: int = 6) -> None:
        self.recorder.on_ask(CaptureAsk("n1", seconds).encode())

    def tick(self, seconds: float = TICK) -> None:
        self.now += seconds
        self.recorder.tick(self.now)

    def is_on(self) -> bool:
        return self.recorder.tape.on

    @property
    def events(self) -> list[WireEvent]:
        return [event for batch in self.sent for event in batch.events]


def test_at_rest_nothing_is_noted_and_nothing_is_told() -> None:
    bench = _Bench()
    bench.tick()
    assert not bench.is_on()
    assert not OFF.on
    assert bench.sent == []


def test_a_question_is_answered_at_once_with_the_clock_and_what_must_be_known_of_the_wires() -> None:
    bench = _Bench()
    bench.ask()
    (answer,) = bench.sent
    assert (answer.nonce, answer.boot_us, answer.events) == ("n1", 1_000_000_000, ())
    assert answer.about == {"peer": "meter:502", "unit": "1"}
    assert bench.is_on()


def test_a_recording_begins_with_what_the_service_holds() -> None:
    bench = _Bench()
    bench.ask()
    bench.recorder.tape.add(1000.1, "in", "rs485", b"\1")
    bench.tick()
    assert [event.what for event in bench.events] == ["held", "in"]
    bench.ask()
    bench.tick()
    assert len(bench.events) == 2, "once"


def test_it_ends_when_nobody_asks_again() -> None:
    bench = _Bench()
    bench.ask(seconds=2)
    bench.tick()
    assert bench.is_on()
    bench.tick(2.0)
    assert not bench.is_on()
    told = len(bench.sent)
    bench.tick()
    assert len(bench.sent) == told


def test_a_question_that_breaks_the_contract_starts_nothing() -> None:
    bench = _Bench()
    for payload in (b"", b"{}", b'{"v":1,"nonce":"a","seconds":3600}'):
        bench.recorder.on_ask(payload)
    assert not bench.is_on()
    assert bench.sent == []


def test_batches_are_numbered_and_small() -> None:
    bench = _Bench()
    bench.ask()
    for _ in range(40):
        bench.recorder.tape.add(1000.1, "in", "rs485", bytes(256))
    bench.tick()
    bench.tick()
    batches = [batch for batch in bench.sent if batch.events]
    assert [batch.number for batch in batches] == list(range(1, len(batches) + 1))
    assert len(bench.events) == 41
    assert all(sum(len(event.data) for event in batch.events) <= MOST_DATA for batch in batches)


def test_what_a_slow_link_cant_take_waits_and_what_there_is_no_room_for_is_counted() -> None:
    bench = _Bench()
    bench.ask(seconds=30)
    bench.takes = False
    noted = 0
    for _ in range(8):
        for _ in range(60):
            bench.recorder.tape.add(bench.now, "in", "rs485", bytes(1024))
            noted += 1
        bench.tick()
    bench.takes = True
    for _ in range(40):
        bench.tick()
    dropped = sum(batch.dropped for batch in bench.sent)
    assert dropped > 0
    assert len(bench.events) - 1 + dropped == noted


def test_a_flood_between_two_ticks_is_bounded_and_counted() -> None:
    tape = Tape()
    for _ in range(1000):
        tape.add(1.0, "in", "rs485", bytes(1024))
    taken = tape.take()
    assert sum(len(event.data) for event in taken) <= MOST_WAITING
    assert len(taken) + tape.dropped == 1000


def test_kept_events_are_the_newest_in_bounded_memory() -> None:
    kept = KeptEvents(20_000)
    for number in range(500):
        kept.keep([WireEvent(float(number), "in", "rs485", bytes(100))])
    chunks = kept.copy()
    assert sum(map(len, chunks)) <= 20_000
    times = [event.at for event in unpacked(chunks)]
    assert times == [float(number) for number in range(500 - len(times), 500)]
    assert len(times) > 100


def test_the_meters_side_becomes_writes_and_polls() -> None:
    decoder = MeterDecoder("main", {"peer": "meter:502", "unit": "71"}, serial_number=False)
    found = decoder.records(
        [
            WireEvent(1.0, "told", "", b"\0\1"),
            WireEvent(1.1, "connected", "meter:4711", b""),
            WireEvent(1.2, "write", "meter:4711", struct.pack(">BBH2H", 16, 1, 24, 7, 8)),
            WireEvent(2.0, "poll", "", struct.pack(">HH", 8226, 4)),
            WireEvent(2.01, "told", "", struct.pack(">4H", 1, 2, 3, 4)),
            WireEvent(3.0, "poll", "", struct.pack(">HH", 9000, 1)),
            WireEvent(3.5, "refused", "", b"\2"),
            WireEvent(4.0, "poll", "", struct.pack(">HH", 0, 28)),
            WireEvent(6.0, "failed", "", b"no answer in 2 s"),
            WireEvent(7.0, "later-word", "", b""),
        ]
    )
    assert [(one.what, one.t, one.where) for one in found] == [
        ("connected", 1.1, "main"),
        ("write", 1.2, "main"),
        ("poll", 2.0, "main"),
        ("poll-reply", 2.01, "main"),
        ("poll", 3.0, "main"),
        ("poll-exception", 3.5, "main"),
        ("poll", 4.0, "main"),
        ("poll-failed", 6.0, "main"),
    ]
    write, reply, refusal = found[1], found[3], found[5]
    assert (write.function, write.unit, write.start, write.values, write.length) == (16, 1, 24, (7, 8), 17)
    assert (reply.start, reply.count, reply.unit) == (8226, 4, 71)
    assert reply.values == (1, 2, None, None), "the serial number begins at 8228"
    assert (refusal.code, refusal.delay_ms) == (2, 500.0)
    assert found[7].why == "no answer in 2 s"


def test_the_inverters_side_becomes_requests_and_replies_with_their_times() -> None:
    decoder = NodeDecoder("attic", {"rs485": "286.46"}, serial_number=False)
    request = append_crc(bytes.fromhex("010300000002"))
    reply = append_crc(bytes.fromhex("01030400070008"))
    found = decoder.records(
        [
            WireEvent(10.0, "in", "rs485", request),
            WireEvent(10.00175, "out", "rs485", reply),
            WireEvent(10.5, "in", "rs485", b"\xff\xfe\xff"),
            WireEvent(11.0, "in", "rs485", request),
            WireEvent(11.002, "out", "rs485", append_crc(b"\1\x83\4")),
            WireEvent(12.0, "forget", "rs485", b"stood still"),
            WireEvent(13.0, "note", "state", b"down: no link"),
        ]
    )
    assert [one.what for one in found] == [
        "request",
        "reply",
        "noise",
        "request",
        "exception",
        "stall",
        "state",
    ]
    assert found[0].where == "attic/rs485"
    assert found[6].where == "attic"
    assert found[1].values == (7, 8)
    assert found[1].delay_ms is not None
    assert abs(found[1].delay_ms - 1.75) < 0.01
    assert abs(found[1].t - (10.00175 + 9 * 286.46e-6)) < 1e-6
    assert (found[4].code, found[4].start) == (4, 0)
