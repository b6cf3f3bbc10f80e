"""Replies of ranges that are asked often are encoded anew with the blocks that they are made of."""

import pytest

from ksem_contract.registers import RegisterRange
from modbus_codec.crc import append_crc
from rtu_server.register_cache import FreshnessLimits, RegisterCache
from rtu_server.reply_cache import Reply

from .blocks import block, echo

LIVE = append_crc(bytes.fromhex("01 03 00 00 00 02"))
ENERGY = append_crc(bytes.fromhex("01 03 02 00 00 02"))


class Meter:
    """A cache; both ranges are asked often."""

    def __init__(self) -> None:
        self.cache = RegisterCache(FreshnessLimits())
        echo(self.cache, at=100.0, rtt=0.02)
        self.on_message("live", 100.0, fill=1)
        self.on_message("energy", 100.0, fill=2)
        self.ask(LIVE, 0, 100.0)
        self.ask(ENERGY, 512, 100.0)
        self.on_message("live", 100.1, fill=3, seq=2)

    def on_message(self, name: str, at: float, *, fill: int, seq: int = 1, session: str = "aaaa") -> None:
        self.cache.on_block(block(name, at=at, fill=fill, seq=seq, session=session), at)

    def ask(self, request: bytes, start: int, now: float) -> None:
        self.cache.find(request, 1, RegisterRange(start, 2), now)

    def ready(self, request: bytes, now: float) -> Reply:
        reply = self.cache.ready(request, now)
        assert reply is not None
        return reply


@pytest.fixture
def meter() -> Meter:
    return Meter()


def test_a_new_block_is_in_the_replies_that_it_touches_and_no_other_is_made_anew(meter: Meter) -> None:
    live, energy = meter.ready(LIVE, 100.1), meter.ready(ENERGY, 100.1)
    assert (live.registers, energy.registers) == ((3, 3), (2, 2))
    meter.on_message("live", 100.3, fill=4, seq=3)
    assert meter.ready(LIVE, 100.3).registers == (4, 4)
    assert meter.ready(ENERGY, 100.3) is energy


def test_a_reply_that_is_used_again_expires_when_its_own_block_does(meter: Meter) -> None:
    for seq, at in enumerate(range(101, 160), 3):
        meter.ready(ENERGY, at - 0.5)
        meter.on_message("live", at, fill=5, seq=seq)
    assert meter.ready(ENERGY, 159.9).expires == pytest.approx(160.0, abs=0.01)
    assert meter.cache.ready(ENERGY, 160.0) is None


def test_a_block_with_the_same_registers_moves_the_moment_of_expiry(meter: Meter) -> None:
    before = meter.ready(LIVE, 100.1)
    meter.on_message("live", 100.3, fill=3, seq=3)
    after = meter.ready(LIVE, 100.3)
    assert after.answer.frame is before.answer.frame
    assert after.expires > before.expires


def test_an_echo_that_dates_the_blocks_better_moves_every_moment_of_expiry(meter: Meter) -> None:
    before = meter.ready(LIVE, 100.1), meter.ready(ENERGY, 100.1)
    echo(meter.cache, at=100.2, clock=100.19)
    assert meter.ready(LIVE, 100.2).expires > before[0].expires
    assert meter.ready(ENERGY, 100.2).expires > before[1].expires


def test_another_session_leaves_nothing_of_the_one_before(meter: Meter) -> None:
    meter.cache.on_offline()
    echo(meter.cache, session="bbbb", at=100.4)
    meter.on_message("live", 100.4, fill=9, session="bbbb")
    assert meter.ready(LIVE, 100.4).registers == (9, 9)
    assert meter.cache.ready(ENERGY, 100.4) is None


def test_a_block_that_holds_a_range_too_and_for_longer_is_what_it_is_answered_from(meter: Meter) -> None:
    def hear_on_demand(count: int, at: float, fill: int) -> None:
        name = f"r9000-{count}"
        meter.cache.on_block(block(name, at=at, fill=fill, start=9000, count=count), at)

    request = append_crc(bytes.fromhex("01 03 23 28 00 02"))
    hear_on_demand(2, 100.0, fill=6)
    meter.ask(request, 9000, 100.0)
    meter.on_message("live", 100.2, fill=3, seq=3)
    assert meter.ready(request, 100.2).registers == (6, 6)
    hear_on_demand(4, 100.3, fill=7)
    assert meter.ready(request, 100.3).registers == (7, 7)
