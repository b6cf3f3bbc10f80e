from math import inf

import pytest

from ksem_contract.block_message import BlockMessage, Pong
from ksem_contract.blocks import MOST_ON_DEMAND
from ksem_contract.registers import RegisterRange
from rtu_server.register_cache import MAX_ON_DEMAND, MAX_SESSIONS, SILENT, BlockResult, FreshnessLimits, RegisterCache
from rtu_server.reply_cache import Refused, Registers, Reply
from rtu_server.tcp_session import TcpReplyCache

from .blocks import block, echo

TOTALS = RegisterRange(0, 28)
PHASES = RegisterRange(40, 106)
COUNTERS = RegisterRange(512, 100)


@pytest.fixture
def cache() -> RegisterCache:
    return RegisterCache(FreshnessLimits())


@pytest.fixture
def dated(cache: RegisterCache) -> RegisterCache:
    """A cache that serves session aaaa, whose publisher's clock equals ours, with live data of 100.0."""
    cache.on_block(block(at=100.0, seq=1, fill=1), 100.0)
    echo(cache, at=100.0)
    return cache


def served(cache: RegisterCache, wanted: RegisterRange, now: float) -> int | Refused:
    """The value that all registers of the answer hold, or the refusal."""
    found = cache.state.read(wanted, now)
    if isinstance(found, Refused):
        return found
    assert set(found.registers) == {found.registers[0]}
    assert len(found.registers) == wanted.count
    return found.registers[0]


@pytest.mark.promise(2)
def test_nothing_is_served_before_the_first_block(cache: RegisterCache) -> None:
    assert cache.state.read(TOTALS, 1.0) is Refused.STALE


@pytest.mark.promise(2)
def test_a_cold_cache_calls_every_range_of_the_map_stale_and_only_others_unmapped(cache: RegisterCache) -> None:
    for start, count in ((0, 148), (512, 125), (8192, 58), (40000, 100)):
        assert cache.state.read(RegisterRange(start, count), 1.0) is Refused.STALE
    for start, count in ((147, 2), (300, 1), (9000, 10), (40972, 2)):
        assert cache.state.read(RegisterRange(start, count), 1.0) is Refused.UNMAPPED


@pytest.mark.promise(2)
def test_nothing_is_served_before_the_first_echo(cache: RegisterCache) -> None:
    assert cache.on_block(block(at=100.0), 100.0) is BlockResult.UNDATED
    assert cache.state.read(TOTALS, 100.0) is Refused.STALE
    assert cache.undated_sessions() == {"aaaa"}


def test_the_echo_lets_a_waiting_block_be_served(dated: RegisterCache) -> None:
    assert served(dated, TOTALS, 100.1) == 1
    assert dated.undated_sessions() == set()


@pytest.mark.promise(1)
def test_a_block_is_stale_once_its_age_passes_the_limit(dated: RegisterCache) -> None:
    assert served(dated, TOTALS, 101.49) == 1
    assert served(dated, TOTALS, 101.5) is Refused.STALE


def test_the_age_a_block_had_when_published_counts(cache: RegisterCache) -> None:
    echo(cache, at=100.0)
    cache.on_block(block(at=100.0, age_ms=1000), 100.0)
    assert served(cache, TOTALS, 100.4) == 1
    assert served(cache, TOTALS, 100.5) is Refused.STALE


@pytest.mark.promise(1)
def test_a_loose_echo_makes_blocks_older_never_younger(cache: RegisterCache) -> None:
    echo(cache, at=100.0, clock=100.0, rtt=0.4)
    cache.on_block(block(at=100.0), 100.0)
    assert served(cache, TOTALS, 101.0) == 1
    assert served(cache, TOTALS, 101.11) is Refused.STALE


@pytest.mark.promise(1)
def test_a_replayed_block_changes_nothing(dated: RegisterCache) -> None:
    dated.on_block(block(at=100.2, seq=2, fill=2), 100.2)
    assert dated.on_block(block(at=100.0, seq=1, fill=1), 100.3) is BlockResult.OLD
    assert served(dated, TOTALS, 100.3) == 2


