from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from ksem_contract.blocks import DEVICE, SEQLOCK_BODY, SEQLOCK_HEAD
from ksem_contract.registers import RegisterRange
from ksem_publisher.poll_plan import PollPlan
from ksem_publisher.poll_reads import MAX_COUNT
from ksem_publisher.snapshot import BlockRead, Snapshot

from .model_meter import live_words

VALUES = [(612, 4), (712, 4)] + [(start, 4) for base in (512, 592, 672, 752) for start in range(base, base + 40, 4)]


@dataclass
class Meter:
    """Answers a plan's reads; each takes `pace` seconds."""

    plan: PollPlan
    now: float = 1000.0
    pace: float = 0.02
    interval: int = 200
    firmware: int = 1
    pad: bool = True
    refused: dict[int, int] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    busy: int = 0
    """The exception to every other read."""
    more: dict[int, int] = field(default_factory=dict)
    """Registers that hold something else."""
    reads: list[tuple[float, RegisterRange]] = field(default_factory=list)
    results: list[Snapshot | BlockRead] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            wanted = self.plan.next(self.now)
            if wanted is None:
                self.now += max(self.plan.wait(self.now), 0.001)
                continue
            self.reads.append((self.now, wanted))
            if wanted.start in self.silent:
                self.now += self.plan.patience or 2.0
                self.plan.fail(self.now)
                self.now += 0.25  # a rest, and a new connection
                self.plan.connected()
                continue
            sent, self.now = self.now, self.now + self.pace
            if self.busy and len(self.reads) % 2:
                self.plan.refuse(self.busy, self.now)
            elif wanted.start in self.refused:
                self.plan.refuse(self.refused[wanted.start], self.now)
            else:
                self.results += self.plan.answer(self.registers(wanted), sent, self.now)

    def registers(self, wanted: RegisterRange) -> tuple[int, ...]:
        image = dict(enumerate(live_words(1)))
        image.update({8244: self.interval, 8195: self.firmware})
        length = 66 if self.pad else 65
        chain = [0x5375, 0x6E53, 1, length, *range(1, length + 1), 203, 105, *range(105), 0xFFFF, 0]
        image.update({40000 + i: word for i, word in enumerate(chain)})
        image.update(self.more)
        return tuple(image.get(address, 0) for address in range(wanted.start, wanted.stop))

    def blocks(self, name: str) -> list[BlockRead]:
        return [one for one in self.results if isinstance(one, BlockRead) and one.name == name]


def plan(live: float = 0.25, energy: float = 10, device: float = 10, sunspec: float = 10) -> PollPlan:
    made = PollPlan(live=live, energy=energy, device=device, sunspec=sunspec)
    made.connected()
    return made


def test_a_new_connection_asks_first_who_is_there() -> None:
    meter = Meter(plan())
    meter.run(0.5)
    assert [wanted for _, wanted in meter.reads[:4]] == [DEVICE, SEQLOCK_HEAD, SEQLOCK_BODY, SEQLOCK_HEAD]


def test_no_read_asks_for_more_than_120_registers_or_splits_a_value() -> None:
    meter = Meter(plan())
    meter.run(5)
    for _, wanted in meter.reads:
        assert wanted.count <= MAX_COUNT
        for start, count in VALUES:
            inside = [wanted.start <= address < wanted.stop for address in range(start, start + count)]
            assert all(inside) or not any(inside)


def test_live_is_polled_at_its_pace_and_waits_for_one_other_read_at_most() -> None:
    meter = Meter(plan(), pace=0.03)
    meter.run(30)
    begins = [
        at
        for (at, wanted), (_, before) in zip(meter.reads[1:], meter.reads, strict=False)
        if wanted == SEQLOCK_HEAD and before != SEQLOCK_BODY
    ]
    gaps = [b - a for a, b in pairwise(begins)]
    assert max(gaps) <= 0.25 + 0.03 + 0.001
    assert len(meter.blocks("energy")) == 3


def test_live_that_takes_longer_than_its_pace_does_not_starve_the_others() -> None:
    meter = Meter(plan(), pace=0.2)
    meter.run(30)
    assert len(meter.blocks("energy")) >= 2
    assert len(meter.blocks("sunspec")) >= 1


