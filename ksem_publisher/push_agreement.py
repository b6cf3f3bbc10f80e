"""Decides whether the pushed cycles are the polled meter's: two meters may push from one address [core].

A push carries no serial number. So the pushed cycles are compared with reads of the totals (registers 0-27): at the
start, after a break in which another meter may have taken over, and once a second. A cycle is the meter's own
if a read at that moment brings the very same words. Pushes of mean values never do that; of them it is enough that
their power is near. Energy counters, where they are pushed, are compared with polled ones.
"""

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from ksem_contract.blocks import ENERGY, SEQLOCK_HEAD
from ksem_contract.registers import RegisterRange
from ksem_publisher.snapshot import VALUES, Registers, Snapshot

CHECK_EVERY = 1.0
"""Seconds between two comparisons while the push is trusted. For so long another meter may pass unseen."""
UNANSWERED = 1.5
"""Seconds without a polled answer after which a push counts that nothing speaks against: there is nothing better."""
DOUBT = 600.0
"""Seconds after a disagreement in which a push counts only if polls confirm it."""
_IN_STEP = 1.6
"""After so many periods without a cycle another connection may be another meter's."""
_BREAK, _BREAK_PERIODS = 1.0, 2.5
"""Seconds, and periods, without a whole cycle after which cycles may have waited in the meter, and old ones come."""
_MISSES_REPORTED = 3
"""Disagreements in a row before they are reported: the network may have held a cycle back."""
_REPORTED = 20.0
_MISSES_EXACT, _MISSES_NEAR = 2, 3
"""Disagreements in a row after which a push counts no more, with pushes of measured and of mean values."""
_IN_A_ROW = 3
"""So many cycles in a row are compared where they come over several connections."""
_EXACT_AFTER = 3
"""So many equal comparisons in a row: this meter does not push mean values."""
_NEAR_NEEDED = 3
"""Near is less than equal: so many times as many comparisons are needed."""
_MOST_NEEDED = 64
_NEAR_TENTHS, _NEAR_SHARE = 500, 0.1
"""Powers are near one another within 50 W and a tenth."""
_TOO_FAST = 1.35
"""So many times as many cycles as the meter measures come from two meters, where they come over several connections."""
_RATE_SECONDS = 2.0
_SLOW = 1.4
"""A push of so many measuring intervals skips cycles: only a read close behind a pushed cycle can bring the same."""
_CLOSE = 0.4
_STALE_PERIODS = 4
_COUNTER_RATE = 278.0
"""0.1 Wh a second that a counter grows by with 100 kW."""
_COUNTER_SLACK = 15.0
"""Seconds by which a polled and a pushed counter may be apart."""
_COUNTERS_KNOWN = 60.0
_HEAD = tuple(
    address
    for part in VALUES
    for address in range(part.start, part.stop)
    if SEQLOCK_HEAD.start <= address < SEQLOCK_HEAD.stop
)
_COUNTERS = RegisterRange(ENERGY.start, 8)
"""Active energy in both directions, of all phases."""


@dataclass(frozen=True, slots=True)
class _Cycle:
    registers: Registers
    source: Hashable
    arrived: float


@dataclass(slots=True)
class _Read:
    registers: Registers
    sent: float
    received: float
    followed_by: int = 0


