"""A wrong verdict of the oracle is a defect: what it must find, and what it must let pass."""

import struct
from collections.abc import Callable

import pytest

from modbus_codec.crc import append_crc
from simulation.bus import US, Line, Transmission
from simulation.oracle import BACK_WITHIN, LINES_A_MINUTE, Oracle
from simulation.truth import Truth
from simulation.world import World


class Stage:
    """A line without services: the test says what is on it."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.world = World("1")
        self.line = Line(self.world)
        self.truth = Truth()
        self.oracle = Oracle(self.world, self.line, self.truth)
        if not quiet:
            self.oracle.fault_begins("a test")
        self.cycle()

    def cycle(self, *, void: bool = False) -> tuple[int, ...]:
        return self.truth.measure(self.world.now, void=void)

    def wait(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    def ask(self, start: int = 0, count: int = 28, unit: int = 1) -> None:
        frame = append_crc(struct.pack(">BBHH", unit, 3, start, count))
        self.line.send("inverter", frame)
        self.wait(8 * self.line.character)

    def reply(self, words: tuple[int, ...], after: float = 0.002, unit: int = 1) -> None:
        self.send(struct.pack(f">BBB{len(words)}H", unit, 3, 2 * len(words), *words), after)

    def send(self, frame: bytes, after: float = 0.002, *, crc: bool = True) -> Transmission:
        self.wait(after)
        data = append_crc(frame) if crc else frame
        sent = self.line.send(US, data, decided=self.world.now)
        self.wait(len(data) * self.line.character)
        return sent

    def noise(self, data: bytes, *, seen: bool = True) -> None:
        sent = self.line.send("noise", data)
        self.wait(len(data) * self.line.character)
        if seen:
            sent.seen = self.world.now

    def exchange(self) -> None:
        self.ask()
        self.reply(self.cycle()[:28])

    @property
    def broken(self) -> list[int]:
        return [violation.promise for violation in self.oracle.violations]


def test_a_whole_young_answer_in_time_is_data() -> None:
    stage = Stage(quiet=True)
    for _ in range(20):
        stage.exchange()
        stage.wait(0.1)
    assert not stage.broken
    assert stage.oracle.counts["data"] == 20


def test_an_answer_before_t35_or_after_the_stall_limit_breaks_promise_4() -> None:
    for after, broken in ((0.0017, [4]), (0.0018, []), (0.099, []), (0.12, [4])):
        stage = Stage()
        stage.ask()
        stage.reply(stage.truth.live[-1][1][:28], after)
        assert stage.broken == broken, after


def test_an_adapter_s_grain_is_no_fault_of_ours() -> None:
    stage = Stage()
    stage.oracle._grain = 0.016
    stage.ask()
    stage.reply(stage.truth.live[-1][1][:28], 0.115)
    assert not stage.broken


def test_an_answer_that_follows_other_characters_breaks_promise_4() -> None:
    stage = Stage()
    stage.ask()
    stage.wait(0.002)
    stage.noise(b"\1\2\3")
    stage.reply(stage.truth.live[-1][1][:28])
    assert stage.broken == [4]


def test_characters_that_no_adapter_had_handed_over_excuse_us() -> None:
    stage = Stage()
    stage.ask()
    stage.wait(0.002)
    stage.noise(b"\1\2\3", seen=False)
    stage.reply(stage.truth.live[-1][1][:28])
    assert not stage.broken


def test_a_glitch_behind_a_request_is_let_pass_if_t35_follows_it() -> None:
    for after, broken in ((0.001, [4]), (0.002, [])):
        stage = Stage()
        stage.ask()
        stage.noise(b"\xff")
        stage.reply(stage.truth.live[-1][1][:28], after)
        assert stage.broken == broken


@pytest.mark.parametrize("unit", [2, 0])
def test_an_answer_for_another_unit_breaks_promise_4(unit: int) -> None:
    stage = Stage()
    stage.ask(unit=unit)
    stage.reply(stage.truth.live[-1][1][:28], unit=unit)
    assert stage.broken == [4]


def test_an_answer_to_a_damaged_request_breaks_promise_4() -> None:
    stage = Stage()
    frame = bytearray(append_crc(struct.pack(">BBHH", 1, 3, 0, 28)))
    frame[3] ^= 1
    stage.line.send("inverter", bytes(frame))
    stage.wait(8 * stage.line.character)
    stage.reply(stage.truth.live[-1][1][:28])
    assert stage.broken == [4]


def test_two_answers_to_one_request_break_promise_4() -> None:
    stage = Stage()
    stage.exchange()
    stage.reply(stage.truth.live[-1][1][:28])
    assert stage.broken == [4]


def test_an_answer_to_the_request_before_breaks_promise_4() -> None:
    stage = Stage()
    stage.ask()
    stage.wait(0.05)
    stage.ask(40, 106)
    stage.reply(stage.truth.live[-1][1][:28])
    assert stage.broken == [4]


def test_a_broken_frame_and_one_with_a_byte_more_break_promise_4() -> None:
    for frame, crc in ((b"\1\3\2\0", True), (b"\1\3", False), (b"\1\x83\4\0", True), (b"\1\4\2\0\0", True)):
        stage = Stage()
        stage.ask(8244, 1)
        stage.send(frame, crc=crc)
        assert stage.broken == [4], frame


def test_a_collision_on_the_line_does_not_change_what_we_are_judged_by() -> None:
    stage = Stage()
    stage.ask()
    stage.wait(0.002)
    stage.line.send("noise", bytes(100))
    words = stage.truth.live[-1][1][:28]
    stage.reply(words, 0.0)
    assert not stage.broken
    assert stage.oracle.counts["data"] == 1


def test_old_data_breaks_promise_1_and_a_guest_pause_pardons_one_answer_alone() -> None:
    stage = Stage()
    words = stage.cycle()[:28]
    stage.oracle.guest_paused()
    for _ in range(2):
        stage.ask()
        stage.wait(1.5)
    stage.oracle.guest_goes_on(stage.world.now)
    stage.ask()
    stage.reply(words)
    assert not stage.broken
    stage.ask()
    stage.reply(words)
    assert stage.broken == [1]


@pytest.mark.parametrize(("requests", "hidden"), [(1, False), (3, True)])
def test_while_nothing_on_the_host_shows_a_guest_pause_old_answers_are_pardoned_for_the_limit(
    requests: int, hidden: bool
) -> None:
    stage = Stage()
    words = stage.cycle()[:28]
    stage.oracle.guest_paused()
    for _ in range(requests):
        stage.ask()
        stage.wait(1.0)
    stage.oracle.guest_goes_on(stage.world.now, hidden=hidden)
    stage.wait(0.6)
    for _ in range(3):
        stage.ask()
        stage.reply(words)
    assert not stage.broken
    stage.wait(1.0)
    for _ in range(2):
        stage.ask()
        stage.reply(words)
    assert stage.broken == [1]


@pytest.mark.parametrize(("silent", "broken"), [(0.3, []), (1.5, [5])])
def test_the_echo_that_finds_a_guest_pause_costs_a_cycle_and_no_more(silent: float, broken: list[int]) -> None:
    stage = Stage(quiet=True)
    stage.oracle.guest_paused()
    stage.oracle.guest_goes_on(stage.world.now)
    for _ in range(65):
        stage.exchange()
        stage.wait(0.1)
    stage.wait(silent)
    stage.ask()
    stage.send(bytes((1, 0x83, 4)))
    stage.exchange()
    assert stage.broken == broken


def test_a_status_that_a_broker_lost_in_its_restart_is_nobody_s() -> None:
    for held, broken in ((False, []), (True, [7])):
        stage = Stage(quiet=True)
        stage.exchange()
        stage.oracle.status("ksem/rtu/node/status", b"online")
        stage.oracle.broker(up=False)
        stage.oracle.broker(up=True)
        if held:
            stage.oracle.status("ksem/rtu/node/status", b"online", inherited=True)
        stage.wait(20.0)
        stage.oracle.tick()
        assert stage.broken == broken


def test_the_limit_is_the_limit() -> None:
    for age, broken in ((1.4, []), (1.7, [1])):
        stage = Stage()
        words = stage.cycle()[:28]
        stage.wait(age)
        stage.ask()
        stage.reply(words)
        assert stage.broken == broken


def test_a_mix_breaks_promise_3_and_foreign_or_void_words_promise_2() -> None:
    def torn(stage: Stage) -> tuple[int, ...]:
        old = stage.truth.live[-1][1]
        return old[:10] + stage.cycle()[10:28]

    def void(stage: Stage) -> tuple[int, ...]:
        return stage.cycle(void=True)[:28]

    cases: list[tuple[Callable[[Stage], tuple[int, ...]], int]] = [
        (torn, 3),
        (void, 2),
        (lambda _: tuple(range(28)), 2),
        (lambda _: (0,) * 28, 2),
    ]
    for make, promise in cases:
        stage = Stage()
        words = make(stage)
        stage.ask()
        stage.reply(words)
        assert stage.broken == [promise]


def test_no_data_within_five_seconds_after_the_last_fault_breaks_promise_5() -> None:
    for wait, broken in ((BACK_WITHIN - 0.5, []), (BACK_WITHIN + 0.5, [5])):
        for frame in (b"\1\x83\4", None):
            stage = Stage()
            stage.oracle.fault_ends("a test")
            stage.wait(wait)
            stage.ask()
            if frame:
                stage.send(frame)
            stage.wait(0.1)
            stage.ask()
            assert stage.broken == broken
            assert stage.oracle.counts["refused" if frame else "silent"] == 1


def test_while_a_fault_lasts_nothing_is_owed() -> None:
    stage = Stage()
    for _ in range(100):
        stage.ask()
        stage.wait(0.15)
    assert not stage.broken


def test_online_without_data_for_three_seconds_breaks_promise_7() -> None:
    stage = Stage()
    stage.exchange()
    stage.oracle.status("ksem/rtu/node/status", b"online")
    for _ in range(26):
        stage.ask()
        stage.send(b"\1\x83\4")
        stage.wait(0.1)
        stage.oracle.tick()
    assert not stage.broken
    for _ in range(9):
        stage.ask()
        stage.wait(0.1)
        stage.oracle.tick()
    assert stage.broken == [7]


def test_online_with_an_inverter_that_does_not_ask_breaks_promise_7_after_eight_seconds() -> None:
    stage = Stage()
    stage.exchange()
    stage.oracle.status("ksem/rtu/node/status", b"online")
    for _ in range(15):
        stage.wait(0.5)
        stage.oracle.tick()
    assert not stage.broken
    stage.wait(1.0)
    stage.oracle.tick()
    assert stage.broken == [7]


def test_an_inverter_that_stops_asking_while_it_is_refused_is_told_by_its_silence_alone() -> None:
    stage = Stage()
    stage.exchange()
    stage.ask()
    stage.send(b"\1\x83\4")
    stage.oracle.status("ksem/rtu/node/status", b"online")
    for _ in range(15):
        stage.wait(0.5)
        stage.oracle.tick()
    assert not stage.broken
    stage.wait(1.5)
    stage.oracle.tick()
    assert stage.broken == [7]


def test_while_the_broker_is_down_or_stands_no_status_is_owed() -> None:
    for down in (True, False):
        stage = Stage()
        stage.exchange()
        stage.oracle.status("ksem/rtu/node/status", b"online")
        stage.oracle.broker(up=not down)
        for _ in range(60):
            stage.ask()
            stage.wait(0.4)
            if not down:
                stage.oracle.broker_stands()
            stage.oracle.tick()
        assert not stage.broken


def test_offline_while_data_flows_without_a_fault_breaks_promise_7() -> None:
    stage = Stage(quiet=True)
    stage.oracle.status("ksem/rtu/node/status", b"offline")
    for _ in range(130):
        stage.exchange()
        stage.wait(0.1)
        stage.oracle.tick()
    assert stage.broken == [7]


def test_a_log_that_talks_and_memory_that_grows_are_told() -> None:
    stage = Stage(quiet=True)
    for _ in range(LINES_A_MINUTE + 12):
        stage.oracle.log_line("a line")
    assert not stage.broken
    stage.oracle.log_line("one too many")
    stage.oracle.size("sessions", 4, 4)
    stage.oracle.size("sessions", 5, 4)
    assert stage.broken == [9, 10]


def test_the_same_broken_promise_is_told_once() -> None:
    stage = Stage()
    for _ in range(10):
        stage.ask()
        stage.reply((0,) * 28)
    assert stage.broken == [2]


def test_a_live_cycle_of_after_a_guest_pause_ends_the_pardon_and_one_that_came_meanwhile_does_not() -> None:
    for late, broken in ((False, []), (True, [1])):
        stage = Stage()
        words = stage.cycle()[:28]
        stage.oracle.guest_paused()
        stage.wait(3.0)
        meanwhile = stage.cycle()
        stage.wait(0.1)
        stage.oracle.guest_goes_on(stage.world.now, hidden=True)
        stage.wait(0.01)
        stage.oracle.live_reached(stage.cycle() if late else meanwhile)
        for _ in range(3):
            stage.ask()
            stage.reply(words)
        assert stage.broken == broken


@pytest.mark.parametrize(("node", "broken"), [(True, []), (False, [4])])
def test_a_late_answer_is_pardoned_after_a_pause_of_the_node_s_guest_alone(node: bool, broken: list[int]) -> None:
    stage = Stage()
    stage.oracle.guest_paused(node=node)
    stage.ask()
    stage.wait(0.2)
    stage.oracle.guest_goes_on(stage.world.now)
    stage.reply(stage.cycle()[:28])
    assert stage.broken == broken


def test_no_pause_pardons_an_answer_before_t35() -> None:
    stage = Stage()
    stage.oracle.guest_paused()
    stage.ask()
    stage.oracle.guest_goes_on(stage.world.now)
    stage.reply(stage.truth.live[-1][1][:28], 0.0017)
    assert stage.broken == [4]


def test_the_echo_that_finds_a_guest_pause_costs_one_gap_and_no_second_one() -> None:
    stage = Stage(quiet=True)
    stage.oracle.guest_paused()
    stage.oracle.guest_goes_on(stage.world.now)
    for gap in range(2):
        for _ in range(60 - 50 * gap):
            stage.exchange()
            stage.wait(0.1)
        assert not stage.broken
        for _ in range(3):
            stage.ask()
            stage.send(bytes((1, 0x83, 4)))
    stage.exchange()
    assert stage.broken == [5]


def test_a_block_that_is_older_than_the_one_published_before_breaks_promise_2() -> None:
    def block(name: str, session: str, boot_ms: int, age_ms: int) -> bytes:
        stamps = f'"session":"{session}","seq":1,"boot_ms":{boot_ms},"age_ms":{age_ms}'
        return f'{{"v":1,"meter":"main","block":"{name}","start":0,{stamps},"cycle_ms":200}}'.encode()

    stage = Stage()
    for payload in (
        block("device", "one", 500, 9000),
        block("energy", "one", 1000, 10),
        block("energy", "one", 1500, 511),
        block("energy", "two", 500, 0),
        block("live", "one", 900, 10),
        block("energy", "one", 1000, 10),
    ):
        stage.oracle.published(payload)
    assert not stage.broken
    stage.oracle.published(block("energy", "one", 1600, 613))
    assert stage.broken == [2]


@pytest.mark.parametrize(("between", "broken"), [(0.1, [7]), (2.5, [])])
def test_where_requests_come_seldom_a_status_may_be_later_by_the_time_between_two(
    between: float, broken: list[int]
) -> None:
    stage = Stage()
    for _ in range(4):
        stage.exchange()
        stage.wait(between)
    stage.oracle.status("ksem/rtu/node/status", b"online")
    for _ in range(40):
        if stage.world.now - stage.oracle._last_requested >= between:
            stage.ask()
        stage.wait(0.1)
        stage.oracle.tick()
    assert stage.broken == broken