def test_a_forged_sequence_number_does_not_outlast_the_next_block(dated: RegisterCache) -> None:
    dated.on_block(block(at=100.1, seq=10**15, fill=1), 100.1)
    assert dated.on_block(block(at=100.2, seq=3, fill=3), 100.2) is BlockResult.HELD
    assert served(dated, TOTALS, 100.2) == 3


def test_of_two_blocks_of_one_millisecond_the_later_counts(dated: RegisterCache) -> None:
    dated.on_block(block(at=100.2, seq=3, fill=3), 100.2)
    assert dated.on_block(block(at=100.2, seq=2, fill=2), 100.2) is BlockResult.OLD
    dated.on_block(block(at=100.2, seq=4, fill=4), 100.2)
    assert served(dated, TOTALS, 100.2) == 4


@pytest.mark.promise(1)
def test_yesterdays_retained_blocks_of_a_dead_session_are_never_served(cache: RegisterCache) -> None:
    cache.on_block(block(at=5.0, seq=9999, session="dead"), 100.0)
    echo(cache, at=100.0)
    assert served(cache, TOTALS, 100.0) is Refused.STALE
    cache.on_block(block(at=100.1, seq=1, fill=7), 100.1)
    assert served(cache, TOTALS, 100.1) == 7


@pytest.mark.promise(1)
def test_a_burst_after_an_outage_is_old_however_quickly_it_comes(dated: RegisterCache) -> None:
    for seq in range(2, 20):
        dated.on_block(block(at=100.0 + seq * 0.2, seq=seq, fill=seq), 110.0)
    assert served(dated, TOTALS, 110.0) is Refused.STALE
    dated.on_block(block(at=109.9, seq=40, fill=40), 110.0)
    assert served(dated, TOTALS, 110.0) == 40


def test_energy_is_not_served_while_live_is_stale(dated: RegisterCache) -> None:
    dated.on_block(block("energy", at=100.0, fill=5), 100.0)
    assert served(dated, COUNTERS, 101.4) == 5
    assert served(dated, COUNTERS, 101.6) is Refused.STALE


@pytest.mark.promise(1)
def test_a_fresh_energy_poll_never_makes_live_look_fresh(dated: RegisterCache) -> None:
    dated.on_block(block("energy", at=102.0, fill=5), 102.0)
    assert served(dated, TOTALS, 102.0) is Refused.STALE


@pytest.mark.promise(6)
def test_live_is_served_while_energy_is_old(dated: RegisterCache) -> None:
    dated.on_block(block("energy", at=20.0, fill=5), 100.0)
    assert served(dated, TOTALS, 100.1) == 1
    assert served(dated, COUNTERS, 100.1) is Refused.STALE


def test_device_has_no_limit_but_live_is_vital_to_it(dated: RegisterCache) -> None:
    interval = RegisterRange(8244, 1)
    dated.on_block(block("device", at=1.0, fill=200), 100.0)
    assert served(dated, interval, 101.0) == 200
    assert served(dated, interval, 103.0) is Refused.STALE


def test_without_vital_blocks_each_block_stands_for_itself() -> None:
    cache = RegisterCache(FreshnessLimits(vital=()))
    echo(cache, at=100.0)
    cache.on_block(block("energy", at=100.0, fill=5), 100.0)
    assert served(cache, COUNTERS, 130.0) == 5


@pytest.mark.promise(2)
def test_a_register_that_was_never_measured_is_not_served(cache: RegisterCache) -> None:
    echo(cache, at=100.0)
    cache.on_block(block(at=100.0, holes=range(28, 40)), 100.0)
    assert served(cache, TOTALS, 100.0) == 1
    assert served(cache, PHASES, 100.0) == 1
    assert cache.state.read(RegisterRange(0, 29), 100.0) is Refused.STALE


@pytest.mark.promise(3)
def test_a_range_over_two_neighbouring_blocks_is_as_old_as_the_older(cache: RegisterCache) -> None:
    cache = RegisterCache(FreshnessLimits(vital=()))
    echo(cache, at=100.0)
    cache.on_block(block("r9000-10", start=9000, count=10, at=90.0, cycle_ms=5000), 100.0)
    cache.on_block(block("r9010-10", start=9010, count=10, at=99.0, cycle_ms=5000), 100.0)
    found = cache.state.read(RegisterRange(9005, 10), 100.0)
    assert isinstance(found, Registers)
    assert found.measured == pytest.approx(90.0, abs=0.02)
    assert cache.state.read(RegisterRange(9005, 10), 105.1) is Refused.UNMAPPED
    assert cache.state.read(RegisterRange(9015, 10), 100.0) is Refused.UNMAPPED


