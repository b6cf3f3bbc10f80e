"""Whatever comes in: no error, bounded memory, bounded work, and the next good request after a gap is found."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from modbus_codec import FrameEvent, RtuFrameReader, rtu
from modbus_codec.crc import crc16

from .frames import READ_TOTALS, reply_frames, request_frames
from .listening import GAP, bytes_of, request, short

# Bytes that open frames are likelier here than in noise.
tempting = st.one_of(
    st.binary(max_size=300),
    st.lists(st.sampled_from(b"\x00\x01\x02\x03\x04\x06\x0f\x10\x16\x17\x2b\x80\x83\xfa\xff"), max_size=300).map(bytes),
    request_frames(),
    reply_frames(),
)


class Line(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.reader = RtuFrameReader(GAP)
        self.now = 1000.0
        self.fed = b""
        self.received: list[FrameEvent] = []

    def _feed(self, data: bytes) -> list[FrameEvent]:
        received = self.reader.feed(data, self.now)
        self.fed += data
        self.received += received
        return received

    @rule(data=tempting, later=st.floats(0, GAP))
    def bytes_come_in(self, data: bytes, later: float) -> None:
        self.now += later
        self._feed(data)

    @rule(frame=st.one_of(request_frames(), reply_frames()), data=st.data())
    def a_part_of_a_frame_comes_in(self, frame: bytes, data: st.DataObject) -> None:
        self._feed(frame[: data.draw(st.integers(0, len(frame)))])

    @rule(frame=st.one_of(request_frames(), reply_frames()), data=st.data())
    def a_damaged_frame_comes_in(self, frame: bytes, data: st.DataObject) -> None:
        damaged = bytearray(frame)
        damaged[data.draw(st.integers(0, len(frame) - 1))] ^= data.draw(st.integers(1, 255))
        self._feed(bytes(damaged))

    @rule(later=st.floats(0, 2 * GAP))
    def somebody_looks_at_the_clock(self, later: float) -> None:
        self.now += later
        self.received += self.reader.flush(self.now)

    @rule(flushed=st.booleans())
    def a_good_request_comes_in_after_a_gap(self, flushed: bool) -> None:
        self.now += 2 * GAP
        if flushed:
            self.received += self.reader.flush(self.now)
            assert self.reader.pending == 0
        received = self._feed(READ_TOTALS)
        assert short(received)[-1] == request(READ_TOTALS)
        assert self.reader.pending == 0

    @invariant()
    def memory_is_bounded(self) -> None:
        assert self.reader.pending <= 256

    @invariant()
    def every_byte_comes_out_once_and_in_order(self) -> None:
        received = bytes_of(self.received)
        assert len(received) + self.reader.pending == len(self.fed)
        assert self.fed.startswith(received)


TestLine = pytest.mark.promise(4, 10)(Line.TestCase)
TestLine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@given(st.binary(max_size=2000), st.integers(1, 50))
def test_the_chunks_in_which_noise_comes_do_not_matter(data: bytes, size: int) -> None:
    whole, cut = RtuFrameReader(GAP), RtuFrameReader(GAP)
    at_once = whole.feed(data, 1.0) + whole.flush(2.0)
    in_pieces = [one for place in range(0, len(data), size) for one in cut.feed(data[place : place + size], 1.0)]
    in_pieces += cut.flush(2.0)
    assert short(at_once) == short(in_pieces)


@pytest.mark.parametrize(
    "pattern",
    [
        "00",
        "01",
        "03",
        "10",
        "17",
        "42",
        "ff",
        "03fa",
        "0417",
        "04fa",
        "01fb",
        "02fb03fa",
        "10f6",
        "17f0",
        "1001",
        "01030250",
    ],
)
@pytest.mark.parametrize("size", [1, 8, 100_000])
@pytest.mark.promise(10)
def test_work_grows_with_the_bytes_and_no_faster(monkeypatch: pytest.MonkeyPatch, pattern: str, size: int) -> None:
    counted = 0

    def counting(data: bytes | bytearray) -> int:
        nonlocal counted
        counted += len(data)
        return crc16(data)

    monkeypatch.setattr(rtu, "crc16", counting)
    garbage = (bytes.fromhex(pattern) * 8000)[:8000]
    reader = RtuFrameReader(GAP)
    for place in range(0, len(garbage), size):
        reader.feed(garbage[place : place + size], 1.0)
        assert reader.pending <= 256
    reader.flush(2.0)
    # A byte may begin a frame in two forms of up to 256 bytes, and make one that is waited for be looked at again.
    assert counted <= 3 * 256 * len(garbage)
