"""Replies that were encoded ahead are as true, and for no longer, than what the cache would say."""

import pytest

from ksem_contract.registers import RegisterRange
from modbus_codec.crc import append_crc
from rtu_server.register_cache import FreshnessLimits, RegisterCache
from rtu_server.reply_cache import PRECOMPUTED_FOR, Refused, Reply

from .blocks import block, echo

TOTALS, COUNTERS = RegisterRange(0, 28), RegisterRange(512, 100)
REQUESTS = {TOTALS: append_crc(bytes((1, 3, 0, 0, 0, 28))), COUNTERS: append_crc(bytes((1, 3, 2, 0, 0, 100)))}


@pytest.fixture
def cache() -> RegisterCache:
    """Both ranges lie encoded."""
    cache = RegisterCache(FreshnessLimits())
    echo(cache, at=100.0)
    cache.on_block(block("live", at=100.0), 100.0)
    for wanted, request in REQUESTS.items():
        cache.find(request, 1, wanted, 100.0)
    cache.on_block(block("energy", at=100.0), 100.0)
    return cache


@pytest.mark.parametrize("wanted", REQUESTS)
@pytest.mark.parametrize("at", [100.0, 101.49, 101.51, 159.9, 160.1, 1e6])
@pytest.mark.promise(1)
def test_what_lies_encoded_is_given_exactly_while_it_and_the_vital_data_are_true(
    cache: RegisterCache, wanted: RegisterRange, at: float
) -> None:
    ready = cache.ready(REQUESTS[wanted], at)
    assert (ready is None) == isinstance(cache.state.read(wanted, at), Refused) == (at > 101.5)


@pytest.mark.promise(1)
def test_counters_that_are_old_are_not_given_though_the_vital_data_is_fresh(cache: RegisterCache) -> None:
    echo(cache, at=161.0)
    cache.on_block(block("live", at=161.0, fill=2), 161.0)
    cache.find(REQUESTS[COUNTERS], 1, COUNTERS, 161.0)
    assert cache.ready(REQUESTS[COUNTERS], 161.1) is None
    assert cache.find(REQUESTS[COUNTERS], 1, COUNTERS, 161.1) is Refused.STALE


def test_a_new_block_replaces_what_lies_encoded(cache: RegisterCache) -> None:
    cache.on_block(block("live", at=100.2, fill=9), 100.2)
    ready = cache.ready(REQUESTS[TOTALS], 101.6)
    assert isinstance(ready, Reply)
    assert set(ready.registers) == {9}
    assert ready.answer.frame[3:5] == bytes((0, 9))


def test_a_range_that_is_asked_no_more_is_encoded_no_more(cache: RegisterCache) -> None:
    later = 100.0 + PRECOMPUTED_FOR + 0.1
    cache.on_block(block("live", at=later), later)
    assert cache.ready(REQUESTS[TOTALS], later) is None
    assert isinstance(cache.find(REQUESTS[TOTALS], 1, TOTALS, later), Reply)


@pytest.mark.promise(10)
def test_many_ranges_are_all_answered_and_few_lie_encoded(cache: RegisterCache) -> None:
    for start in range(100):
        wanted = RegisterRange(start, 1)
        assert isinstance(cache.find(append_crc(bytes((1, 3, 0, start, 0, 1))), 1, wanted, 100.1), Reply)
    cache.on_block(block("live", at=100.1, seq=2), 100.1)
    assert len(cache.state.replies) == 16