def test_a_range_on_demand_is_served_for_three_of_its_polls_and_is_unknown_again_after_that(
    dated: RegisterCache,
) -> None:
    wanted = RegisterRange(9000, 10)
    assert dated.state.read(wanted, 100.0) is Refused.UNMAPPED
    dated.on_block(block("r9000-10", start=9000, count=10, at=100.0, cycle_ms=5000, fill=4), 100.0)
    for seq, at in enumerate((105.0, 110.0, 114.9), start=2):
        dated.on_block(block(at=at, seq=seq), at)
        assert served(dated, wanted, at) == 4
    dated.on_block(block(at=115.1, seq=9), 115.1)
    assert dated.state.read(wanted, 115.1) is Refused.UNMAPPED
    assert dated.state.read(wanted, 120.0) is Refused.STALE, "the vital data is gone: so is all"


def test_overlapping_ranges_on_demand_are_both_served(dated: RegisterCache) -> None:
    dated.on_block(block("r9000-10", start=9000, count=10, at=99.0, cycle_ms=5000, fill=4), 100.0)
    dated.on_block(block("r9000-4", start=9000, count=4, at=100.0, cycle_ms=5000, fill=4), 100.0)
    dated.on_block(block("r9008-10", start=9008, count=10, at=100.0, cycle_ms=5000, fill=4), 100.0)
    dated.on_block(block(at=100.1, seq=2), 100.1)
    for wanted in (RegisterRange(9000, 10), RegisterRange(9000, 4), RegisterRange(9002, 14)):
        assert served(dated, wanted, 100.1) == 4
    assert dated.state.read(RegisterRange(9010, 9), 100.1) is Refused.UNMAPPED


def test_a_restarted_publisher_takes_over_at_once_after_its_last_will(dated: RegisterCache) -> None:
    dated.on_offline()
    dated.on_block(block(at=3.0, seq=1, session="bbbb", fill=2), 100.4)
    assert served(dated, TOTALS, 100.4) == 1
    echo(dated, session="bbbb", at=100.5, clock=3.1)
    assert served(dated, TOTALS, 100.5) == 2
    assert dated.state.session == "bbbb"


def test_a_second_publisher_does_not_take_over_while_the_first_is_fresh(dated: RegisterCache) -> None:
    echo(dated, session="bbbb", at=100.1, clock=3.1)
    assert dated.on_block(block(at=3.2, seq=1, session="bbbb", fill=2), 100.2) is BlockResult.WAITING
    assert served(dated, TOTALS, 100.2) == 1


def test_a_second_publisher_takes_over_when_the_first_is_stale(dated: RegisterCache) -> None:
    echo(dated, session="bbbb", at=100.1, clock=3.1)
    dated.on_block(block(at=4.5, seq=9, session="bbbb", fill=2), 101.5)
    assert served(dated, TOTALS, 101.5) == 2


def test_the_new_session_waits_for_its_live_block_before_it_takes_over(dated: RegisterCache) -> None:
    dated.on_offline()
    echo(dated, session="bbbb", at=100.1, clock=3.1)
    dated.on_block(block("device", at=3.2, session="bbbb", fill=2), 100.2)
    assert served(dated, TOTALS, 100.2) == 1
    dated.on_block(block(at=3.3, session="bbbb", fill=2), 100.3)
    assert served(dated, TOTALS, 100.3) == 2
    assert served(dated, RegisterRange(8244, 1), 100.3) == 2


@pytest.mark.promise(3)
def test_blocks_of_two_sessions_never_mix(dated: RegisterCache) -> None:
    dated.on_block(block("energy", at=100.0, fill=1), 100.0)
    dated.on_offline()
    echo(dated, session="bbbb", at=100.1, clock=3.1)
    dated.on_block(block(at=3.3, session="bbbb", fill=2), 100.3)
    assert served(dated, COUNTERS, 100.3) is Refused.STALE


