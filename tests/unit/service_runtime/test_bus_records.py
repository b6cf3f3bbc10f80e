import pytest

from ksem_contract.capture_file import CaptureRecord
from modbus_codec.pdu import (
    ExceptionCode,
    ExceptionReply,
    FunctionCode,
    ReadReply,
    ReadRequest,
    WriteSingleRequest,
)
from modbus_codec.rtu import RtuFrame, RtuFrameReader
from service_runtime.recorder.bus_records import BusRecorder, character_time

_CHARACTER = character_time(38400, "N", 2)
_READ = FunctionCode.READ_HOLDING_REGISTERS


class _Line:
    """A line whose bytes are handed over as a listener's port would."""

    def __init__(self, *, serial_number: bool = False) -> None:
        self.reader = RtuFrameReader()
        self.recorder = BusRecorder(1000.0, _CHARACTER, serial_number=serial_number)
        self.now = 1000.0
        self.records: list[CaptureRecord] = []

    def send(self, data: bytes, *, grain: int = 1) -> None:
        """The bytes go over the line one after the other; the port hands them over in grains."""
        for begin in range(0, len(data), grain):
            piece = data[begin : begin + grain]
            self.now += len(piece) * _CHARACTER
            self.recorder.arrived(piece, self.now)
            self.records += self.recorder.records(self.reader.feed(piece, self.now))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.records += self.recorder.records(self.reader.flush(self.now))


def _request(start: int, count: int, unit: int = 1) -> bytes:
    return RtuFrame(unit, ReadRequest(_READ, start, count).encode()).encode()


def _reply(*registers: int, unit: int = 1) -> bytes:
    return RtuFrame(unit, ReadReply(_READ, registers).encode()).encode()


def test_a_character_of_38400_8n2_takes_286_us() -> None:
    assert pytest.approx(286.458e-6, rel=1e-5) == _CHARACTER
    assert character_time(9600, "E", 1) == pytest.approx(11 / 9600)


@pytest.mark.parametrize("grain", [1, 8, 64])
def test_a_reply_gets_the_place_that_was_asked_for_and_its_delay(grain: int) -> None:
    line = _Line()
    line.send(_request(26, 2), grain=grain)
    line.wait(0.00175)
    line.send(_reply(0, 50_010), grain=grain)
    request, reply = line.records
    assert (request.what, request.unit, request.function, request.start, request.count) == ("request", 1, 3, 26, 2)
    assert request.t == pytest.approx(8 * _CHARACTER)
    assert (reply.what, reply.start, reply.count, reply.values) == ("reply", 26, 2, (0, 50_010))
    assert reply.delay_ms == pytest.approx(1.75, abs=0.01)
    assert reply.gap_ms == pytest.approx(1.75, abs=0.01)


def test_a_reply_of_one_register_is_dated_by_its_last_byte_though_only_silence_ends_it() -> None:
    line = _Line()
    line.send(_request(8244, 1))
    line.wait(0.002)
    line.send(_reply(200))
    ended = line.now
    line.wait(0.03)
    reply = line.records[1]
    assert reply.values == (200,)
    assert reply.t == pytest.approx(ended - 1000.0)
    assert reply.delay_ms == pytest.approx(2.0, abs=0.01)


def test_an_exception_tells_what_was_refused() -> None:
    line = _Line()
    line.send(_request(0, 28))
    line.wait(0.002)
    line.send(RtuFrame(1, ExceptionReply(3, ExceptionCode.SERVER_DEVICE_FAILURE).encode()).encode())
    line.wait(0.03)
    refused = line.records[1]
    assert (refused.what, refused.code, refused.function, refused.start, refused.count) == ("exception", 4, 3, 0, 28)


def test_noise_is_recorded_by_its_length() -> None:
    line = _Line()
    line.send(b"\xff" * 20)
    line.wait(0.1)
    line.send(_request(0, 28))
    noise, request = line.records
    assert (noise.what, noise.length, noise.raw) == ("noise", 20, "ff ff ff")
    assert request.gap_ms == pytest.approx(100, abs=1)


def test_the_serial_number_is_left_out_unless_asked_for() -> None:
    name = tuple(range(0x4141, 0x4141 + 16))
    for wanted in (False, True):
        line = _Line(serial_number=wanted)
        line.send(_request(8228, 16))
        line.wait(0.002)
        line.send(_reply(*name))
        assert line.records[1].values == (name if wanted else (None,) * 16)


def test_a_reply_to_a_request_that_was_not_heard_shows_no_values() -> None:
    line = _Line()
    line.send(_reply(*range(16)))
    assert line.records[0].values is None
    assert line.records[0].start is None
    assert line.records[0].count == 16


def test_a_reply_of_another_length_than_asked_says_so() -> None:
    line = _Line()
    line.send(_request(0, 28))
    line.wait(0.002)
    line.send(_reply(1, 2, 3))
    assert line.records[1].start is None
    assert line.records[1].why == "28 registers were requested"


def test_a_single_write_said_back_is_a_reply() -> None:
    frame = RtuFrame(1, WriteSingleRequest(100, 7).encode()).encode()
    line = _Line()
    line.send(frame)
    line.wait(0.002)
    line.send(frame)
    assert [record.what for record in line.records] == ["request", "reply"]
    assert line.records[0].values == (7,)


def test_requests_to_other_units_are_recorded_too() -> None:
    line = _Line()
    line.send(_request(0, 2, unit=9))
    line.wait(0.002)
    line.send(_reply(5, 6, unit=9))
    assert [(record.unit, record.what) for record in line.records] == [(9, "request"), (9, "reply")]


def test_a_valid_frame_of_an_unknown_function_is_recorded_by_its_beginning() -> None:
    line = _Line()
    line.send(RtuFrame(1, bytes((0x2B, 0x0E, 0x01, 0x00))).encode())
    line.wait(0.03)
    assert line.records[0].what == "request"
    assert line.records[0].function == 0x2B
    assert line.records[0].raw == "01 2b 0e 01 00 70 77"