def test_without_need_live_is_not_polled_and_the_others_keep_their_pace() -> None:
    meter = Meter(plan(energy=5))
    meter.plan.live.wanted = False
    meter.run(31)
    assert not [1 for _, wanted in meter.reads if wanted == SEQLOCK_HEAD]
    assert len(meter.blocks("energy")) == 7
    assert len([one for one in meter.reads if one[1].start == 100]) == 1  # the words nobody measures: once


def test_after_a_long_outage_each_block_is_read_once_and_not_in_a_burst() -> None:
    meter = Meter(plan())
    meter.run(5)
    meter.plan.fail(meter.now)
    meter.now += 600
    meter.plan.connected()
    begin = len(meter.reads)
    meter.run(5)
    energy = [wanted for _, wanted in meter.reads[begin:] if wanted.start == 512]
    assert len(energy) == 1


@pytest.mark.promise(2)
def test_a_failed_read_leaves_nothing_half_read() -> None:
    meter = Meter(plan())
    meter.plan.live.wanted = False
    while not (meter.reads and meter.reads[-1][1].start == 612):
        meter.run(0.01)
    meter.plan.fail(meter.now)
    meter.plan.connected()
    meter.results.clear()
    meter.run(1)
    (energy,) = meter.blocks("energy")
    assert len(energy.registers) == 280
    assert energy.at > meter.reads[-1][0] - 1


@pytest.mark.parametrize("interval", [0, 9, 61_000])
def test_a_device_that_is_no_ksem_gives_nothing_and_is_asked_again(interval: int) -> None:
    meter = Meter(plan(), interval=interval)
    meter.run(10)
    assert meter.results == []
    assert {wanted for _, wanted in meter.reads} == {DEVICE}
    assert meter.plan.foreign is not None
    meter.interval = 200
    meter.run(3)
    assert meter.blocks("energy")


@pytest.mark.promise(2)
def test_blocks_read_while_another_device_took_the_address_are_thrown_away() -> None:
    meter = Meter(plan(energy=2, device=60))
    meter.plan.live.wanted = False
    meter.run(1)
    assert len(meter.blocks("energy")) == 1
    meter.interval = 0
    meter.run(5)
    assert len(meter.blocks("energy")) == 1


def test_a_device_that_refuses_to_tell_who_it_is_gives_nothing() -> None:
    meter = Meter(plan(energy=2), refused={8192: 6})
    meter.run(20)
    assert meter.results == []
    assert {wanted.start for _, wanted in meter.reads} == {8192}
    assert len(meter.reads) < 50


@pytest.mark.parametrize("code", [5, 6])
def test_a_meter_that_is_busy_at_every_other_read_is_read_all_the_same(code: int) -> None:
    meter = Meter(plan(), busy=code)
    meter.run(31)
    measured = [snapshot.at for snapshot in meter.results if isinstance(snapshot, Snapshot)]
    assert max(later - earlier for earlier, later in pairwise(measured)) < 0.5
    assert len(meter.blocks("energy")) == 3
    assert not meter.plan.anomalies()


def test_a_meter_that_is_always_busy_is_not_asked_without_end() -> None:
    meter = Meter(plan(), refused={0: 6})
    meter.run(10)
    assert len([wanted for _, wanted in meter.reads if wanted.start == 0]) < 100


def test_a_push_of_energy_does_not_move_a_reading_that_is_under_way() -> None:
    meter = Meter(plan(energy=2, device=2, sunspec=2))
    meter.plan.live.wanted = False
    end = meter.now + 20
    while meter.now < end:
        meter.run(0.001)
        meter.plan.energy_pushed(meter.now)
    assert len(meter.blocks("device")) >= 8
    assert len(meter.blocks("sunspec")) >= 8
    assert all(meter.now - block.at < 25 for block in meter.blocks("energy"))


