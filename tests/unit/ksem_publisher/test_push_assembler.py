import random
import tracemalloc
from collections.abc import Hashable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksem_contract.blocks import LIVE, MEASURED
from ksem_contract.registers import RegisterRange
from ksem_publisher.push_assembler import PushAssembler, PushSender
from ksem_publisher.snapshot import Snapshot, sums_up

from .model_meter import TWO_GROUPS, ModelMeter, Write

SMALL = tuple((start, 2) for part in MEASURED for start in range(part.start, part.stop, 2))
MANY = ((0, 10), (10, 18), (40, 26), (66, 20), (86, 20), (106, 10), (116, 30))
WITH_GAPS = ((0, 100), (100, 48))
PHASES_FIRST = ((40, 106), (0, 28))


class Receiver:
    """The assembler behind the choice of the sender, as a meter's push has them."""

    def __init__(self) -> None:
        self.sender = PushSender()
        self.assembler = PushAssembler(LIVE, MEASURED, sums_up)
        self.closed = self.sender.closed

    def write(
        self, source: Hashable, start: int, registers: tuple[int, ...], at: float, peer: str = "meter"
    ) -> Snapshot | None:
        if not self.sender.accept(source, peer, at):
            return None
        return self.assembler.write(start, registers, at, self.sender.epoch)

    @property
    def period(self) -> float | None:
        return self.assembler.period

    @property
    def missing(self) -> tuple[RegisterRange, ...]:
        return self.assembler.missing

    @property
    def why(self) -> str:
        return str(self.assembler.reason or "")


def live_assembler() -> Receiver:
    return Receiver()


def feed(assembler: Receiver, writes: Iterable[Write], source: str = "one") -> list[tuple[float, Snapshot]]:
    found = []
    for at, start, registers in writes:
        snapshot = assembler.write(source, start, registers, at)
        if snapshot:
            found.append((at, snapshot))
    return found


@pytest.mark.parametrize("shapes", [TWO_GROUPS, PHASES_FIRST, WITH_GAPS, MANY, SMALL])
@pytest.mark.parametrize("gap", [0.0, 0.001, 0.005, 0.02, 0.06])
@pytest.mark.promise(3)
def test_attached_at_any_offset_every_block_is_exactly_one_cycle(
    shapes: tuple[tuple[int, int], ...], gap: float
) -> None:
    for skip in range(len(shapes)):
        meter = ModelMeter(shapes=shapes, gap=min(gap, 0.18 / len(shapes)))
        blocks = feed(live_assembler(), meter.writes(20, skip))
        cycles = [meter.cycle_of(block.registers) for _, block in blocks]
        assert cycles == sorted(set(cycles))
        if gap * (len(shapes) - 1) <= 0.06:
            assert cycles[-10:] == list(range(10, 20))


@pytest.mark.parametrize("skip", [0, 1])
def test_a_block_is_handed_out_with_its_cycles_last_write_and_dated_by_its_first(skip: int) -> None:
    meter = ModelMeter(gap=0.03)
    for at, block in feed(live_assembler(), meter.writes(8, skip)):
        cycle = meter.cycle(meter.cycle_of(block.registers))
        assert (at, block.at) == (cycle[-1][0], cycle[0][0])


def test_nothing_is_handed_out_before_three_equal_cycles_were_seen() -> None:
    meter = ModelMeter()
    assert feed(live_assembler(), meter.writes(2)) == []
    assert [meter.cycle_of(block.registers) for _, block in feed(live_assembler(), meter.writes(4))] == [2, 3]


@pytest.mark.parametrize("period", [0.02, 0.05, 0.2, 0.5, 2.0, 60.0])
def test_periods_from_20_ms_to_a_minute_are_followed(period: float) -> None:
    meter = ModelMeter(period=period, gap=0.002)
    assembler = live_assembler()
    assert len(feed(assembler, meter.writes(12))) == 10
    assert assembler.period == pytest.approx(period)


