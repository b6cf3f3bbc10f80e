"""Other servers on the line, echoes, traffic without gaps: nothing of it is ever taken for a request to us."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modbus_codec import (
    ExceptionCode,
    ExceptionReply,
    ReadReply,
    Request,
    RtuFrame,
    RtuFrameReader,
    append_crc,
    has_valid_crc,
)
from modbus_codec.pdu import FunctionCode

from .frames import KSEM, READ_TOTALS, reads, registers, reply_frames, request_frames
from .listening import CHARACTER, GAP, noise, on_message, replies, reply, request, requests_for, short, single_bytes

US = 1
OTHER = 2


def _registers(data: bytes) -> bytes:
    """A reply of unit 2 with `data` as its registers."""
    return append_crc(bytes((OTHER, 3, len(data))) + data)


@given(reads, registers(125))
@pytest.mark.promise(4)
def test_our_own_echoed_reply_is_a_reply(function: FunctionCode, values: tuple[int, ...]) -> None:
    echo = RtuFrame(US, ReadReply(function, values).encode()).encode()
    assert short(on_message(echo)) == [reply(echo)]
    assert short(on_message(*single_bytes(echo))) == [reply(echo)]


@pytest.mark.parametrize("code", ExceptionCode)
def test_our_own_echoed_exception_is_a_reply_and_the_next_request_is_found(code: ExceptionCode) -> None:
    echo = RtuFrame(US, ExceptionReply(3, code).encode()).encode()
    assert short(on_message(READ_TOTALS, echo, READ_TOTALS)) == [
        request(READ_TOTALS),
        reply(echo),
        request(READ_TOTALS),
    ]


@pytest.mark.parametrize("before", range(0, 21, 2))
@pytest.mark.promise(4)
def test_a_request_to_us_inside_another_units_registers_is_not_heard(before: int) -> None:
    foreign = _registers(bytes(before) + READ_TOTALS + bytes(20 - before))
    for chunks in ([foreign], single_bytes(foreign), [foreign[:9], foreign[9:]], [foreign[:-1], foreign[-1:]]):
        assert short(on_message(*chunks)) == [reply(foreign)]


@pytest.mark.parametrize("before", range(0, 21, 2))
def test_a_request_to_us_inside_what_is_written_to_another_unit_is_not_heard(before: int) -> None:
    payload = bytes(before) + READ_TOTALS + bytes(20 - before)
    foreign = append_crc(bytes((OTHER, 16, 0, 0, 0, len(payload) // 2, len(payload))) + payload)
    for chunks in ([foreign], single_bytes(foreign)):
        assert short(on_message(*chunks)) == [request(foreign)]


def test_a_request_to_us_inside_a_frame_of_unknown_function_is_not_heard() -> None:
    foreign = append_crc(bytes((OTHER, 0x42)) + READ_TOTALS + b"\x01")
    for chunks in ([foreign], single_bytes(foreign)):
        assert short(on_message(*chunks)) == [request(foreign)]


@pytest.mark.parametrize("before", range(0, 21, 2))
def test_a_request_to_us_inside_a_damaged_reply_is_not_answered(before: int) -> None:
    foreign = _registers(bytes(before) + READ_TOTALS + bytes(20 - before))
    for bit in range(8 * len(foreign)):
        if 3 + before <= bit // 8 < 11 + before:
            continue  # the request itself
        damaged = bytearray(foreign)
        damaged[bit // 8] ^= 1 << bit % 8
        assert requests_for(US, on_message(bytes(damaged))) == []
        # Byte by byte the reader can't know what follows. Whoever answers waits for silence, and sees that more comes.
        assert short(on_message(*single_bytes(damaged)))[-1][0] == "noise"


@pytest.mark.parametrize("count", [0, 126, 515])
def test_a_reply_whose_first_bytes_have_the_crc_of_a_request_is_a_reply(count: int) -> None:
    # Chosen so that bytes 7 and 8 are the CRC of the first six: unit, function, byte count 8, then 1 and the count.
    looks_like = append_crc(bytes((OTHER, 3, 8, 1, count >> 8, count & 255)))
    foreign = append_crc(looks_like + bytes((9, 9, 9)))
    assert short(on_message(foreign)) == [reply(foreign)]
    # No server gives so many, so the rest of a reply is waited for even when it comes in pieces.
    assert short(on_message(*single_bytes(foreign))) == [reply(foreign)]


def test_a_whole_reply_is_a_reply_though_its_first_bytes_are_a_likely_request() -> None:
    likely = append_crc(bytes((OTHER, 3, 8, 1, 0, 9)))
    foreign = append_crc(likely + bytes((9, 9, 9)))
    assert short(on_message(foreign)) == [reply(foreign)]


@given(st.lists(st.one_of(request_frames(), reply_frames()).filter(lambda frame: frame[0]), max_size=5), st.data())
def test_traffic_without_gaps_is_taken_apart_frame_by_frame(frames: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [frame for _, frame in short(on_message(*chunks))] == frames


def test_a_request_right_behind_another_units_traffic_is_found_at_once() -> None:
    requested = append_crc(bytes((OTHER, 3, 0, 0, 0, 2)))
    answered = _registers(bytes((1, 2, 3, 4)))
    received = RtuFrameReader().feed(requested + answered + READ_TOTALS, 1.0)
    assert short(received) == [request(requested), reply(answered), request(READ_TOTALS)]
    assert [one.frame for one in requests_for(US, received)] == [READ_TOTALS]


@pytest.mark.promise(4)
def test_only_the_last_of_a_run_of_requests_is_to_be_answered() -> None:
    received = RtuFrameReader().feed(READ_TOTALS + KSEM[3].frame + KSEM[0].frame, 1.0)
    assert [one.superseded for one in received if isinstance(one, Request)] == [True, True, False]


@pytest.mark.parametrize(("after", "superseded"), [(0, False), (1, False), (2, False), (3, True), (7, True)])
def test_a_request_is_overtaken_by_more_bytes_than_a_driver_leaves_behind(after: int, superseded: bool) -> None:
    (received,) = RtuFrameReader().feed(READ_TOTALS + READ_TOTALS[:after], 1.0)
    assert isinstance(received, Request)
    assert received.superseded is superseded


def test_a_request_is_overtaken_by_bytes_of_the_same_feed_however_long_it_is() -> None:
    received = RtuFrameReader().feed(bytes(248) + READ_TOTALS + bytes(3), 1.0)
    assert [one.superseded for one in received if isinstance(one, Request)] == [True]
    received = RtuFrameReader().feed(READ_TOTALS * 1000, 1.0)
    assert [one.superseded for one in received if isinstance(one, Request)] == [True] * 999 + [False]


def test_a_request_dug_out_of_noise_is_overtaken_by_a_single_byte() -> None:
    (_, alone) = RtuFrameReader().feed(b"\xff" + READ_TOTALS, 1.0)
    (_, followed) = RtuFrameReader().feed(b"\xff" + READ_TOTALS + b"\xff", 1.0)
    assert isinstance(alone, Request)
    assert isinstance(followed, Request)
    assert (alone.superseded, followed.superseded) == (False, True)


@pytest.mark.parametrize(("before", "resynced"), [(0, False), (2, False), (3, True), (40, True)])
def test_a_request_behind_more_than_a_glitch_may_be_a_part_of_something_longer(before: int, resynced: bool) -> None:
    found = [one for one in RtuFrameReader().feed(b"\xff" * before + READ_TOTALS, 1.0) if isinstance(one, Request)]
    assert [one.resynced for one in found] == [resynced]


@pytest.mark.parametrize("lost", range(1, 10))
@pytest.mark.promise(4)
def test_no_request_inside_another_units_reply_is_to_be_answered_where_its_head_is_lost(lost: int) -> None:
    rest = _registers(READ_TOTALS * 7)[lost:]
    for chunks in ([rest], [rest[:20], rest[20:]]):
        assert requests_for(US, on_message(*chunks)) == []


def test_a_request_behind_one_dug_out_of_noise_is_found_after_a_gap() -> None:
    reader = RtuFrameReader(GAP)
    reader.feed(b"\xff" + READ_TOTALS, 1.0)
    unknown = append_crc(b"\x01\x42\x07")
    assert short(on_message(unknown, reader=reader, start=2.0)) == [request(unknown)]


@pytest.mark.parametrize("unit", [4, 5, 8])
def test_a_request_for_512_to_767_is_never_taken_for_a_reply_of_one_register(unit: int) -> None:
    """Where its CRC ends in 00, as some do for these units, its first seven bytes are a valid reply."""
    like_a_reply = 0
    for start in range(512, 768):
        for count in range(1, 126):
            frame = append_crc(bytes((unit, 3, start >> 8, start & 255, 0, count)))
            if has_valid_crc(frame[:7]):
                like_a_reply += 1
                assert short(on_message(*single_bytes(frame))) == [request(frame)]
                assert short(on_message(frame[:7], frame[7:] + frame)) == [request(frame), request(frame)]
    assert like_a_reply > 100


@pytest.mark.parametrize("value", range(0, 65536, 251))
def test_a_reply_of_one_register_is_found_by_the_next_gap(value: int) -> None:
    frame = RtuFrame(US, ReadReply(FunctionCode.READ_HOLDING_REGISTERS, (value,)).encode()).encode()
    assert short(on_message(frame)) == [reply(frame)]
    assert short(on_message(*single_bytes(frame))) == [reply(frame)]
    assert short(on_message(frame, READ_TOTALS)) == [reply(frame), request(READ_TOTALS)]


def test_zeros_behind_a_request_do_not_make_it_a_reply() -> None:
    for start in range(0x400, 0x500, 7):  # reads like a reply with two registers, of nine bytes
        frame = append_crc(bytes((US, 3, start >> 8, start & 255, 0, 9)))
        assert short(on_message(frame + b"\x00")) == [request(frame), noise(b"\x00")]
        assert short(on_message(*single_bytes(frame + b"\x00"))) == [request(frame), noise(b"\x00")]


@pytest.mark.parametrize("start", [0, 100, 256, 0x2134, 0x3F00])
def test_a_wrong_count_is_found_at_once_where_the_request_can_not_be_a_reply(start: int) -> None:
    frame = append_crc(bytes((US, 3, start >> 8, start & 255, 0, 126)))
    assert short(RtuFrameReader().feed(frame, 1.0)) == [request(frame)]


@pytest.mark.parametrize("count", [0, 126, 0xFFFF])
@pytest.mark.parametrize("start", [0, 512, 8192, 40000])
def test_a_request_with_a_count_that_no_server_gives_is_found_by_the_next_gap(start: int, count: int) -> None:
    frame = append_crc(bytes((US, 3, start >> 8, start & 255, count >> 8, count & 255)))
    for chunks in ([frame], single_bytes(frame)):
        received = on_message(*chunks)
        assert short(received) == [request(frame)]
        assert requests_for(US, received)


@pytest.mark.parametrize(
    "pdu",
    [
        "07",
        "0b",
        "0c",
        "11",
        "08 0000 a537",
        "2b 0e 01 00",
        "14 07 06 0004 0001 0002",
        "18 04de",
        "42",
        "64 010203",
        "7f",
    ],
)
def test_other_functions_are_requests_where_a_gap_ends_them(pdu: str) -> None:
    frame = append_crc(bytes((US,)) + bytes.fromhex(pdu))
    for chunks in ([frame], single_bytes(frame)):
        reader = RtuFrameReader(GAP)
        fed = [one for place, chunk in enumerate(chunks) for one in reader.feed(chunk, 1 + place * CHARACTER)]
        assert fed == []
        last = 1 + (len(chunks) - 1) * CHARACTER
        (received,) = reader.flush(last + 2 * GAP)
        assert received == Request(frame, US, frame[1:-2], last)


def test_other_functions_are_not_looked_for_behind_noise() -> None:
    reader = RtuFrameReader(GAP)
    frame = append_crc(bytes((0, 0x42, 1, 2, 3)))
    received = reader.feed(bytes(300) + frame[:1], 1.0)
    assert reader.pending == 1
    assert short(received + reader.feed(frame[1:], 1.0) + reader.flush(2.0)) == [noise(bytes(300) + frame)]


def test_a_damaged_request_does_not_hold_up_the_good_one_behind_it() -> None:
    damaged = READ_TOTALS[:-1] + b"\x02"
    assert short(RtuFrameReader().feed(damaged + READ_TOTALS, 1.0)) == [noise(damaged), request(READ_TOTALS)]


@pytest.mark.parametrize("trailing", ["ff00", "ff80"])
def test_functions_that_can_not_exist_do_not_hold_up_the_request_behind_them(trailing: str) -> None:
    received = RtuFrameReader().feed(bytes.fromhex(trailing) + READ_TOTALS, 1.0)
    assert short(received) == [noise(bytes.fromhex(trailing)), request(READ_TOTALS)]


def test_other_functions_with_a_wrong_crc_are_noise() -> None:
    assert short(on_message(bytes.fromhex("01 42 00 00 00"))) == [noise(bytes.fromhex("01 42 00 00 00"))]


@pytest.mark.parametrize("function", [0, 0x80])
def test_functions_that_can_not_exist_are_noise(function: int) -> None:
    frame = append_crc(bytes((US, function, 1)))
    assert short(on_message(frame)) == [noise(frame)]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 5, 6, 7, 20])
def test_a_read_of_wrong_length_between_gaps_is_a_request_whatever_the_chunks(length: int) -> None:
    frame = append_crc(bytes((US, 3)) + b"\x00\x01\x00\x02\x00\x05\x07"[:length] + bytes(max(0, length - 7)))
    assert short(on_message(frame)) == [request(frame)]
    assert short(on_message(*single_bytes(frame))) == [request(frame)]


def test_a_write_that_is_said_back_is_heard_as_two_requests() -> None:
    frame = RtuFrame(OTHER, bytes.fromhex("06 0001 0003")).encode()
    assert short(on_message(frame, frame)) == [request(frame), request(frame)]


@pytest.mark.promise(4)
def test_a_broadcast_is_a_request_to_unit_0() -> None:
    frame = RtuFrame(0, bytes.fromhex("10 0001 0001 02 0003")).encode()
    (received,) = RtuFrameReader().feed(frame, 1.0)
    assert isinstance(received, Request)
    assert received.unit == 0


def test_a_port_opened_in_the_middle_of_a_reply_hears_the_next_request() -> None:
    foreign = _registers(bytes(range(100)))
    for cut in range(1, len(foreign)):
        reader = RtuFrameReader(GAP)
        on_message(foreign[cut:], reader=reader)
        assert short(reader.feed(READ_TOTALS, 200.0)) == [request(READ_TOTALS)]
        assert replies(on_message(foreign[cut:])) == []
