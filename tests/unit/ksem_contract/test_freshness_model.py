"""Freshness against a model that knows the true time: clocks whose drift changes, a network that may do anything."""

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ksem_contract.freshness import DRIFT, EchoClock, block_stamp, pong_stamp

_LIMIT = 1.5
_ROUNDING = 0.002 * (1 + 2 * DRIFT)  # s, two stamps of whole milliseconds, on a clock that may run slower than this one
_FLOAT = 1e-6  # s, what doubles lose at an uptime of years
_EACH = 500e-6
_RATE = st.one_of(st.sampled_from([-_EACH, _EACH]), st.floats(-_EACH, _EACH)).map(lambda drift: 1 + drift)
_DELAY = st.one_of(st.just(0.0), st.floats(0, 0.02), st.floats(0, 3))
_UPTIME = st.floats(0, 1e7)
_PICK = st.integers(0, 1_000_000)


class _Clock:
    """A clock whose rate may change at any time; it knows what it showed at each time before."""

    def __init__(self, true_time: float, shows: float, rate: float) -> None:
        self._since = [(true_time, shows, rate)]

    def at(self, true_time: float) -> float:
        # Before its first moment it ran as it did then.
        begun, shown, rate = next((one for one in reversed(self._since) if one[0] <= true_time), self._since[0])
        return shown + (true_time - begun) * rate

    def run(self, true_time: float, rate: float) -> None:
        self._since.append((true_time, self.at(true_time), rate))


@dataclass(frozen=True)
class _Block:
    session: int
    boot_ms: int
    age_ms: int
    measured: float
    """The true time."""


@dataclass(frozen=True)
class _Pong:
    nonce: int
    session: int
    boot_ms: int


@dataclass
class _Dated:
    """What the node knows of one session, and (beside it) the echoes that the model saw."""

    clock: EchoClock = field(default_factory=EchoClock)
    echoes: list[tuple[float, float]] = field(default_factory=list)
    held: dict[_Block, float] = field(default_factory=dict)
    """Blocks with the local time at which they expire, told once, on arrival."""