@pytest.mark.parametrize(("period", "gap"), [(0.1, 0.06), (0.08, 0.06), (0.1, 0.05), (0.07, 0.06)])
@pytest.mark.parametrize("skip", [0, 1])
@pytest.mark.promise(3)
def test_a_gap_longer_than_the_silence_between_cycles_never_mixes_two(period: float, gap: float, skip: int) -> None:
    meter = ModelMeter(period=period, gap=gap)
    for _, block in feed(live_assembler(), meter.writes(60, skip)):
        meter.cycle_of(block.registers)


@pytest.mark.promise(3)
def test_constant_power_with_an_ambiguous_split_hands_out_nothing() -> None:
    meter = ModelMeter(period=0.1, gap=0.05, constant=True)
    assembler = live_assembler()
    assert feed(assembler, meter.writes(30)) == []
    assert "where a cycle ends" in assembler.why


@pytest.mark.parametrize("lag", [0.006, 0.01, 0.07, 0.1, 0.13, 0.16, 0.19, 0.194])
@pytest.mark.parametrize("shapes", [TWO_GROUPS, PHASES_FIRST])
@pytest.mark.parametrize("skip", [0, 1])
def test_while_the_power_stands_still_a_pause_inside_or_between_cycles_is_not_told_apart(
    lag: float, shapes: tuple[tuple[int, int], ...], skip: int
) -> None:
    meter, moving = ModelMeter(gap=lag, constant=True, shapes=shapes), ModelMeter(gap=lag, shapes=shapes)
    assembler = live_assembler()
    assert feed(assembler, meter.writes(40, skip)) == []
    assert "where a cycle ends" in assembler.why
    cycles = [
        moving.cycle_of(b.registers) for _, b in feed(assembler, [w for n in range(40, 70) for w in moving.cycle(n)])
    ]
    assert cycles == (list(range(cycles[0], 70)) if lag <= 0.08 else [])
    assert cycles[:1] <= [45]


def test_writes_that_follow_one_another_at_once_are_a_cycle_whatever_the_power_does() -> None:
    meter = ModelMeter(gap=0.002, constant=True)
    assert len(feed(live_assembler(), meter.writes(20))) == 18


def test_a_sum_that_now_and_then_does_not_fit_does_not_end_the_push() -> None:
    meter = ModelMeter(gap=0.03)
    for number in range(5, 60, 9):
        meter.registers(number)[1] ^= 0x40  # 6.4 W
    cycles = [meter.cycle_of(block.registers) for _, block in feed(live_assembler(), meter.writes(60))]
    assert cycles == list(range(cycles[0], 60))
    assert cycles[0] <= 4