class PushAgreement:
    """Compares the pushes of one meter with its polls. Times are CLOCK_BOOTTIME seconds."""

    def __init__(self) -> None:
        self._cycles: deque[_Cycle] = deque(maxlen=32)
        self._starts: deque[tuple[Hashable, float]] = deque(maxlen=64)
        self._read: _Read | None = None
        self._counters: tuple[Sequence[int], float] | None = None
        self._polled_at = self._doubted_at = self._differed_at = self._checked_at = float("-inf")
        self._waits_since: float | None = None
        self._confirmed = self._exact = False
        self._agrees = self._equals = self._misses = 0
        self._in_a_row = 0
        self._near_since: float | None = None
        self._needed = 1
        self._period = 0.0
        self.interval_ms: int | None = None
        """The meter's measuring interval, once it is known."""

    @property
    def differs(self) -> bool:
        """True while the newest comparisons show that another meter pushes."""
        return self._misses >= _MISSES_REPORTED

    def is_doubtful(self, now: float) -> bool:
        """The same for health, held for a while: two meters that push in turn agree now and then."""
        return not self._confirmed and now - self._differed_at <= _REPORTED

    def counts(self, now: float) -> bool:
        """Whether pushes may be used."""
        if self._confirmed:
            return True
        if now - self._doubted_at <= DOUBT or self._waits_since is None:
            return False
        return now - max(self._polled_at, self._waits_since) > UNANSWERED

    def check_due(self, now: float) -> bool:
        """Whether the totals are to be read now, right behind a pushed cycle."""
        if self._read is not None:
            return False
        if not self._confirmed:  # live data is polled meanwhile, which does for all but slow pushes
            return self._is_slow or now - self._polled_at > CHECK_EVERY
        # Of meters that push in turn, not always the same one must be compared.
        several = self.several and self._in_a_row < _IN_A_ROW
        return self._misses > 0 or several or now - self._checked_at >= CHECK_EVERY

    def knows_counters(self, now: float) -> bool:
        """Whether the energy counters were polled lately enough to know another meter's by them."""
        return self._counters is not None and now - self._counters[1] <= _COUNTERS_KNOWN

    def wrote(self, source: Hashable, now: float) -> None:
        """The first register was written, of whatever cycle.

        Two meters that open a connection for each cycle write it more often than one measures. Of two connections that
        stay open only one is used.
        """
        self._starts.append((source, now))
        lately = [one for one, at in self._starts if now - at < _RATE_SECONDS]
        if self.interval_ms is None or 2 * len(set(lately)) < len(lately):
            return
        if len(lately) > _TOO_FAST * _RATE_SECONDS * 1000 / self.interval_ms + 1:
            self._misses = _MISSES_REPORTED
            self._deny(now)

    def pushed(self, cycle: Snapshot, source: Hashable, now: float) -> None:
        """A whole cycle has arrived."""
        self._period = cycle.period or self._period
        before = self._cycles[-1] if self._cycles else None
        self._cycles.append(_Cycle(_head(cycle.registers), source, now))
        if self._waits_since is None:
            self._waits_since = now
        if before is not None and self._is_break(now - before.arrived, same=before.source == source):
            self.start_over(now)
        read = self._read
        if read is not None and now - read.received > _STALE_PERIODS * self._period:
            self._read = read = None  # the cycles that it could be compared with never came
        if read is not None:
            read.followed_by += now > read.received
            self._compare(read, now)

    def polled(self, start: int, registers: Sequence[int], sent: float, now: float) -> None:
        """The meter has answered a read."""
        read = RegisterRange(start, len(registers))
        if read.covers(_COUNTERS):
            self._counters = registers[_COUNTERS.start - start :][: _COUNTERS.count], now
        if not read.covers(SEQLOCK_HEAD):
            return
        self._polled_at = now
        if self._read is None and self._cycles and self._may_compare(sent):
            self._read = _Read(_head(registers[SEQLOCK_HEAD.start - start :]), sent, now)
            self._compare(self._read, now)

    def counters_fit(self, registers: Registers, now: float) -> bool:
        """Whether pushed energy counters may be used: they are the polled ones, a little later."""
        if self._counters is not None:
            polled, at = self._counters
            most = _COUNTER_RATE * (abs(now - at) + _COUNTER_SLACK)
            for place in (0, 4):
                pushed = _number(registers[place : place + 4])
                if pushed is not None and abs(pushed - (_number(polled[place : place + 4]) or 0)) > most:
                    self._misses = max(self._misses, _MISSES_REPORTED)
                    self._deny(now)
                    return False
        return self.counts(now) or (self._counters is not None and now - self._doubted_at > DOUBT)

    def start_over(self, now: float) -> None:
        """Another meter may push from now on: nothing is known of it."""
        self._confirmed = False
        self._agrees = self._misses = 0
        self._waits_since = now
        self._read = None

    def forget_polled(self, now: float) -> None:
        """Note that another meter may be polled from now on, too."""
        self._counters = None
        self.start_over(now)

    def _is_break(self, seconds: float, *, same: bool) -> bool:
        """Whether what comes after so many seconds without a cycle, over the `same` connection, is to be confirmed."""
        return seconds > (max(_BREAK, _BREAK_PERIODS * self._period) if same else _IN_STEP * self._period)

    @property
    def _is_slow(self) -> bool:
        return self.interval_ms is not None and self._period > _SLOW * self.interval_ms / 1000

    @property
    def several(self) -> bool:
        """Whether the newest cycles came over several connections."""
        return len({cycle.source for cycle in list(self._cycles)[-4:]}) > 1

    def _may_compare(self, sent: float) -> bool:
        last, interval = self._cycles[-1].arrived, (self.interval_ms or 0) / 1000
        if sent - last > 2 * max(self._period, interval):
            return False  # the push has stopped: there is nothing to compare
        return not self._is_slow or 0 <= sent - last <= _CLOSE * interval

    def _compare(self, read: _Read, now: float) -> None:
        before = [cycle for cycle in self._cycles if cycle.arrived <= read.received]
        after = [cycle for cycle in self._cycles if cycle.arrived > read.received]
        last, following = (1, 1) if self.several else (3, 2)
        last += sum(cycle.arrived > read.sent for cycle in before)  # the meter may have answered before these
        candidates = before[-last:] + after[:following]
        if any(cycle.registers == read.registers for cycle in candidates):
            self._end_comparison(now)
            self._equal()
        elif read.followed_by >= following:
            self._end_comparison(now)
            near = all(_near(cycle.registers, read.registers) for cycle in before[-1:] + after[:1])
            self._near_since = (now if self._near_since is None else self._near_since) if near else None
            if near and self._near_since is not None and now - self._near_since > DOUBT:
                self._exact = False  # for so long near and never equal: the meter pushes mean values now
            if near and not self._exact:
                self._misses = self._equals = 0
                self._agree(1)
            else:
                self._miss(now)

    def _end_comparison(self, now: float) -> None:
        self._read = None
        if now - self._checked_at >= CHECK_EVERY:
            self._checked_at, self._in_a_row = now, 0
        self._in_a_row += 1
        if self._confirmed and now - self._doubted_at > DOUBT:
            self._needed = 1

    def _equal(self) -> None:
        self._misses = 0
        self._near_since = None
        self._equals += 1
        self._exact = self._exact or self._equals >= _EXACT_AFTER
        self._agree(_NEAR_NEEDED)

    def _agree(self, weight: int) -> None:
        self._agrees += weight
        self._confirmed = self._confirmed or self._agrees >= _NEAR_NEEDED * self._needed

    def _miss(self, now: float) -> None:
        self._equals = self._agrees = 0
        self._misses += 1
        most = 1 if self.several else _MISSES_EXACT if self._exact else _MISSES_NEAR
        if self._misses >= most:
            self._deny(now)

    def _deny(self, now: float) -> None:
        # A push that agrees and disagrees in turn has to agree ever longer.
        self._needed = min(_MOST_NEEDED, 4 * self._needed) if self._confirmed else max(4, self._needed)
        if self.several or self.differs:
            self._differed_at = now
        self._confirmed = False
        self._agrees = 0
        self._doubted_at = now


def _head(registers: Sequence[int | None]) -> Registers:
    return tuple(registers[address] for address in _HEAD)


def _near(pushed: Registers, polled: Registers) -> bool:
    one, other = _power(pushed), _power(polled)
    return abs(one - other) <= _NEAR_TENTHS + _NEAR_SHARE * abs(other)


def _power(head: Registers) -> int:
    """Active power, in 0.1 W: the first two values are that of each direction."""
    return (_number(head[0:2]) or 0) - (_number(head[2:4]) or 0)


def _number(registers: Sequence[int | None]) -> int | None:
    number = 0
    for word in registers:
        if word is None:
            return None
        number = number << 16 | word
    return number
