"""Every frame fed whole, byte by byte, doubled, truncated, damaged, after noise and before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modbus_codec import Noise, Reply, Request, RtuFrameReader, append_crc

from .frames import EXAMPLES, READ_TOTALS, REQUESTS, Example, reply_frames, request_frames
from .listening import CHARACTER, GAP, bytes_of, noise, on_message, request, requests_for, short, single_bytes

every_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
every_request = pytest.mark.parametrize("example", REQUESTS, ids=lambda example: example.name)


def _as_heard(example: Example) -> tuple[str, bytes]:
    return ("request" if example.is_request else "reply", example.frame)


@every_example
def test_a_whole_frame_is_found_at_once(example: Example) -> None:
    received = RtuFrameReader().feed(example.frame, 5.0)
    kind = Request if example.is_request else Reply
    assert received == [kind(example.frame, example.frame[0], example.frame[1:-2], 5.0)]


@every_example
def test_a_frame_is_found_with_its_last_byte(example: Example) -> None:
    reader = RtuFrameReader()
    *first, last = single_bytes(example.frame)
    for count, byte in enumerate(first, 1):
        assert reader.feed(byte, count * CHARACTER) == []
        assert reader.pending == count
    received = reader.feed(last, 1.5 * GAP - GAP)
    assert short(received) == [_as_heard(example)]
    assert reader.pending == 0


@every_example
def test_a_frame_is_found_however_it_is_cut_in_two(example: Example) -> None:
    for cut in range(1, len(example.frame)):
        assert short(on_message(example.frame[:cut], example.frame[cut:])) == [_as_heard(example)]


@every_example
@pytest.mark.parametrize("follower", EXAMPLES, ids=lambda example: example.name)
def test_two_frames_in_one_feed_are_both_found(example: Example, follower: Example) -> None:
    both = example.frame + follower.frame
    assert short(RtuFrameReader().feed(both, 1.0)) == [_as_heard(example), _as_heard(follower)]
    assert short(on_message(*single_bytes(both))) == [_as_heard(example), _as_heard(follower)]


@every_example
def test_a_frame_cut_short_is_noise_and_the_next_one_after_a_gap_is_found(example: Example) -> None:
    for length in range(1, len(example.frame)):
        for chunks in ([example.frame[:length]], single_bytes(example.frame[:length])):
            reader = RtuFrameReader(GAP)
            received = [one for place, chunk in enumerate(chunks) for one in reader.feed(chunk, place * CHARACTER)]
            received += reader.feed(example.frame, 1.0)
            assert short(received) == [noise(example.frame[:length]), _as_heard(example)]


@every_example
@pytest.mark.promise(4)
def test_a_frame_damaged_in_any_bit_is_noise_and_the_next_one_after_a_gap_is_found(example: Example) -> None:
    for bit in range(8 * len(example.frame)):
        damaged = bytearray(example.frame)
        damaged[bit // 8] ^= 1 << bit % 8
        for chunks in ([bytes(damaged)], single_bytes(damaged)):
            reader = RtuFrameReader(GAP)
            assert short(on_message(*chunks, reader=reader)) == [noise(damaged)]
            assert short(reader.feed(example.frame, 200.0)) == [_as_heard(example)]


@every_example
def test_a_frame_that_lost_any_byte_is_noise_and_the_next_one_after_a_gap_is_found(example: Example) -> None:
    for place in range(len(example.frame)):
        rest = example.frame[:place] + example.frame[place + 1 :]
        reader = RtuFrameReader(GAP)
        received = on_message(rest, reader=reader)
        # Zeros are no loss to a CRC: what is left may be whole in another form, but never for a unit it wasn't sent to.
        assert bytes_of(received) == rest
        assert requests_for(1, received) == []
        assert short(reader.feed(example.frame, 200.0)) == [_as_heard(example)]


@every_example
@pytest.mark.parametrize("glitch", ["00", "ff", "80", "fe", "0000", "ff00", "c0fe", "ff" * 7, "00" * 40, "55aa" * 20])
def test_a_frame_right_behind_noise_is_found_by_the_next_gap(example: Example, glitch: str) -> None:
    before = bytes.fromhex(glitch)
    expected = [noise(before), _as_heard(example)]
    assert short(on_message(before + example.frame)) == expected
    assert short(on_message(*single_bytes(before + example.frame))) == expected


@pytest.mark.parametrize("glitch", [bytes((value,)) for value in range(256)])
def test_a_read_request_to_unit_1_behind_any_stray_byte_is_found_with_its_last_byte(glitch: bytes) -> None:
    for chunks in ([glitch + READ_TOTALS], single_bytes(glitch + READ_TOTALS)):
        reader = RtuFrameReader()
        received = [one for place, chunk in enumerate(chunks) for one in reader.feed(chunk, place * CHARACTER)]
        assert short(received) == [noise(glitch), request(READ_TOTALS)]
        assert [one.superseded for one in received if isinstance(one, Request)] == [False]


@every_example
@pytest.mark.parametrize("glitch", ["00", "ff", "80", "0000", "00ff", "ff" * 7, "00" * 40])
def test_a_frame_right_before_noise_is_found(example: Example, glitch: str) -> None:
    after = bytes.fromhex(glitch)
    assert short(on_message(example.frame + after)) == [_as_heard(example), noise(after)]
    assert short(on_message(*single_bytes(example.frame + after))) == [_as_heard(example), noise(after)]


@every_request
def test_half_a_request_and_a_gap_do_not_spoil_the_next_one(example: Example) -> None:
    reader = RtuFrameReader(GAP)
    half = example.frame[: len(example.frame) // 2]
    assert reader.feed(half, 1.0) == []
    received = reader.feed(example.frame, 1.3)
    assert short(received) == [noise(half), request(example.frame)]
    assert [one.at for one in received] == [1.0, 1.3]


@given(request_frames(), st.data())
def test_requests_of_all_functions_are_found_in_any_chunks(frame: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(frame) - 1))
    for chunks in ([frame], single_bytes(frame), [frame[:cut], frame[cut:]]):
        assert short(on_message(*chunks)) == [request(frame)]


@given(reply_frames(), st.data())
def test_replies_of_all_functions_are_found_in_any_chunks(frame: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(frame) - 1))
    for chunks in ([frame], single_bytes(frame), [frame[:cut], frame[cut:]]):
        assert short(on_message(*chunks)) == [("reply", frame)]


def test_a_gap_is_longer_than_idle_gap() -> None:
    reader = RtuFrameReader(0.5)
    assert reader.feed(READ_TOTALS[:3], 10.0) == []
    assert reader.flush(10.4) == []
    assert short(reader.feed(READ_TOTALS[3:], 10.5)) == [request(READ_TOTALS)]
    assert reader.feed(READ_TOTALS[:3], 20.0) == []
    assert short(reader.feed(READ_TOTALS[3:], 20.6))[0] == noise(READ_TOTALS[:3])


def test_flush_at_the_end_of_the_gap_gives_what_is_held_once() -> None:
    reader = RtuFrameReader(0.5)
    reader.feed(b"\x01\x03\x00", 10.0)
    assert reader.flush(10.5) == [Noise(b"\x01\x03\x00", 10.0)]
    assert reader.flush(11.0) == []


def test_reset_forgets_what_is_held() -> None:
    reader = RtuFrameReader()
    reader.feed(READ_TOTALS[:5], 1.0)
    reader.reset(1.0)
    assert reader.pending == 0
    assert short(reader.feed(READ_TOTALS, 1.001)) == [request(READ_TOTALS)]


def test_an_empty_feed_is_a_look_at_the_clock() -> None:
    reader = RtuFrameReader(GAP)
    assert reader.feed(b"", 1.0) == []
    reader.feed(b"\x01", 2.0)
    assert reader.feed(b"", 2.01) == []
    assert reader.feed(b"", 3.0) == [Noise(b"\x01", 2.0)]


@pytest.mark.parametrize("gap", [0.0, -1.0, float("nan")])
def test_an_idle_gap_that_is_none_is_refused(gap: float) -> None:
    with pytest.raises(ValueError, match="idle_gap"):
        RtuFrameReader(gap)


def test_the_shortest_and_the_longest_known_frames_are_found() -> None:
    longest = append_crc(bytes((9, 1, 251)) + bytes(range(251)))
    assert len(longest) == 256
    shortest = append_crc(b"\x09\x81\x01")
    assert short(on_message(longest + shortest)) == [("reply", longest), ("reply", shortest)]