@pytest.mark.promise(6)
def test_a_refused_block_is_told_once_and_the_others_go_on() -> None:
    meter = Meter(plan(energy=2), refused={40000: 2})
    meter.run(20)
    assert not meter.blocks("sunspec")
    assert len([one for one in meter.reads if one[1].start == 40000]) == 1
    assert len(meter.blocks("energy")) >= 5
    assert any(isinstance(one, Snapshot) for one in meter.results)


def test_live_refused_for_a_while_is_tried_again_soon() -> None:
    meter = Meter(plan(), refused={0: 4})
    meter.run(3)
    assert not [one for one in meter.results if isinstance(one, Snapshot)]
    meter.refused.clear()
    meter.run(1)
    assert [one for one in meter.results if isinstance(one, Snapshot)]


def test_sunspec_is_walked_again_when_the_firmware_changes_and_not_else() -> None:
    meter = Meter(plan(device=1, sunspec=2))
    meter.plan.live.wanted = False
    meter.run(7)
    assert {len(block.registers) for block in meter.blocks("sunspec")} == {4 + 66 + 107 + 2}
    walks = [one for one in meter.reads if one[1] == RegisterRange(40000, 4)]
    assert len(walks) == 1
    meter.pad, meter.firmware = False, 2
    meter.run(3)
    assert len(meter.blocks("sunspec")[-1].registers) == 4 + 65 + 107 + 2
    assert len([one for one in meter.reads if one[1] == RegisterRange(40000, 4)]) == 2


@pytest.mark.parametrize("silent", [512, 100, 40000])
@pytest.mark.promise(6)
def test_a_block_that_is_never_answered_keeps_live_waiting_for_less_than_its_limit(silent: int) -> None:
    meter = Meter(plan(energy=0.5), silent={silent})
    meter.run(30)
    measured = [snapshot.at for snapshot in meter.results if isinstance(snapshot, Snapshot)]
    assert max(later - earlier for earlier, later in pairwise(measured)) < 1.4
    assert len([1 for _, wanted in meter.reads if wanted.start == silent]) > 5
    others = {"device", "energy", "gaps", "sunspec"} - {{512: "energy", 100: "gaps", 40000: "sunspec"}[silent]}
    assert others <= {block.name for block in meter.results if isinstance(block, BlockRead)}


def _serial(text: str) -> dict[int, int]:
    raw = text.encode().ljust(32, b"\0")
    return {8228 + i: int.from_bytes(raw[2 * i : 2 * i + 2], "big") for i in range(16)}


def test_with_a_serial_number_in_the_settings_another_meter_is_refused_until_the_right_one_answers() -> None:
    made = PollPlan(live=0.25, energy=10, device=10, sunspec=10, serial="71234567")
    made.connected()
    meter = Meter(made)
    for serial in ("79999999", ""):
        meter.more = _serial(serial)
        meter.run(10)
        assert meter.results == []
        assert {wanted for _, wanted in meter.reads} == {DEVICE}
        assert made.is_unconfirmed
        assert made.foreign is not None
        assert "serial" in made.foreign
        assert "7123456" not in made.foreign
    meter.more = _serial("71234567")
    meter.run(5)
    assert meter.blocks("energy")
    assert not made.is_unconfirmed


def test_of_a_meter_that_takes_the_place_of_another_all_blocks_are_read_anew_at_once() -> None:
    meter = Meter(plan(energy=30, device=2, sunspec=30))
    meter.plan.live.wanted = False
    meter.more = _serial("71234567")
    meter.run(3)
    meter.results.clear()
    meter.more = _serial("79999999")
    meter.run(5)
    assert len(meter.blocks("energy")) == len(meter.blocks("sunspec")) == 1


def test_blocks_that_were_read_before_a_device_refused_to_tell_who_it_is_are_never_given_out() -> None:
    meter = Meter(plan(sunspec=1e9))
    meter.run(3.0)
    meter.refused[DEVICE.start] = 4
    meter.run(12.0)
    counted = len(meter.results)
    del meter.refused[DEVICE.start]
    meter.plan.live.wanted = False
    meter.run(0.03 + max(0.0, meter.plan.wait(meter.now)))
    late = [one for one in meter.results[counted:] if isinstance(one, BlockRead) and one.name == "energy"]
    assert all(meter.now - one.at < 2.0 for one in late)