def test_a_late_will_does_no_harm_while_the_session_still_speaks(dated: RegisterCache) -> None:
    dated.on_offline()
    dated.on_block(block(at=100.2, seq=2, fill=2), 100.2)
    echo(dated, session="bbbb", at=100.2, clock=3.0)
    dated.on_block(block(at=3.1, session="bbbb", fill=3), 100.3)
    assert served(dated, TOTALS, 100.3) == 2


def test_a_block_from_the_future_disproves_the_clock_and_nothing_is_served_until_the_next_echo(
    dated: RegisterCache,
) -> None:
    assert dated.on_block(block(at=500.0, seq=2, fill=2), 100.2) is BlockResult.DISPROVED
    assert served(dated, TOTALS, 100.2) is Refused.STALE
    assert dated.undated_sessions() == {"aaaa"}
    echo(dated, at=100.3, clock=500.1)
    assert served(dated, TOTALS, 100.3) == 2


@pytest.mark.promise(1)
def test_a_suspended_host_finds_its_data_old(dated: RegisterCache) -> None:
    dated.on_block(block(at=100.1, seq=2), 3600.0)
    assert served(dated, TOTALS, 3600.0) is Refused.STALE


def test_a_better_echo_makes_the_held_block_younger(cache: RegisterCache) -> None:
    echo(cache, at=100.0, clock=100.0, rtt=1.0)
    cache.on_block(block(at=100.0), 100.0)
    before = cache.state.blocks["live"].expires
    echo(cache, at=100.2, clock=100.2, rtt=0.002)
    assert cache.state.blocks["live"].expires > before + 0.9


@pytest.mark.promise(10)
def test_garbage_sessions_do_not_grow_memory_nor_push_out_the_served_one(dated: RegisterCache) -> None:
    for number in range(1000):
        dated.on_block(block(at=1.0, session=f"g{number}"), 100.1)
    assert len(dated._waiting) <= MAX_SESSIONS
    assert served(dated, TOTALS, 100.1) == 1


@pytest.mark.promise(10)
def test_garbage_blocks_of_the_served_session_do_not_grow_memory(dated: RegisterCache) -> None:
    for start in range(9000, 9100):
        dated.on_block(block(f"r{start}-1", start=start, count=1, at=100.0, cycle_ms=5000), 100.1)
    assert len(dated.state.blocks) <= 4 + MAX_ON_DEMAND


def test_a_limit_of_zero_means_any_age() -> None:
    cache = RegisterCache(FreshnessLimits(by_block={"live": 0.0}))
    echo(cache, at=100.0)
    cache.on_block(block(at=100.0), 100.0)
    assert cache.state.blocks["live"].expires == inf


REQUEST = b"the request's own bytes"


def make_hot(cache: RegisterCache, now: float) -> None:
    """Let the totals lie encoded from the next block on."""
    cache.find(REQUEST, 1, TOTALS, now)


def test_a_disproved_clock_empties_all_that_is_served(dated: RegisterCache) -> None:
    make_hot(dated, 100.1)
    dated.on_block(block(at=100.1, seq=2), 100.1)
    replies = TcpReplyCache(dated)
    assert replies.ready(REQUEST, 100.1) is None
    assert isinstance(replies.find(REQUEST, 1, TOTALS, 100.1), Reply)
    assert dated.ready(REQUEST, 100.15) is not None
    dated.on_block(block(at=112.2, seq=3), 100.2)
    for cache in (dated, replies):
        assert cache.ready(REQUEST, 100.2) is None
        assert cache.find(REQUEST, 1, TOTALS, 100.2) is Refused.STALE
    assert (dated.state.vital_expires, dated.state.session) == (-inf, None)


def test_an_echo_from_before_the_pause_brings_nothing_old_back(dated: RegisterCache) -> None:
    """The publisher's clock is 12 s ahead since this host stood still; the pong lay in a buffer meanwhile."""
    dated.on_block(block("energy", at=100.0, fill=5), 100.0)
    dated.on_block(block(at=112.2, seq=2), 100.2)
    dated.on_pong(
        Pong(meter="main", node="attic", nonce="n", session="aaaa", boot_ms=100_050), sent=100.0, received=100.3
    )
    assert served(dated, TOTALS, 100.3) is Refused.STALE
    assert served(dated, COUNTERS, 100.3) is Refused.STALE
    assert dated.on_block(block(at=112.4, seq=3, fill=3), 100.4) is BlockResult.UNDATED
    echo(dated, at=100.5, clock=112.5)
    assert served(dated, TOTALS, 100.5) == 3


