"""The line's timing and what it does to frames, without a clock or a pty."""

import pytest

from ksem_simulators.line.direction import FRAME_GAP, FrameFault, FrameFaults, Pacer, character_time

CHARACTER = character_time(38400)
REQUEST = bytes.fromhex("01030028006a45ed")


def _arrivals(pacer: Pacer) -> list[tuple[int, float]]:
    return [(byte.value, byte.owed) for byte in pacer.take(1e9)]


def test_a_character_takes_eleven_bits() -> None:
    assert pytest.approx(286.458e-6, rel=1e-5) == CHARACTER
    assert character_time(0) == 0.0


def test_each_byte_arrives_when_its_last_bit_does() -> None:
    pacer = Pacer(CHARACTER)
    pacer.send(b"abc", 10.0)
    arrivals = _arrivals(pacer)
    assert bytes(value for value, _ in arrivals) == b"abc"
    assert [when for _, when in arrivals] == pytest.approx([10.0 + n * CHARACTER for n in (1, 2, 3)])


def test_bytes_wait_for_those_before_them_and_no_time_is_lost() -> None:
    pacer = Pacer(CHARACTER)
    pacer.send(b"ab", 10.0)
    pacer.send(b"c", 10.0 + 0.5 * CHARACTER)
    assert _arrivals(pacer)[-1][1] == pytest.approx(10.0 + 3 * CHARACTER)


def test_a_late_hand_over_does_not_delay_the_bytes_behind_it() -> None:
    pacer = Pacer(CHARACTER)
    pacer.send(bytes(10), 10.0)
    assert len(pacer.take(10.0 + 4.2 * CHARACTER)) == 4
    assert pacer.next_owed == pytest.approx(10.0 + 5 * CHARACTER)


def test_nothing_is_handed_over_early() -> None:
    pacer = Pacer(CHARACTER)
    pacer.send(b"a", 10.0)
    assert pacer.take(10.0 + 0.99 * CHARACTER) == []


def test_an_answer_of_217_bytes_takes_62_milliseconds() -> None:
    pacer = Pacer(CHARACTER)
    pacer.send(bytes(217), 0.0)
    assert pacer.free_at == pytest.approx(0.06216, rel=1e-3)


def test_an_adapter_hands_over_in_ticks_but_the_wire_does_not_wait() -> None:
    pacer = Pacer(CHARACTER)
    pacer.grain = 0.016
    pacer.send(bytes(8), 0.001)
    assert {round(byte.owed, 6) for byte in pacer.take(1.0)} == {0.016}
    assert pacer.free_at == pytest.approx(0.001 + 8 * CHARACTER)


def test_batches_come_when_their_last_byte_is_due_and_the_rest_of_a_frame_with_its_end() -> None:
    pacer = Pacer(CHARACTER)
    pacer.batch = 4
    pacer.send(bytes(10), 0.0)
    assert [round(byte.owed / CHARACTER) for byte in pacer.take(1.0)] == [4] * 4 + [8] * 4 + [10] * 2


def test_a_frame_begins_after_the_silence_that_ends_the_one_before() -> None:
    pacer = Pacer(CHARACTER)
    assert pacer.is_new_frame(10.0)
    pacer.send(b"ab", 10.0)
    assert not pacer.is_new_frame(pacer.free_at + FRAME_GAP / 2)
    assert pacer.is_new_frame(pacer.free_at + 1.01 * FRAME_GAP)


def _through(kind: str, data: bytes = REQUEST, **parameters: object) -> list[int | float]:
    faults = FrameFaults()
    faults.add(FrameFault.of(kind, parameters))
    return faults.apply(data, new_frame=True)


def test_noise_before_inside_and_behind_a_frame() -> None:
    assert _through("noise", at=0, hex="ff00") == [0xFF, 0x00, *REQUEST]
    assert _through("noise", at=3, hex="ff") == [*REQUEST[:3], 0xFF, *REQUEST[3:]]
    assert _through("noise", at=-1, hex="ff") == [*REQUEST, 0xFF]


def test_a_bit_flips() -> None:
    assert _through("flip", at=7) == [*REQUEST[:7], REQUEST[7] ^ 1]


def test_a_frame_is_cut() -> None:
    assert _through("truncate", at=5) == list(REQUEST[:5])


def test_silence_inside_a_frame() -> None:
    assert _through("silence", at=4, ms=30) == [*REQUEST[:4], 0.03, *REQUEST[4:]]
    pacer = Pacer(CHARACTER)
    pacer.send(_through("silence", at=4, ms=30), 0.0)
    assert pacer.free_at == pytest.approx(0.03 + 8 * CHARACTER)


def test_a_byte_is_lost() -> None:
    assert _through("drop", at=2) == [*REQUEST[:2], *REQUEST[3:]]
    assert len(_through("drop", data=bytes(1000), chance=0.5)) == pytest.approx(500, abs=100)


def test_a_fault_counts_its_frames_and_their_bytes_in_pieces() -> None:
    faults = FrameFaults()
    faults.add(FrameFault.of("flip", {"at": 5, "times": 2}))
    for expected in (REQUEST[5] ^ 1, REQUEST[5] ^ 1, REQUEST[5]):
        received = faults.apply(REQUEST[:4], new_frame=True) + faults.apply(REQUEST[4:], new_frame=False)
        assert received[5] == expected
    assert faults.hits == 2


def test_cleared_faults_end_at_once() -> None:
    faults = FrameFaults()
    faults.add(FrameFault.of("truncate", {"at": 0}))
    faults.apply(b"a", new_frame=True)
    faults.clear()
    assert faults.apply(b"b", new_frame=False) == [ord("b")]


@pytest.mark.parametrize(
    ("kind", "parameters", "complaint"),
    [
        ("nois", {}, "noise"),
        ("noise", {}, "needs hex"),
        ("flip", {"bit": 3}, "bit: a fault takes"),
    ],
)
def test_a_mistaken_fault_is_refused_with_what_is_allowed(
    kind: str, parameters: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        FrameFault.of(kind, parameters)
