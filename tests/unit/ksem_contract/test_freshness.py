import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksem_contract.freshness import DRIFT, EchoClock, block_stamp, pong_stamp

_BOOT = st.floats(min_value=0, max_value=1e8)


def _clock(sent: float = 100.0, received: float = 100.01, boot_ms: int = 5_000) -> EchoClock:
    clock = EchoClock()
    assert clock.add_echo(sent, received, boot_ms)
    return clock


def test_nothing_has_an_age_before_the_first_echo() -> None:
    clock = EchoClock()
    assert clock.age_of(5_000, 0, now=100.0) is None
    assert clock.earliest_local(5_000, now=100.0) is None
    assert clock.expires_at(5_000, 0, limit=1.5, now=100.0) == -math.inf
    assert clock.round_trip(100.0) is None
    assert not clock.is_disproved(5_000, now=100.0)


def test_the_publisher_s_clock_is_taken_to_be_read_when_the_ping_was_sent() -> None:
    clock = _clock(sent=100.0, received=100.25, boot_ms=5_000)
    assert clock.earliest_local(5_000, now=100.5) == 100.0
    assert clock.age_of(5_000, 0, now=100.5) == 0.5
    assert clock.last_round_trip == 0.25


def test_the_age_at_publishing_counts() -> None:
    assert _clock().age_of(5_000, 300, now=100.5) == pytest.approx(0.8, abs=1e-3)


def test_the_age_allows_for_drift_between_echo_and_block_in_both_directions() -> None:
    clock = _clock()
    assert clock.age_of(1_005_000, 0, now=1100.0) == pytest.approx(1000 * DRIFT)
    kept = clock.age_of(5_000, 5_000_000, now=100.0)
    assert kept is not None
    assert kept >= 5000 * (1 + DRIFT)


def test_a_tighter_echo_makes_blocks_younger_and_a_slower_one_changes_nothing() -> None:
    clock = _clock(sent=100.0, received=100.5)
    assert clock.age_of(5_500, 0, now=100.5) == pytest.approx(0, abs=1e-3)
    clock = _clock(sent=99.0, received=101.0, boot_ms=5_000)
    before = clock.age_of(7_000, 0, now=102.0)
    clock.add_echo(102.0, 102.01, boot_ms=8_000)
    tighter = clock.age_of(7_000, 0, now=102.0)
    clock.add_echo(102.1, 104.0, boot_ms=9_500)
    assert before == pytest.approx(1.0, abs=3e-3)
    assert tighter == pytest.approx(1.0, abs=3e-3)
    late = _clock(sent=95.0, received=100.0, boot_ms=5_000)
    assert late.age_of(5_000, 0, now=100.0) == 5.0
    late.add_echo(100.0, 100.01, boot_ms=5_010)
    assert late.age_of(5_000, 0, now=100.0) == pytest.approx(0.01, abs=1e-3)
    late.add_echo(101.0, 106.0, boot_ms=11_000)
    assert late.age_of(5_000, 0, now=100.0) == pytest.approx(0.01, abs=1e-3)


def test_an_old_tight_echo_gives_way_once_drift_has_made_it_the_looser_one() -> None:
    clock = _clock(sent=100.0, received=100.001, boot_ms=0)
    clock.add_echo(100_100.0, 100_100.5, boot_ms=100_000_250)
    # 100,000 s at 1000 ppm are 100 s, so half a second of round trip is the better knowledge.
    age = clock.age_of(100_000_250, 0, now=100_100.5)
    assert age is not None
    assert age <= 0.5
    assert clock.round_trip(100_100.5) == pytest.approx(0.5, abs=1e-3)


def test_a_block_from_the_future_disproves_the_clock_and_has_no_age() -> None:
    clock = _clock()
    assert clock.is_disproved(6_000, now=100.5)
    assert clock.age_of(6_000, 0, now=100.5) is None
    assert clock.earliest_local(6_000, now=100.5) is None
    assert clock.expires_at(6_000, 0, limit=1.5, now=100.5) == -math.inf
    # Its age at publishing does not hide it.
    assert clock.age_of(6_000, 2_000, now=100.5) is None


def test_an_echo_that_contradicts_the_earlier_ones_replaces_them() -> None:
    clock = _clock(sent=100.0, received=100.01, boot_ms=5_000)
    # The other clock leapt ahead by 50 s: kept, the old echo would make blocks younger than they are.
    assert not clock.add_echo(110.0, 110.01, boot_ms=65_000)
    assert clock.age_of(65_000, 0, now=110.0) == 0.0
    assert clock.round_trip(110.0) == pytest.approx(0.01, abs=1e-6)


