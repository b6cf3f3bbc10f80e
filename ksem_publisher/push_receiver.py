"""The pushes of one meter: counts them, records them, assembles them into snapshots.

From the meter's push to the broker, in this order:

1. `push_listener`: accepts the meter's connection, reads and answers; `push_peers` lists whose pushes are accepted.
2. `push_connection`: bytes of one connection in; answers and written registers out.
3. `push_receiver`, this file: the writes of one meter, from all of its connections.
4. `push_assembler`: writes in, one snapshot a measuring cycle out. `push_cycle` learns their order and their rhythm.
5. `push_agreement`: compares pushed cycles with polled ones before they count.
6. `live`: chooses push or poll, rejects what `plausibility` rejects, fills in registers that are not pushed.
7. `block_publisher`: numbers and stamps the block. `value_publisher` does so for its decoded values.
8. `service_runtime.mqtt_link`: sends it to the broker.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from math import inf

from ksem_contract.blocks import ENERGY, LIVE, PUSH_GROUPS
from ksem_contract.health import LinkCondition
from ksem_contract.reasons import Reason
from ksem_contract.register_map import REGISTERS
from ksem_contract.registers import RegisterRange, mask_of, mask_of_ranges, ranges_of
from ksem_publisher.block_publisher import BlockPublisher
from ksem_publisher.blocks import BlockData
from ksem_publisher.live import HALF_SECOND, LiveData
from ksem_publisher.poll_plan import PollPlan
from ksem_publisher.push_agreement import PushAgreement
from ksem_publisher.push_assembler import PushAssembler, PushSender
from ksem_publisher.push_connection import PushConnection, PushedWrite
from ksem_publisher.push_cycle import PushPace, is_off_pace
from ksem_publisher.recording import note_connection, note_writes
from ksem_publisher.snapshot import AWAY_PERIODS, VALUES, BlockRead, Snapshot, sums_up
from service_runtime.recorder.wire_events import CLOSED, CONNECTED, OFF, EventQueue

MOST_SHAPES = 200
_LISTENING = 3.0
"""Seconds for which a kind of write counts as being pushed."""
_PASSED_OVER = 10.0
"""Seconds for which a connection other than the one that disagrees with polls may be the sender."""
_RIVAL = 5.0
"""Seconds for which two connections must push before that is reported: a meter may be opening a new one."""
_STOPPED = 1.5
"""Seconds of silence, or three periods, after which the meter has stopped pushing."""
_LIVE_GROUPS = (PUSH_GROUPS["total"], PUSH_GROUPS["phases"])
_ENERGY_GROUPS = (PUSH_GROUPS["energy_total"], PUSH_GROUPS["energy_phases"])
_COUNTERS = tuple(one.range for one in REGISTERS if ENERGY.covers(one.range))


class MeterPush:
    """Takes what one meter writes, in the listener's thread; the event loop reads the rest.

    `lock` is held by any thread that changes or reads what both threads know of the meter.
    """

    def __init__(
        self,
        live_data: LiveData,
        others: BlockData,
        blocks: BlockPublisher,
        plan: PollPlan,
        energy_every: float,
        lock: threading.Lock,
        on_away: Callable[[], None],
        log: logging.Logger,
        event_queue: EventQueue = OFF,
        on_check: Callable[[], None] = lambda: None,
        on_moved: Callable[[], None] = lambda: None,
    ) -> None:
        """All may be called in the listener's thread.

        `on_away`: the push does not carry live data any more. `on_check`: a read is to confirm it. `on_moved`: the
        meter's name means another address now.
        """
        self._on_away = on_away
        self._on_check = on_check
        self._on_moved = on_moved
        self._agreement = PushAgreement()
        self._current: PushConnection | None = None
        """The connection of the newest whole cycle."""
        self._passed_over: PushConnection | None = None
        self._passed_over_until = float("-inf")
        self._rival_since = self._rival_at = float("-inf")
        """When live data came on another connection than that of the cycles in use: since when, and lately."""
        self._event_queue = event_queue
        self._live_data = live_data
        self._others = others
        self._blocks = blocks
        self._plan = plan
        self._energy_every = energy_every
        self._energy_due = float("-inf")
        self._lock = lock
        self._log = log
        self._live = PushAssembler(LIVE, VALUES, sums_up)
        self._energy = PushAssembler(ENERGY, _COUNTERS, None)
        self._live_sender, self._energy_sender = PushSender(), PushSender()
        self._pace = PushPace()
        self._queued: Reason | None = None
        self._shapes: dict[tuple[int, int, int, int], float] = {}
        self._connections: set[PushConnection] = set()
        self._last_write = float("-inf")
        self.peer: str | None = None
        self.writes = 0

    @property
    def period_ms(self) -> int | None:
        """The learned time between two cycles."""
        return None if self._live.period is None else round(self._live.period * 1000)

    @property
    def _patience(self) -> float:
        """Seconds without a write after which the meter has stopped pushing."""
        return max(_STOPPED, AWAY_PERIODS * (self._live.period or 0))

    def groups(self, now: float) -> tuple[RegisterRange, ...]:
        """Registers that are being pushed, of `live` and `energy`."""
        return ranges_of(self._mask(now), 0)

    def on_opened(self, connection: PushConnection) -> None:
        """A connection has begun."""
        if self._event_queue.on:
            note_connection(self._event_queue, CONNECTED, connection)

    def on_writes(self, connection: PushConnection, writes: Sequence[PushedWrite]) -> None:
        """The meter has written, and has its answer already."""
        with self._lock:
            self._take(connection, writes)

    def _take(self, connection: PushConnection, writes: Sequence[PushedWrite]) -> None:
        for write in writes:
            self._connections.add(connection)
            if write.start == LIVE.start:
                self._agreement.interval_ms = self._others.interval_ms
                self._agreement.wrote(connection, write.at)
                self._look_at_agreement(write.at)
            if self._is_passed_over(connection, write) or not self._accepts(connection, write):
                continue
            snapshot = self._live.write(write.start, write.registers, write.at, self._live_sender.epoch)
            self._pace.wrote(write.at)
            if snapshot is not None:
                self._take_cycle(connection, snapshot, write.at)
            if self._counts(write.at):
                self._live_data.registers.note(write.start, write.registers)
            if not self._queued:
                self._take_energy(write)
            self._note(connection, write)
        if self._event_queue.on:
            note_writes(self._event_queue, connection, writes)

    @property
    def _interval(self) -> float | None:
        """Seconds at which the meter measures, once it was polled for them."""
        interval_ms = self._others.interval_ms
        return None if interval_ms is None else interval_ms / 1000

    def _accepts(self, connection: PushConnection, write: PushedWrite) -> bool:
        """Whether it is the sender's. The sender of live data sends the energy counters, too."""
        written = RegisterRange(write.start, len(write.registers))
        if written.overlaps(LIVE):
            accepted = self._live_sender.accept(connection, connection.peer, write.at)
            if not accepted:
                self._note_rival(write.at)
            return accepted
        if not written.overlaps(ENERGY):
            return True
        if self._live_sender.excludes(connection, connection.peer, write.at):
            return False
        return self._energy_sender.accept(connection, connection.peer, write.at)

    def _note_rival(self, now: float) -> None:
        if now - self._rival_at > _LISTENING:
            self._rival_since = now
        self._rival_at = now

    def _take_cycle(self, connection: PushConnection, cycle: Snapshot, now: float) -> None:
        assert cycle.period is not None
        self._current = connection
        self._queued = self._pace.why_queued(cycle.registers, cycle.period, self._interval)
        self._agreement.pushed(cycle, connection, now)
        self._look_at_agreement(now)
        if self._counts(now):
            self._live_data.pushed(cycle, self._others.interval_ms)
        if self._agreement.check_due(now):
            self._plan.check_push(now)
            self._on_check()

    def _counts(self, now: float) -> bool:
        """Whether cycles may be published: the polled meter's own, and no older than they seem."""
        return not self._queued and not self._plan.is_unconfirmed and self._agreement.counts(now)

    def _is_passed_over(self, connection: PushConnection, write: PushedWrite) -> bool:
        """Of two connections, one whose cycles are not the polled meter's makes room for the other."""
        rivals = write.start < LIVE.stop and connection is not self._current and self._current in self._connections
        if self._current is not None and rivals and self._agreement.differs:
            self._passed_over, self._passed_over_until = self._current, write.at + _PASSED_OVER
            self._live_sender.closed(self._current)
            self._energy_sender.closed(self._current)
            self._agreement.start_over(write.at)
            self._current = None
        return connection is self._passed_over and write.at < self._passed_over_until

    def polled(self, start: int, registers: Sequence[int], sent: float, now: float) -> None:
        """The meter has answered a read. `lock` is held."""
        self._agreement.polled(start, registers, sent, now)
        self._look_at_agreement(now)

    def _look_at_agreement(self, now: float) -> None:
        if not self._counts(now) and self._live_data.source.push_carries(now):
            self._live_data.source.drop_push()
            self._on_away()

    def watch(self, now: float) -> float:
        """Check whether the push stays away; return when to check again, if nothing comes."""
        with self._lock:
            change = self._live_data.source.next_change(now)
        if change is None:
            self._on_away()
            return inf
        return change

    def on_moved(self, now: float) -> None:
        """The meter's name means another address now."""
        with self._lock:
            self._agreement.forget_polled(now)
            self._look_at_agreement(now)
        self._on_moved()

    def on_closed(self, connection: PushConnection) -> None:
        """A connection has ended."""
        with self._lock:
            if self._event_queue.on:
                note_connection(self._event_queue, CLOSED, connection)
            self._live_sender.closed(connection)
            self._energy_sender.closed(connection)
            self._connections.discard(connection)
            if not self._connections:
                self.peer = None

    def rival(self, now: float) -> Reason | None:
        """A second meter on a connection of its own, which is left out; None where there is none."""
        if now - self._rival_at > _LISTENING or self._rival_at - self._rival_since < _RIVAL:
            return None
        return Reason.of("push-rival", peer=self.peer)

    def condition(self, now: float) -> tuple[LinkCondition, tuple[Reason, ...]]:
        """How the push is, and why."""
        if self._live_data.source.push_carries(now):
            return "up", (Reason.of("push-arrives", period=self.period_ms), *self._energy_missing(now))
        if not self.writes:
            return "waiting", (Reason.of("push-not-begun"),)
        return "down", self._why_down(now)

    def _why_down(self, now: float) -> tuple[Reason, ...]:
        queued = () if self._queued is None else (self._queued,)
        if now - self._last_write > self._patience:
            return (Reason.of("push-stopped"),)
        if self._agreement.is_doubtful(now):
            if queued and not self._agreement.several:  # one connection is one meter's: its own, but old
                return queued
            return (Reason.of("push-differs", peer=self.peer or "the meter"), *queued)
        if self._plan.is_unconfirmed:
            error = self._plan.foreign or "its serial number was not read yet"
            return (Reason.of("push-of-another-meter", error=error),)
        if self._live.missing and len(self._connections) > 1:
            return (Reason.of("push-on-two-connections", registers=self._missing()),)
        if self._live.missing:
            return (Reason.of("push-incomplete", registers=self._missing()),)
        if not self._mask(now) & mask_of(LIVE.start, LIVE.count):
            return (Reason.of("push-energy-only"),)
        return (self._live.reason,) if self._live.reason else queued or (self._why_not_used(now),)

    def _why_not_used(self, now: float) -> Reason:
        """Why whole cycles of this meter, which do not wait in it, are not used."""
        period = self._live.period
        if period and period < HALF_SECOND and is_off_pace(period, self._interval):
            return Reason.of("push-off-pace", period=round(period * 1000), interval=self._others.interval_ms)
        if period and period > 0.5:
            return Reason.of("push-too-slow", period=f"{period:.3g}")
        if self._current is not None and not self._agreement.counts(now):
            return Reason.of("push-unconfirmed")
        return Reason.of("push-awaits-cycles")

    def _missing(self) -> str:
        """The groups that no cycle brings, or the registers where a group is there in part."""
        missing = mask_of_ranges(self._live.missing, 0)
        groups = [
            group
            for group in _LIVE_GROUPS
            if not mask_of_ranges(VALUES, 0) & mask_of(group.start, group.count) & ~missing
        ]
        rest = [part for part in self._live.missing if not any(group.covers(part) for group in groups)]
        return ", ".join(str(part) for part in (*groups, *rest))

    def _energy_missing(self, now: float) -> tuple[Reason, ...]:
        """An energy group that is off while the other is on; both off is how most meters are set."""
        mask = self._mask(now)
        missing = [group for group in _ENERGY_GROUPS if not mask & mask_of(group.start, group.count)]
        return (Reason.of("push-energy-partly", registers=missing[0]),) if len(missing) == 1 else ()

    def _mask(self, now: float) -> int:
        """The registers pushed lately, of `live` and `energy`."""
        lately = max(_LISTENING, AWAY_PERIODS * (self._live.period or 0))
        mask = 0
        for (_, _, start, count), at in self._shapes.items():
            low, high = max(start, LIVE.start), min(start + count, ENERGY.stop)
            if now - at <= lately and high > low:
                mask |= mask_of(low, high - low)
        return mask

    def _take_energy(self, write: PushedWrite) -> None:
        if write.start >= ENERGY.stop or write.start + len(write.registers) <= ENERGY.start:
            return
        snapshot = self._energy.write(write.start, write.registers, write.at, self._energy_sender.epoch)
        if (
            snapshot is None
            or write.at < self._energy_due
            or not self._agreement.counters_fit(snapshot.registers, write.at)
        ):
            return
        registers = list(snapshot.registers)
        polled = self._blocks.registers("energy")
        if polled is not None:  # what is not pushed lies between the groups and has no age
            registers = [known if word is None else word for word, known in zip(registers, polled, strict=True)]
        self._energy_due = write.at + self._energy_every
        self._others.take(BlockRead("energy", ENERGY.start, tuple(registers), snapshot.at), "push")
        if polled is not None and self._agreement.knows_counters(write.at):
            self._plan.energy_pushed(write.at)

    def _note(self, connection: PushConnection, write: PushedWrite) -> None:
        self.writes += 1
        self._last_write = write.at
        self.peer = connection.peer
        shape = (write.function, write.unit, write.start, len(write.registers))
        known = shape in self._shapes
        if known or len(self._shapes) < MOST_SHAPES:
            self._shapes[shape] = write.at
        if known or len(self._shapes) >= MOST_SHAPES:
            return
        written = RegisterRange(write.start, len(write.registers))
        kept = written.overlaps(LIVE) or written.overlaps(ENERGY)
        self._log.info(
            "a new kind of write: function %d, unit %d, registers %s%s",
            write.function,
            write.unit,
            written,
            "" if kept else " (acknowledged, not used)",
        )
