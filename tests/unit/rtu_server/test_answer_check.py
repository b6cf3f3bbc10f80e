"""The second look at answers that were sent."""

import logging
from dataclasses import replace

import pytest

from modbus_codec.crc import append_crc
from rtu_server import answer_check, reply_cache
from rtu_server.answer_check import why_unfit, why_wrong
from rtu_server.answer_watch import CHECK_EVERY, AnswerWatch
from rtu_server.register_cache import FreshnessLimits, RegisterCache
from rtu_server.reply_cache import Answer
from rtu_server.responder import Responder, Unit

from .blocks import block, echo

TOTALS = append_crc(bytes.fromhex("01 03 00 00 00 1c"))
OVER_TWO_BLOCKS = append_crc(bytes.fromhex("01 03 23 29 00 04"))


class Bench:
    """A unit with fresh blocks, whose registers all differ."""

    def __init__(self) -> None:
        self.limits = FreshnessLimits()
        self.cache = RegisterCache(self.limits)
        echo(self.cache, at=100.0)
        live = block(at=100.0)
        self.cache.on_block(replace(live, registers=tuple(range(1000, 1148))), 100.0)
        for start in (9000, 9003):
            made = block(f"r{start}-3", start=start, count=3, fill=start % 9, at=100.0, cycle_ms=5000)
            self.cache.on_block(made, 100.0)
        self.responder = Responder({1: Unit(1, "main", self.cache)})

    def answer(self, request: bytes = TOTALS, at: float = 100.1) -> Answer:
        answer = self.responder.answer(request, at)
        assert answer.outcome == "data"
        return answer

    def wrong(self, answer: Answer, request: bytes = TOTALS, at: float = 100.1) -> str:
        return why_wrong(request, answer, at, self.limits.of)


def _with(answer: Answer, change: dict[int, int]) -> Answer:
    frame = bytearray(answer.frame[:-2])
    for at, byte in change.items():
        frame[at] = byte
    return answer._replace(frame=append_crc(bytes(frame)))


def test_a_right_answer_passes_encoded_ahead_or_when_it_was_requested() -> None:
    bench = Bench()
    assert bench.wrong(bench.answer()) == ""
    bench.cache.on_block(replace(block(at=100.1, seq=2), registers=tuple(range(2000, 2148))), 100.1)
    assert bench.answer().frame[3:5] == (2000).to_bytes(2, "big")
    assert bench.wrong(bench.answer()) == ""


@pytest.mark.promise(2)
def test_any_byte_that_is_wrong_in_an_answer_is_found_even_under_a_right_crc() -> None:
    bench = Bench()
    answer = bench.answer()
    for at in range(len(answer.frame) - 2):
        assert bench.wrong(_with(answer, {at: answer.frame[at] ^ 1})), at
    assert "CRC" in bench.wrong(answer._replace(frame=answer.frame[:-1] + b"\0"))


def test_an_answer_of_another_cycle_than_it_says_is_found() -> None:
    bench = Bench()
    old = bench.answer()
    bench.cache.on_block(replace(block(at=100.1, seq=2), registers=tuple(range(2000, 2148))), 100.1)
    new = bench.answer()
    assert "live 2 of session aaaa" in bench.wrong(new._replace(frame=old.frame))
    half = _with(new, dict(enumerate(old.frame[30:-2], 30)))
    assert bench.wrong(half)


def test_an_answer_that_is_older_than_its_block_may_be_is_found() -> None:
    bench = Bench()
    answer = bench.answer()
    assert bench.wrong(answer, at=101.5) == ""
    assert "1.5 s are allowed" in bench.wrong(answer, at=101.7)


def test_a_range_of_two_blocks_is_compared_with_both() -> None:
    bench = Bench()
    answer = bench.answer(OVER_TWO_BLOCKS)
    assert {message.block for message in answer.made_of} == {"r9000-3", "r9003-3"}
    assert bench.wrong(answer, OVER_TWO_BLOCKS) == ""
    assert bench.wrong(_with(answer, {4: 9}), OVER_TWO_BLOCKS)


def test_a_wrong_answer_silences_its_unit_and_names_itself_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    watch = AnswerWatch("line rs485", bench.responder, bench.limits.of)
    watch.look(TOTALS, bench.answer(), 100.1)
    assert bench.responder.why_silenced(1) == ""
    false = _with(bench.answer(), {3: 0xFF})
    watch.look(TOTALS, false, 100.2)  # not this one: one in a second is enough
    assert bench.responder.why_silenced(1) == ""
    caplog.set_level(logging.ERROR)
    for _ in range(2):
        watch.look(TOTALS, false, 100.1 + CHECK_EVERY)
    assert "register 0 is 65" in bench.responder.why_silenced(1)
    assert bench.responder.answer(TOTALS, 101.2).frame == b""
    assert len(caplog.records) == 1


def test_a_service_whose_encoder_gives_something_else_than_the_known_answer_does_not_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert why_unfit() == ""
    right = reply_cache.encode

    def false(unit: int, words: object) -> object:
        reply = right(unit, words)  # type: ignore[arg-type]
        return reply._replace(answer=_with(reply.answer, {3: 0}))

    monkeypatch.setattr(answer_check, "encode", false)
    assert "is right" in why_unfit()