def test_a_clock_that_fell_back_makes_blocks_older_only() -> None:
    clock = _clock(sent=100.0, received=100.01, boot_ms=50_000)
    clock.add_echo(110.0, 110.01, boot_ms=10_000)
    age = clock.age_of(10_000, 0, now=110.0)
    assert age == 0.0
    assert clock.is_disproved(50_500, now=110.0)


def test_a_pong_before_its_ping_is_refused() -> None:
    with pytest.raises(ValueError, match="before its ping"):
        EchoClock().add_echo(100.0, 99.9, boot_ms=1)


def test_a_round_trip_of_minutes_is_still_a_bound() -> None:
    clock = _clock(sent=100.0, received=400.0, boot_ms=5_000)
    assert clock.age_of(5_000, 0, now=400.0) == 300.0


def test_it_remembers_one_echo_however_many_there_were() -> None:
    clock = EchoClock()
    for second in range(10_000):
        clock.add_echo(100.0 + second, 100.01 + second, boot_ms=second * 1000)
    assert clock.age_of(9_999_000, 0, now=10_100.0) == pytest.approx(1.0, abs=0.002)
    assert all(not hasattr(value, "__len__") for value in (getattr(clock, name) for name in clock.__slots__))


def test_a_block_expires_when_its_age_passes_the_limit_and_this_moment_does_not_move() -> None:
    clock = _clock()
    expires = clock.expires_at(5_200, 100, limit=1.5, now=100.4)
    for later in (100.4, 105.0, 1e6):
        assert clock.expires_at(5_200, 100, limit=1.5, now=later) == expires
    assert clock.age_of(5_200, 100, now=expires) == pytest.approx(1.5)


@given(now=_BOOT, age=st.floats(0, 1e5))
@pytest.mark.promise(1)
def test_a_block_s_stamps_never_tell_a_later_moment_than_that_of_measuring(now: float, age: float) -> None:
    measured = max(0.0, now - age)
    boot_ms, age_ms = block_stamp(now, measured)
    assert age_ms >= 0
    assert boot_ms <= now * 1000
    assert measured * 1000 - 1.0001 <= boot_ms - age_ms <= measured * 1000


@given(now=_BOOT)
def test_a_pong_s_stamp_is_the_clock_rounded_up(now: float) -> None:
    assert now * 1000 <= pong_stamp(now) <= now * 1000 + 1


@pytest.mark.parametrize(("here", "there"), [(1 - 500e-6, 1 + 500e-6), (1 + 500e-6, 1 - 500e-6)])
@pytest.mark.parametrize("hours", [-20, -1, 1, 20])
@pytest.mark.promise(1)
def test_clocks_that_run_apart_by_500_ppm_each_never_make_a_block_younger(
    here: float, there: float, hours: int
) -> None:
    echo_at, measured_at = 1e6, 1e6 + 3600 * hours
    now = max(echo_at, measured_at) + 0.5
    clock = EchoClock()
    clock.add_echo(echo_at * here, echo_at * here, pong_stamp(echo_at * there))
    age = clock.age_of(*block_stamp(now * there, measured_at * there), now * here)
    true_age = (now - measured_at) * here
    assert age is not None
    assert true_age - 1e-6 <= age <= true_age + 2.01 * DRIFT * 3600 * abs(hours) + 0.01


class TestOffset:
    """What to add to the publisher's clock to get the own one."""

    def test_without_an_echo_there_is_none(self) -> None:
        assert EchoClock().offset(100.0) is None

    def test_it_is_off_by_half_of_the_tightest_round_trip_at_most(self) -> None:
        clock = EchoClock()
        for sent, there, back in ((10.0, 0.200, 0.001), (11.0, 0.004, 0.006), (12.0, 0.001, 0.300)):
            clock.add_echo(sent, sent + there + back, round(1000 * (sent + there - 7.0)))
        found = clock.offset(12.5)
        assert found is not None
        offset, uncertainty = found
        assert abs(offset - 7.0) <= uncertainty < 0.008

    def test_two_services_on_one_host_share_the_clock(self) -> None:
        clock = EchoClock()
        clock.add_echo(10.0, 10.004, 10_002)
        assert clock.offset(11.0) == (0.0, 0.0)