def test_a_publisher_s_clock_that_is_set_back_is_dated_anew(dated: RegisterCache) -> None:
    """A virtual machine went back to a snapshot of itself: the same session, an earlier clock."""
    echo(dated, at=110.0, clock=20.0)
    assert served(dated, TOTALS, 110.0) is Refused.STALE
    assert dated.on_block(block(at=20.2, seq=2, fill=2), 110.2) is BlockResult.UNDATED
    echo(dated, at=110.3, clock=20.3)
    assert served(dated, TOTALS, 110.3) == 2


def test_whichever_sessions_clock_is_disproved_ends_all_clocks(dated: RegisterCache) -> None:
    """It may be our own clock that stood still: all others are counted from it."""
    echo(dated, session="bbbb", at=100.1, clock=3.1)
    assert dated.on_block(block(at=50.0, session="bbbb", fill=2), 100.2) is BlockResult.DISPROVED
    assert dated.on_block(block(at=50.1, seq=2, session="bbbb", fill=2), 100.3) is BlockResult.UNDATED
    assert served(dated, TOTALS, 100.3) is Refused.STALE
    echo(dated, session="bbbb", at=100.4, clock=50.2)
    assert served(dated, TOTALS, 100.4) == 2


def test_a_publisher_whose_clock_stood_still_makes_no_block_young(cache: RegisterCache) -> None:
    """Its guest was paused for 14.8 s: the echo of after it must not date what was measured before it."""
    echo(cache, at=0.01, clock=100.0, rtt=0.01)
    cache.on_block(block(at=100.1), 0.11)
    assert served(cache, TOTALS, 0.2) == 1
    echo(cache, at=15.01, clock=100.2, rtt=0.01)
    assert served(cache, TOTALS, 15.02) is Refused.STALE
    cache.on_block(block(at=100.3, seq=2, fill=2), 15.12)
    assert served(cache, TOTALS, 15.12) == 2


WITHOUT_LIMIT = [
    FreshnessLimits(vital=()),
    FreshnessLimits(vital=("device",)),
    FreshnessLimits(by_block={"live": 1.5, "energy": 0.0}, vital=("energy",)),
    FreshnessLimits(by_block={"live": 1.5, "energy": 60.0}, vital=("energy",)),
]


@pytest.mark.parametrize("limits", WITHOUT_LIMIT, ids=lambda limits: str(limits.vital))
@pytest.mark.parametrize("goodbye", [True, False])
def test_a_restarted_publisher_is_taken_though_no_vital_block_has_a_limit(
    limits: FreshnessLimits, goodbye: bool
) -> None:
    cache = RegisterCache(limits)
    echo(cache, at=100.0)
    for name in ("live", "energy", "device"):
        cache.on_block(block(name, at=100.0, fill=1), 100.0)
    later = 100.5 if goodbye else 100.1 + SILENT
    if goodbye:
        cache.on_offline()
    echo(cache, session="bbbb", at=later, clock=3.0)
    for name in ("live", "energy", "device"):
        cache.on_block(block(name, at=3.1, session="bbbb", fill=2), later + 0.1)
    assert cache.state.session == "bbbb"
    assert served(cache, TOTALS, later + 0.1) == 2


@pytest.mark.parametrize("limits", WITHOUT_LIMIT, ids=lambda limits: str(limits.vital))
def test_without_a_vital_limit_the_served_session_stays_while_it_speaks(limits: FreshnessLimits) -> None:
    cache = RegisterCache(limits)
    for session in ("aaaa", "bbbb"):
        echo(cache, session=session, at=100.0)
        for name in ("live", "energy", "device"):
            cache.on_block(block(name, at=100.0, session=session), 100.0)
    for step in range(1, 60):
        for session in ("aaaa", "bbbb"):
            at = 100.0 + step / 5
            cache.on_block(block(at=at, seq=step + 1, session=session), at)
            assert cache.state.session == "aaaa"