class _World(RuleBasedStateMachine):
    @initialize(node_rate=_RATE, publisher_rate=_RATE, node_up=_UPTIME, publisher_up=_UPTIME)
    def start(self, node_rate: float, publisher_rate: float, node_up: float, publisher_up: float) -> None:
        self.true_time = 0.0
        self.node_clock = _Clock(0.0, node_up, node_rate)
        self.publisher_clock = _Clock(0.0, publisher_up, publisher_rate)
        self.session = 1
        self.nonce = 0
        self.pending: dict[int, float] = {}
        self.pings: list[int] = []
        self.pongs: list[_Pong] = []
        self.blocks: list[_Block] = []
        self.old_pongs: list[_Pong] = []
        self.old_blocks: list[_Block] = []
        self.dated: dict[int, _Dated] = {}
        self.disproved = 0

    def _now(self) -> float:
        return self.node_clock.at(self.true_time)

    @rule(seconds=st.one_of(st.floats(0, 0.3), st.floats(0, 12), st.floats(60, 300)))
    def time_passes_up_to_minutes_between_two_pings(self, seconds: float) -> None:
        self.true_time += seconds

    @rule(rate=_RATE)
    def the_node_s_clock_drifts_otherwise(self, rate: float) -> None:
        self.node_clock.run(self.true_time, rate)

    @rule(rate=_RATE)
    def the_publisher_s_clock_drifts_otherwise(self, rate: float) -> None:
        self.publisher_clock.run(self.true_time, rate)

    @rule(hours=st.floats(0, 30))
    def both_hosts_are_suspended_and_their_clocks_go_on(self, hours: float) -> None:
        self.true_time += hours * 3600

    @rule(age=st.floats(0, 90))
    def the_publisher_publishes(self, age: float) -> None:
        measured = max(0.0, self.true_time - age)
        clock = self.publisher_clock
        stamps = block_stamp(clock.at(self.true_time), clock.at(measured))
        self.blocks.append(_Block(self.session, *stamps, measured))

    @rule()
    def the_node_pings(self) -> None:
        self.nonce += 1
        self.pending[self.nonce] = self._now()
        self.pings.append(self.nonce)

    @precondition(lambda self: self.pings)
    @rule(pick=_PICK)
    def the_publisher_answers_a_ping(self, pick: int) -> None:
        nonce = self.pings.pop(pick % len(self.pings))
        self.pongs.append(_Pong(nonce, self.session, pong_stamp(self.publisher_clock.at(self.true_time))))

    @precondition(lambda self: self.pongs)
    @rule(pick=_PICK)
    def a_pong_arrives_in_any_order(self, pick: int) -> None:
        self._take_pong(self.pongs.pop(pick % len(self.pongs)))

    @precondition(lambda self: self.old_pongs)
    @rule(pick=_PICK)
    def an_old_pong_is_replayed(self, pick: int) -> None:
        self._take_pong(self.old_pongs[pick % len(self.old_pongs)])

    @precondition(lambda self: self.blocks)
    @rule(pick=_PICK)
    def a_block_arrives_in_any_order(self, pick: int) -> None:
        self._take_block(self.blocks.pop(pick % len(self.blocks)))

    @rule()
    def all_that_was_held_back_arrives_in_a_burst(self) -> None:
        while self.blocks:
            self._take_block(self.blocks.pop(0))
        while self.pongs:
            self._take_pong(self.pongs.pop(0))

    @precondition(lambda self: self.old_blocks)
    @rule(pick=_PICK)
    def an_old_block_is_replayed(self, pick: int) -> None:
        # Retain flag or not: nothing here looks at it.
        self._take_block(self.old_blocks[pick % len(self.old_blocks)])

    @rule(there=_DELAY, back=_DELAY)
    def an_echo_goes_through(self, there: float, back: float) -> None:
        self.the_node_pings()
        self.true_time += there
        self.the_publisher_answers_a_ping(len(self.pings) - 1)
        self.true_time += back
        self._take_pong(self.pongs.pop())

    @rule(age=_DELAY, delay=_DELAY)
    def a_block_goes_through(self, age: float, delay: float) -> None:
        self.the_publisher_publishes(age)
        self.true_time += delay
        self._take_block(self.blocks.pop())

    @rule()
    def the_link_breaks_and_what_was_under_way_is_lost(self) -> None:
        self.pings.clear()
        self.pongs.clear()
        self.blocks.clear()

    @rule()
    def the_publisher_restarts(self) -> None:
        self.session += 1

    @rule(up=_UPTIME, rate=_RATE)
    def the_publisher_s_host_reboots(self, up: float, rate: float) -> None:
        self.session += 1
        self.publisher_clock = _Clock(self.true_time, up, rate)

    @rule()
    def the_node_restarts(self) -> None:
        self.pending.clear()
        self.dated.clear()

    def _take_pong(self, pong: _Pong) -> None:
        self.old_pongs.append(pong)
        sent = self.pending.pop(pong.nonce, None)
        if sent is None:
            return
        dated = self.dated.setdefault(pong.session, _Dated())
        assert dated.clock.add_echo(sent, self._now(), pong.boot_ms), "true echoes never contradict each other"
        dated.echoes.append((sent, self._now()))

    def _take_block(self, block: _Block) -> None:
        self.old_blocks.append(block)
        dated = self.dated.get(block.session)
        if dated is None or not dated.echoes:
            return
        dated.held[block] = dated.clock.expires_at(block.boot_ms, block.age_ms, _LIMIT, self._now())

    def _margin(self, dated: _Dated, block: _Block) -> float:
        """The tightest round trip and what the clocks may have run apart since, for this block."""
        now = self._now()
        # A block from before an echo is dated backwards from it.
        backwards = max(0.0, max(sent for sent, _ in dated.echoes) - self.node_clock.at(block.measured))
        return min(
            received - sent + 2 * DRIFT * (now - sent) + 4 * DRIFT * backwards for sent, received in dated.echoes
        )

    @invariant()
    def an_age_is_never_under_the_true_age_and_over_it_by_the_tightest_echo_at_most(self) -> None:
        for dated in self.dated.values():
            for block in dated.held:
                true_age = self._now() - self.node_clock.at(block.measured)
                age = dated.clock.age_of(block.boot_ms, block.age_ms, self._now())
                assert age is not None
                assert age >= true_age - _FLOAT
                assert age <= true_age + self._margin(dated, block) + _ROUNDING + _FLOAT

    @invariant()
    def what_is_served_is_within_the_limit_and_what_is_fresh_by_the_margin_is_served(self) -> None:
        now = self._now()
        for dated in self.dated.values():
            for block, expires_at in dated.held.items():
                true_age = now - self.node_clock.at(block.measured)
                if now < expires_at:
                    assert true_age <= _LIMIT + _FLOAT
                renewed = dated.clock.expires_at(block.boot_ms, block.age_ms, _LIMIT, now)
                assert renewed > -math.inf, "no true block disproves the clock"
                if true_age + self._margin(dated, block) + _ROUNDING + _FLOAT < _LIMIT:
                    assert now < renewed

    @invariant()
    def the_round_trip_told_is_the_tightest_one_widened(self) -> None:
        now = self._now()
        for dated in self.dated.values():
            reported = dated.clock.round_trip(now)
            expected = min(received - sent + 2 * DRIFT * (now - sent) for sent, received in dated.echoes)
            assert reported is not None
            assert abs(reported - expected) < _FLOAT


_World.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestFreshness = pytest.mark.promise(1)(_World.TestCase)