def test_a_push_faster_than_the_meter_measures_is_cut_where_the_power_changes() -> None:
    meter, other = ModelMeter(period=0.02, gap=0.004), ModelMeter()
    meter.truth = {number: other.registers(number // 10) for number in range(300)}
    blocks = feed(live_assembler(), meter.writes(300, 1))
    assert len(blocks) > 150
    for _, block in blocks:
        meter.cycle_of(block.registers)


def test_a_cycle_with_a_slow_second_half_is_dropped_and_the_others_go_on() -> None:
    meter = ModelMeter()
    writes = meter.writes(10)
    slow = ModelMeter(slow=0.1).cycle(10)
    meter.registers(10)
    later = [write for number in range(11, 14) for write in meter.cycle(number)]
    cycles = [meter.cycle_of(block.registers) for _, block in feed(live_assembler(), writes + slow + later)]
    assert 10 not in cycles
    assert cycles[-3:] == [11, 12, 13]


def test_a_second_half_that_is_always_slow_is_never_served() -> None:
    meter = ModelMeter(slow=0.09)
    assembler = live_assembler()
    assert feed(assembler, meter.writes(30)) == []
    assert "spread" in assembler.why


EXTRAS = ((0, 28), (28, 12), (40, 106), (146, 2))


def test_writes_between_the_groups_that_each_cycle_brings_are_part_of_it() -> None:
    for skip in range(len(EXTRAS)):
        meter = ModelMeter(shapes=EXTRAS, gap=0.001)
        blocks = feed(live_assembler(), meter.writes(12, skip))
        assert [meter.cycle_of(block.registers) for _, block in blocks][-8:] == list(range(4, 12))
        assert all(None not in (*block.registers[28:40], *block.registers[146:]) for _, block in blocks)
        assert all(at == meter.cycle(meter.cycle_of(block.registers))[-1][0] for at, block in blocks)


@pytest.mark.parametrize("every", [2, 3, 7])
def test_writes_between_the_groups_that_come_now_and_then_disturb_nothing(every: int) -> None:
    meter = ModelMeter()
    writes = []
    for number in range(30):
        writes += meter.cycle(number)
        if number % every == 0:
            writes.append((writes[-1][0], 28, (7,) * 12))
    cycles = [meter.cycle_of(block.registers) for _, block in feed(live_assembler(), writes)]
    assert cycles == list(range(cycles[0], 30))
    assert cycles[0] <= 4


@pytest.mark.parametrize("shapes", [((0, 28),), ((40, 106),), ((0, 28), (40, 50))])
def test_a_group_switched_off_in_the_meter_is_named(shapes: tuple[tuple[int, int], ...]) -> None:
    assembler = live_assembler()
    assert feed(assembler, ModelMeter(shapes=shapes).writes(8)) == []
    expected = {
        ((0, 28),): MEASURED[1:],
        ((40, 106),): MEASURED[:1],
        ((0, 28), (40, 50)): (RegisterRange(90, 16), MEASURED[3]),
    }
    assert assembler.missing == expected[shapes]


def test_a_group_switched_off_on_the_way_is_named_too_and_one_switched_on_is_used() -> None:
    meter, half = ModelMeter(), ModelMeter(shapes=((0, 28),))
    assembler = live_assembler()
    assert feed(assembler, meter.writes(6))
    assert feed(assembler, [w for n in range(6, 14) for w in half.cycle(n)]) == []
    assert list(assembler.missing) == list(MEASURED[1:])
    assert feed(assembler, [w for n in range(14, 26) for w in meter.cycle(n)])
    assert list(assembler.missing) == []


def test_writes_that_overlap_inside_a_cycle_are_told_and_not_used() -> None:
    assembler = live_assembler()
    assert feed(assembler, ModelMeter(shapes=((0, 100), (90, 58))).writes(8)) == []
    assert "twice" in assembler.why


def test_a_lost_write_costs_one_cycle() -> None:
    meter = ModelMeter()
    writes = meter.writes(12)
    del writes[11]
    cycles = [meter.cycle_of(block.registers) for _, block in feed(live_assembler(), writes)]
    assert cycles == [2, 3, 4, 6, 7, 8, 9, 10, 11]


@pytest.mark.promise(3)
def test_two_senders_interleaved_never_mix_and_the_first_is_kept() -> None:
    one, two = ModelMeter(), ModelMeter()
    two.truth = {n: [w ^ 1 for w in one.registers(n + 1000)] for n in range(30)}
    assembler = live_assembler()
    mixed = [("one", w) for w in one.writes(30)] + [("two", (w[0] + 0.0005, *w[1:])) for w in two.writes(30)]
    for source, (at, start, registers) in sorted(mixed, key=lambda item: item[1][0]):
        block = assembler.write(source, start, registers, at)
        if block:
            one.cycle_of(block.registers)


@pytest.mark.promise(3)
def test_a_cycle_begun_by_a_sender_that_went_is_not_finished_by_another() -> None:
    one, two = ModelMeter(), ModelMeter()
    two.truth = {n: [w ^ 1 for w in one.registers(n + 1000)] for n in range(30)}
    assembler = live_assembler()
    for number in range(10):
        (first, second), (other_first, other_second) = one.cycle(number), two.cycle(number)
        block = assembler.write("one", *first[1:], first[0])
        assembler.write("two", *other_first[1:], other_first[0])
        if number == 9:
            assembler.closed("one")
        else:
            block = assembler.write("one", *second[1:], second[0])
            assert number < 3 or block is not None
        assert number < 9 or assembler.write("two", *other_second[1:], other_second[0]) is None


def test_a_second_sender_takes_over_when_the_first_is_silent() -> None:
    meter = ModelMeter()
    assembler = live_assembler()
    feed(assembler, meter.writes(6))
    later = [write for number in range(12, 20) for write in meter.cycle(number)]
    cycles = [meter.cycle_of(block.registers) for _, block in feed(assembler, later, source="two")]
    assert cycles[-3:] == [17, 18, 19]


def test_a_connection_for_each_write_is_followed() -> None:
    meter = ModelMeter(gap=0.004)
    assembler = live_assembler()
    count = 0
    for number, (at, start, registers) in enumerate(meter.writes(10)):
        count += assembler.write(number, start, registers, at) is not None
        assembler.closed(number)
    assert count == 8


def overlapping(meter: ModelMeter, cycles: int, *, per_write: bool, late: int) -> list[tuple[str, int, Write | None]]:
    """What a meter does that closes each connection only after `late` more of them have written."""
    events: list[tuple[str, int, Write | None]] = []
    connection = 0
    for number in range(cycles):
        for i, write in enumerate(meter.cycle(number)):
            connection += per_write or i == 0
            events.append(("write", connection, write))
            if (per_write or i == 0) and connection > late:
                events.append(("close", connection - late, None))
    return events


@pytest.mark.parametrize("per_write", [True, False])
@pytest.mark.parametrize("late", [1, 2, 3, 1000])
def test_a_connection_opened_before_the_last_is_closed_is_followed(*, per_write: bool, late: int) -> None:
    meter, receiver, cycles = ModelMeter(gap=0.004), live_assembler(), []
    for what, connection, write in overlapping(meter, 40, per_write=per_write, late=late):
        if write is None:
            assert what == "close"
            receiver.closed(connection)
        elif block := receiver.write(connection, *write[1:], write[0]):
            cycles.append(meter.cycle_of(block.registers))
    assert cycles[-25:] == list(range(15, 40))


def test_a_meter_that_hands_its_push_over_and_then_keeps_a_connection_is_followed_and_a_rival_refused_again() -> None:
    meter, other, receiver = ModelMeter(), ModelMeter(), live_assembler()
    other.truth = {n: [w ^ 1 for w in meter.registers(n + 1000)] for n in range(100)}
    for what, connection, write in overlapping(meter, 20, per_write=False, late=1):
        if what == "close":
            receiver.closed(connection)
        elif write:
            receiver.write(connection, *write[1:], write[0])
    blocks = []
    for number in range(20, 60):
        blocks += [receiver.write("lasting", *write[1:], write[0]) for write in meter.cycle(number)]
        for write in other.cycle(number) if number > 35 else ():
            assert receiver.write("rival", *write[1:], write[0] + 0.05) is None
    cycles = [meter.cycle_of(block.registers) for block in blocks if block]
    assert cycles == list(range(20, 60))


def test_the_new_connections_of_another_address_are_refused_and_disturb_nothing() -> None:
    meter, receiver, cycles = ModelMeter(), live_assembler(), []
    for _, connection, write in overlapping(meter, 40, per_write=False, late=1):
        if write is None:
            receiver.closed(connection)
        else:
            if block := receiver.write(connection, *write[1:], write[0]):
                cycles.append(meter.cycle_of(block.registers))
            foreign = tuple(word ^ 1 for word in write[2])
            assert receiver.write(("other", connection), write[1], foreign, write[0] + 0.001, "other") is None
    assert cycles[-25:] == list(range(15, 40))


@pytest.mark.promise(1)
def test_what_a_stall_held_back_is_not_taken_for_new() -> None:
    meter = ModelMeter()
    assembler = live_assembler()
    feed(assembler, meter.writes(10))
    held = [write for number in range(10, 20) for write in meter.cycle(number)]
    assert feed(assembler, [(104.0, *write[1:]) for write in held]) == []


def test_after_a_stall_the_rhythm_is_found_again_within_a_few_cycles() -> None:
    meter = ModelMeter()
    assembler = live_assembler()
    feed(assembler, meter.writes(10))
    later = [write for number in range(30, 36) for write in meter.cycle(number)]
    assert [meter.cycle_of(block.registers) for _, block in feed(assembler, later)] == [31, 32, 33, 34, 35]


@pytest.mark.promise(1)
def test_a_late_cycle_is_dated_back_to_when_it_was_due() -> None:
    meter = ModelMeter()
    assembler = live_assembler()
    feed(assembler, meter.writes(10))
    late = [(at + 0.15, start, registers) for at, start, registers in meter.cycle(10)]
    ((_, block),) = feed(assembler, late)
    assert block.at == pytest.approx(102.0)


def test_a_changed_interval_is_learned_anew() -> None:
    meter, slower = ModelMeter(period=0.2), ModelMeter(period=0.5)
    assembler = live_assembler()
    feed(assembler, meter.writes(10))
    feed(assembler, [write for number in range(10, 25) for write in slower.cycle(number)])
    assert assembler.period == pytest.approx(0.5)
    assert assembler.why == ""


@settings(max_examples=150, deadline=None)
@given(
    period=st.sampled_from([0.02, 0.05, 0.1, 0.2, 0.5, 3.0]),
    gap=st.floats(0, 0.06),
    jitter=st.floats(0, 0.04),
    shapes=st.sampled_from([TWO_GROUPS, PHASES_FIRST, WITH_GAPS, MANY]),
    skip=st.integers(0, 7),
    lost=st.sets(st.integers(0, 150), max_size=6),
    seed=st.integers(0, 2**16),
)
@pytest.mark.promise(1)
def test_whatever_the_timing_a_block_is_one_cycle_of_the_meter_and_never_older_than_it_says(
    period: float,
    gap: float,
    jitter: float,
    shapes: tuple[tuple[int, int], ...],
    skip: int,
    lost: set[int],
    seed: int,
) -> None:
    chance = random.Random(seed)
    meter = ModelMeter(period=period, gap=min(gap, period / len(shapes)), shapes=shapes)
    arrived = 0.0
    held = []
    for number, (at, start, registers) in enumerate(meter.writes(40, skip)):
        arrived = max(arrived, at + chance.uniform(0, min(jitter, period / 2)))
        if number not in lost:
            held.append((arrived, start, registers))
    newest = -1
    for _, block in feed(live_assembler(), held):
        cycle = meter.cycle_of(block.registers)
        assert cycle > newest
        newest = cycle


@pytest.mark.parametrize("before", [TWO_GROUPS, WITH_GAPS, MANY, SMALL])
@pytest.mark.parametrize("after", [TWO_GROUPS, PHASES_FIRST, WITH_GAPS, MANY, SMALL])
def test_another_cut_of_the_cycle_is_learned_within_two_seconds(
    before: tuple[tuple[int, int], ...], after: tuple[tuple[int, int], ...]
) -> None:
    meter, changed = ModelMeter(shapes=before), ModelMeter(shapes=after)
    assembler = live_assembler()
    assert feed(assembler, meter.writes(10))
    later = [write for number in range(10, 40) for write in changed.cycle(number)]
    blocks = feed(assembler, later)
    assert blocks[0][0] - later[0][0] <= 2.0
    for _, block in blocks:
        changed.cycle_of(block.registers)


@pytest.mark.parametrize("shapes", [TWO_GROUPS, MANY])
def test_what_is_kept_of_a_steady_push_does_not_grow(shapes: tuple[tuple[int, int], ...]) -> None:
    assembler, meter = live_assembler(), ModelMeter(shapes=shapes)
    assert feed(assembler, meter.writes(20))
    tracemalloc.start()
    try:
        for number in range(20, 420):
            feed(assembler, ModelMeter(shapes=shapes).cycle(number))
        assert tracemalloc.get_traced_memory()[0] < 300_000  # eight cycles are 50 kB, all 400 would be 2 MB
    finally:
        tracemalloc.stop()