def test_an_older_session_never_replaces_a_newer_one_though_no_block_has_a_limit() -> None:
    cache = RegisterCache(FreshnessLimits(vital=()))
    cache.on_block(block(at=50.0, session="dead"), 99.0)
    echo(cache, at=100.0)
    cache.on_block(block(at=100.0, fill=2), 100.0)
    cache.on_offline()
    echo(cache, session="dead", at=100.1)
    assert cache.state.session == "aaaa"


def on_demand(number: int, *, at: float, session: str = "aaaa") -> BlockMessage:
    start = 9000 + 2 * number
    return block(f"r{start}-1", start=start, count=1, at=at, cycle_ms=5000, session=session)


def test_ranges_on_demand_never_push_out_a_block_that_has_a_name(cache: RegisterCache) -> None:
    named = ("live", "energy", "device")
    for number in range(200):  # kept by the broker, they come first; only then a block that is vital, then the echo
        cache.on_block(on_demand(number, at=100.0), 100.0)
    for name in named:
        cache.on_block(block(name, at=100.0), 100.0)
    echo(cache, at=100.0)
    assert set(named) <= cache.state.blocks.keys()
    for number in range(200, 400):
        cache.on_block(on_demand(number, at=100.1), 100.1)
        assert served(cache, TOTALS, 100.1) == 1
    assert set(named) <= cache.state.blocks.keys()
    assert len(cache.state.blocks) == len(named) + MAX_ON_DEMAND


def test_all_ranges_that_a_publisher_may_read_are_kept_while_they_change(cache: RegisterCache) -> None:
    echo(cache, at=100.0)
    for number in range(2 * MOST_ON_DEMAND):
        cache.on_block(on_demand(number, at=100.0 + number / 100), 100.0 + number / 100)
    newest = {on_demand(number, at=100.0).block for number in range(MOST_ON_DEMAND, 2 * MOST_ON_DEMAND)}
    assert newest <= cache.state.blocks.keys()


@pytest.mark.promise(1)
def test_after_a_doubt_nothing_is_served_before_a_new_echo_whatever_was_encoded_ahead(dated: RegisterCache) -> None:
    request = b"a request"
    assert isinstance(dated.find(request, 1, TOTALS, 100.1), Reply)
    dated.on_block(block(at=100.2, seq=2, fill=2), 100.2)
    assert dated.ready(request, 100.3) is not None
    dated.doubt(100.3)
    assert dated.ready(request, 100.3) is None
    assert dated.find(request, 1, TOTALS, 100.3) is Refused.STALE
    assert TcpReplyCache(dated).find(request, 1, TOTALS, 100.3) is Refused.STALE
    dated.on_block(block(at=100.4, seq=3, fill=3), 100.4)
    assert served(dated, TOTALS, 100.4) is Refused.STALE
    assert dated.settle_doubt()
    assert not dated.settle_doubt()
    dated.on_block(block(at=100.5, seq=4, fill=4), 100.5)
    assert served(dated, TOTALS, 100.5) is Refused.STALE
    echo(dated, at=100.6)
    assert served(dated, TOTALS, 100.6) == 4


@pytest.mark.promise(1)
def test_after_a_doubt_what_was_measured_before_it_is_of_unknown_age_though_an_echo_dates_it(
    dated: RegisterCache,
) -> None:
    """A publisher on this host stood still as well: both clocks agree, and neither counted the pause."""
    dated.on_block(block("energy", at=100.1, fill=7), 100.1)
    dated.on_block(block("device", at=100.1, fill=8), 100.1)
    dated.doubt(100.3)
    assert dated.settle_doubt()
    echo(dated, at=100.4)
    assert served(dated, TOTALS, 100.4) is Refused.STALE
    dated.on_block(block(at=100.5, seq=2, fill=2), 100.5)
    assert served(dated, TOTALS, 100.5) == 2
    assert served(dated, COUNTERS, 100.5) is Refused.STALE
    assert served(dated, RegisterRange(8244, 1), 100.5) == 8, "device information is true at any age"
    dated.on_block(block("energy", at=100.6, seq=2, fill=9), 100.6)
    assert served(dated, COUNTERS, 100.6) == 9
