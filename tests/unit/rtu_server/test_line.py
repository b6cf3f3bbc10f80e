"""All decisions about a line, in virtual time: random traffic, adapters and halts, and an oracle for each answer."""

import random
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import pytest

from modbus_codec.crc import append_crc
from modbus_codec.rtu import GLITCH
from rtu_server.counters import LineCounters, UnitCounters
from rtu_server.line import STALL, LineCore, Timing
from rtu_server.reply_cache import Answer
from rtu_server.responder import Responder

GAP, QUIET, CHARACTER = 0.00175, 0.025, 11 / 38400
USUAL: Final = Timing(GAP, QUIET, CHARACTER)
TOTALS = append_crc(bytes.fromhex("01 03 00 00 00 1c"))
PHASES = append_crc(bytes.fromhex("01 03 00 28 00 6a"))
UNKNOWN = append_crc(bytes.fromhex("01 42"))
REQUESTS: Final = (TOTALS, PHASES, UNKNOWN)


class Echo(Responder):
    """Answers each request with its own bytes behind a zero, so that the oracle knows what was answered."""

    def __init__(self) -> None:
        super().__init__({})

    def serves(self, unit: int) -> bool:
        return unit == 1

    def answer(self, request: bytes, now: float) -> Answer:
        return Answer(b"\0" + request, "data")


@dataclass
class Segment:
    """A run of bytes on the wire, without a silence in it."""

    data: bytes
    begin: float
    is_request: bool = False
    is_glitch: bool = False
    character: float = CHARACTER

    @property
    def end(self) -> float:
        return self.begin + len(self.data) * self.character


@dataclass
class Scene:
    """What comes on the wire, when the adapter hands it over, and when this process or its host stands still."""

    segments: list[Segment]
    arrivals: list[tuple[float, int, Segment]] = field(default_factory=list)
    """When the kernel has a byte, the byte, and where it belongs."""

    def deliver(self, grain: float, host_halts: list[tuple[float, float]]) -> None:
        for segment in self.segments:
            for place, byte in enumerate(segment.data, 1):
                at = segment.begin + place * segment.character
                if grain:
                    at = grain * int(at / grain + 1)
                for begin, end in host_halts:
                    if begin <= at < end:
                        at = end
                self.arrivals.append((at, byte, segment))
        self.arrivals.sort(key=lambda arrival: arrival[0])


class Driver:
    """Does what the line's thread does, in virtual time: each step takes some microseconds, or a halt."""

    def __init__(self, core: LineCore, scene: Scene, halts: list[tuple[float, float]], *, opened: float = 0.0) -> None:
        self.core, self.scene, self.now = core, scene, opened
        self._halts = halts
        self._next = next((i for i, each in enumerate(scene.arrivals) if each[0] > opened), len(scene.arrivals))
        self.answers: list[tuple[float, bytes]] = []
        core.opened(opened)

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        for begin, end in self._halts:
            if begin <= self.now < end:
                self.now = end

    def _waiting(self, now: float) -> int:
        count, arrivals = self._next, self.scene.arrivals
        while count < len(arrivals) and arrivals[count][0] <= now:
            count += 1
        return count - self._next

    def _sleep(self) -> None:
        due = self.core.due_at
        at = self.core.next_event_at() if due is None else due
        if self.core.is_at_rest and self._next + 7 < len(self.scene.arrivals):
            at = min(at, self.scene.arrivals[self._next + 7][0])
        self._pass(max(0.0, at - self.now) + 2e-6)

    def run_until(self, end: float) -> None:
        while self.now < end:
            self._sleep()
            before = self.now
            self._pass(1e-6)
            count = self._waiting(self.now)
            data = bytes(byte for _, byte, _ in self.scene.arrivals[self._next : self._next + count])
            self._next += count
            self._pass(1e-6)
            if not self.core.receive(data, before, self.now):
                self._next += self._waiting(self.now)
            if self.core.unconfirmed:
                self.core.sent(self.core.unconfirmed, self.now)
            if answer := self.core.due(self.now):
                self.answers.append((self.now, answer[1:]))


def new_core(timing: Timing = USUAL) -> LineCore:
    return LineCore(timing, Echo(), LineCounters({1: UnitCounters()}))


def foreign_reply(chance: random.Random) -> bytes:
    inside = chance.choice(REQUESTS) * chance.randint(1, 5)
    inside = chance.randbytes(2 * chance.randint(0, 3)) + inside + bytes(len(inside) % 2)
    return append_crc(bytes((2, 3, len(inside))) + inside)


def traffic(chance: random.Random, seconds: float) -> list[Segment]:
    """Frames and noise with silences that an oracle can judge: what follows a broken frame at once is not for us."""
    segments: list[Segment] = []
    at = chance.uniform(0.0, 0.01)

    def send(data: bytes, gap: float, *, request: bool = False, glitch: bool = False) -> None:
        nonlocal at
        segments.append(Segment(data, at + gap, request, glitch))
        at = segments[-1].end

    while at < seconds:
        gap = chance.choice((0.0, 0.001, 0.003, 0.01, 0.03, 0.05, 0.09, 0.16)) * chance.uniform(0.5, 1.5)
        kind = chance.random()
        if kind < 0.5:
            send(chance.choice(REQUESTS), gap, request=True)
            if chance.random() < 0.2:
                send(chance.choice((b"\0", b"\xff", b"\xff\x7f")), 0.0, glitch=True)
        elif kind < 0.75:
            if chance.random() < 0.5:
                send(append_crc(bytes.fromhex("02 03 00 00 00 04")), gap)
                gap = chance.uniform(0.002, 0.008)
            reply = foreign_reply(chance)
            damage = chance.random()
            if damage < 0.2:
                reply = reply[:1] + bytes((reply[1] ^ 0x10,)) + reply[2:]
            send(reply, gap)
        elif kind < 0.9:
            noise = chance.randbytes(chance.choice((1, 2, 3, 5, 12, 40)))
            send(noise, gap, glitch=len(noise) <= GLITCH)
        else:
            at += gap
    return segments


def halts_of(chance: random.Random, seconds: float) -> list[tuple[float, float]]:
    halts, at = [], 0.0
    while (at := at + chance.uniform(0.0, 0.4)) < seconds:
        length = chance.choice((0.0005, 0.002, 0.02, 0.06, 0.093, 0.093, 0.3))
        halts.append((at, at + length))
        at += length + chance.choice((0.000003, 0.00001, 0.002, 0.2))
    return halts


def check(scene: Scene, answers: list[tuple[float, bytes]]) -> None:
    """Each answer is to the newest request, in time, once, with nothing but a glitch since."""
    answered: list[int] = []
    for at, request in answers:
        known = [arrival for arrival in scene.arrivals if arrival[0] <= at]
        while known and known[-1][2].is_glitch:
            known.pop()
        last = known[-1][2]
        assert last.is_request, f"{at:.6f}: answered {request.hex(' ')} behind {last}"
        # Zeros behind a frame leave its CRC valid: where its function has no known length, they are a part of it.
        assert request.rstrip(b"\0") == last.data.rstrip(b"\0"), (
            f"{at:.6f}: answered {request.hex(' ')}, asked was {last}"
        )
        newest = max(arrival[0] for arrival in scene.arrivals if arrival[0] <= at)
        assert at - newest >= GAP, f"{at:.6f}: answered {at - newest:.6f} s after the last byte"
        received = max(arrival[0] for arrival in scene.arrivals if arrival[2] is last)
        assert at - received <= STALL, f"{at:.6f}: answered {at - received:.6f} s after {last}"
        answered.append(id(last))
    assert len(set(answered)) == len(answered)


@pytest.mark.parametrize("seed", range(400))
def test_each_answer_is_to_the_newest_request_in_time_whatever_the_traffic_and_the_halts(seed: int) -> None:
    chance = random.Random(seed)
    scene = Scene(traffic(chance, 5.0))
    halts = halts_of(chance, 5.0) if seed % 4 else []
    scene.deliver(chance.choice((0.0, 0.0, 0.001, 0.004, 0.016)), halts if seed % 3 == 0 else [])
    driver = Driver(new_core(), scene, halts, opened=chance.choice((0.0, chance.uniform(0.0, 1.0))))
    driver.run_until(6.0)
    check(scene, driver.answers)


@pytest.mark.parametrize("seed", range(20))
def test_every_request_with_silences_around_it_is_answered(seed: int) -> None:
    chance = random.Random(seed)
    segments, at = [], 0.1
    for _ in range(40):
        segments.append(Segment(chance.choice(REQUESTS), at, is_request=True))
        at = segments[-1].end + chance.uniform(0.1, 0.2)
    scene = Scene(segments)
    scene.deliver(chance.choice((0.0, 0.001, 0.016)), [])
    driver = Driver(new_core(), scene, [])
    driver.run_until(at + 1.0)
    check(scene, driver.answers)
    assert [request for _, request in driver.answers] == [segment.data for segment in segments]


def answers_to(
    *segments: tuple[float, bytes],
    halts: tuple[tuple[float, float], ...] = (),
    opened: float = 0.0,
    timing: Timing = USUAL,
) -> list[tuple[float, bytes]]:
    scene = Scene([Segment(data, begin, is_request=True, character=timing.character) for begin, data in segments])
    scene.deliver(0.0, [])
    driver = Driver(new_core(timing), scene, list(halts), opened=opened)
    driver.run_until(segments[-1][0] + 1.0)
    return driver.answers


def test_a_request_behind_noise_is_not_answered_late_behind_newer_bytes() -> None:
    noise, request = (1.0, b"\x38\x39\x40"), (1.0 + 3 * CHARACTER, TOTALS)
    end = request[0] + 8 * CHARACTER
    assert [answer for _, answer in answers_to(noise, request)] == [TOTALS]
    for length in (0.02, 0.03, 0.06, 0.099):
        halt = (end + 0.0005, end + 0.0005 + length)
        assert answers_to(noise, request, (end + 0.015, append_crc(b"\2\x83\2")), halts=(halt,)) == []


def test_a_request_found_after_two_halts_in_a_row_is_not_answered() -> None:
    for halts in (((0.999, 1.092), (1.092001, 1.185)), ((0.95, 1.04), (1.040002, 1.12))):
        assert answers_to((1.0, TOTALS), halts=halts) == []
        assert answers_to((1.0, UNKNOWN), halts=halts) == []


def test_a_request_of_fewer_than_8_bytes_is_answered_after_its_silence_or_not_at_all() -> None:
    end = 1.0 + 4 * CHARACTER
    ((at, answer),) = answers_to((1.0, UNKNOWN))
    assert answer == UNKNOWN
    assert QUIET <= at - end <= STALL
    for length in (0.03, 0.06, 0.093):
        assert all(at - end <= STALL for at, _ in answers_to((1.0, UNKNOWN), halts=((end, end + length),)))


MIDDLE: Final = TOTALS + b"\x12\x34"
"""The end of another unit's reply whose registers end with a request to us."""


def test_the_middle_of_another_units_reply_is_not_answered_after_opening() -> None:
    head = append_crc(b"\2\3\x08" + TOTALS)[:3]
    assert answers_to((1.0, head), (1.0 + 3 * CHARACTER, MIDDLE), opened=1.0 + 3.5 * CHARACTER) == []
    assert answers_to((1.0, MIDDLE), (1.5, PHASES), opened=0.999)[0][1] == PHASES


def test_the_middle_of_another_units_reply_is_not_answered_after_a_stall() -> None:
    head = append_crc(b"\2\3\x08" + TOTALS)[:3]
    halt = (0.8, 1.0 + 3.9 * CHARACTER)
    assert answers_to((1.0, head), (1.0 + 3 * CHARACTER, b"\0" + MIDDLE), halts=(halt,)) == []


def test_a_halt_in_the_middle_of_another_units_reply_is_no_silence() -> None:
    reply = append_crc(b"\2\3\x08" + TOTALS)
    halt = (1.0 + 3.5 * CHARACTER, 1.0 + 3.5 * CHARACTER + 0.06)
    # Noise first, so that the thread looks often and reads the head by itself.
    assert answers_to((0.999, b"\xff"), (1.0, reply), halts=(halt,)) == []


def test_what_an_adapter_hands_over_right_after_a_stall_may_be_old_and_is_not_answered() -> None:
    assert answers_to((0.998, TOTALS), halts=((0.8, 0.999),)) == []
    assert answers_to((1.0, TOTALS), halts=((0.8, 0.999),)) == []
    assert [answer for _, answer in answers_to((1.0, TOTALS), (1.2, PHASES), halts=((0.8, 0.999),))] == [PHASES]


def test_a_request_right_behind_one_may_be_a_part_of_something_longer() -> None:
    rest = TOTALS * 2 + b"\x12\x34"
    assert answers_to((1.0, TOTALS), (1.0 + 12 * CHARACTER, rest)) == []


@pytest.mark.parametrize("baudrate", [1200, 2400, 9600, 19200, 38400, 115200])
@pytest.mark.parametrize("bits", [10, 11])
def test_no_answer_begins_before_the_silence_of_a_frame_at_any_speed(baudrate: int, bits: int) -> None:
    character = bits / baudrate
    gap = 3.5 * character if baudrate <= 19200 else GAP
    timing = Timing(gap, max(0.002, gap), character)
    for data in (TOTALS, UNKNOWN, b"\xff" + TOTALS, b"\x38\x39\x40" + TOTALS):
        ((at, _),) = answers_to((1.0, data), timing=timing)
        assert gap <= at - (1.0 + len(data) * character) <= STALL


def test_an_answer_counts_once_it_has_left_the_port() -> None:
    core = new_core()
    core.opened(0.0)
    core.receive(b"", 0.03, 0.03)
    for begin in (0.05, 0.25):
        core.receive(TOTALS, begin, begin)
        assert core.receive(b"", begin + 0.002, begin + 0.002)
        assert core.due(begin + 0.002)
        assert core.sent(3, begin + 0.01)
        assert not core.given
        core.receive(b"", begin + 0.05, begin + 0.05)
        core.receive(b"", begin + 0.12, begin + 0.12)
        if begin < 0.2:
            assert core.sent(core.unconfirmed, begin + 0.02)
            assert core.given.popleft().answer.outcome == "data"
    assert not core.sent(3, 0.37)
    assert core.given.popleft().answer.outcome == "unsent"


def test_no_answer_is_written_behind_one_that_did_not_leave() -> None:
    core = new_core()
    core.opened(0.0)
    core.receive(b"", 0.03, 0.03)
    core.receive(TOTALS, 0.05, 0.05)
    core.receive(b"", 0.052, 0.052)
    assert core.due(0.052)
    core.receive(TOTALS, 0.055, 0.055)
    core.receive(b"", 0.057, 0.057)
    assert not core.sent(3, 0.057)
    assert core.due(0.057) == b""
    assert [given.answer.outcome for given in core.given] == ["unsent", "unsent"]


def test_arrivals_are_in_order() -> None:
    scene = Scene(traffic(random.Random(1), 2.0))
    scene.deliver(0.016, [(0.5, 0.7)])
    assert all(first[0] <= second[0] for first, second in pairwise(scene.arrivals))


class Doubts(Echo):
    """Notes when the host's clock is doubted."""

    def __init__(self) -> None:
        super().__init__()
        self.doubted: list[float] = []

    def doubt_clock(self, now: float) -> None:
        self.doubted.append(now)


def read_at_once(data: bytes, seconds: float) -> tuple[bool, list[float], bytes]:
    """What a core makes of bytes that it finds so long after its last look: taken, doubts, an answer."""
    responder = Doubts()
    core = LineCore(USUAL, responder, LineCounters({1: UnitCounters()}))
    core.opened(0.0)
    core.receive(b"", 0.05, 0.05)
    now = 0.05 + seconds
    taken = core.receive(data, now, now)
    core.receive(b"", now + 0.03, now + 0.03)
    return taken, responder.doubted, core.due(now + 0.03)


@pytest.mark.parametrize(("requests", "seconds"), [(2, 0.04), (2, 0.09), (5, 0.3)])
@pytest.mark.promise(1)
def test_requests_that_no_client_sends_so_fast_show_that_the_host_stood_still_uncounted(
    requests: int, seconds: float
) -> None:
    taken, doubted, answer = read_at_once(TOTALS * requests, seconds)
    assert (taken, doubted, answer) == (False, [0.05 + seconds], b"")


@pytest.mark.promise(1)
def test_more_bytes_than_the_line_carries_show_it_too() -> None:
    foreign = append_crc(bytes((2, 3, 200)) + bytes(200))
    taken, doubted, answer = read_at_once(2 * foreign + TOTALS, 0.04)
    assert (taken, len(doubted), answer) == (False, 1, b"")


def test_a_request_behind_traffic_that_the_line_can_carry_shows_nothing() -> None:
    foreign = append_crc(bytes((2, 3, 80)) + bytes(80))
    assert read_at_once(foreign + TOTALS, 0.05)[:2] == (True, [])
    assert read_at_once(TOTALS * 3, 0.3)[:2] == (False, []), "a halt that the clock has counted"


def test_requests_in_a_row_show_it_too_where_the_first_one_is_damaged() -> None:
    damaged = TOTALS[:1] + b"\x0b" + TOTALS[2:]
    taken, doubted, answer = read_at_once(damaged + 4 * TOTALS, 0.04)
    assert (taken, len(doubted), answer) == (False, 1, b"")


def test_what_a_uart_holds_at_1200_baud_shows_nothing() -> None:
    core = LineCore(Timing(0.0321, 0.11, 11 / 1200), Echo(), LineCounters({1: UnitCounters()}))
    core.opened(0.0)
    for at in (0.05, 0.1, 0.15, 0.2):
        core.receive(b"", at, at)
    assert core.receive(TOTALS, 0.2066, 0.2066), "eight characters of 9 ms each, handed over at once"
    core.receive(b"", 0.2388, 0.2388)
    assert core.due(0.2388) == b"\0" + TOTALS


SLOW: Final = Timing(0.016, 0.025, 11 / 2400)


class Long(Echo):
    """Answers a request for the phases with what takes 0.46 s of 2400 baud."""

    def answer(self, request: bytes, now: float) -> Answer:
        return Answer(bytes(100) if request == PHASES else b"\0" + request, "data")


def slow_core() -> LineCore:
    core = LineCore(SLOW, Long(), LineCounters({1: UnitCounters()}))
    core.opened(0.0)
    return core


def slow_answer(core: LineCore, begin: float) -> int:
    """A request of that time and the answer to it; its length."""
    core.receive(b"", begin - 0.001, begin - 0.001)
    core.receive(PHASES, begin, begin)
    core.receive(b"", begin + 0.027, begin + 0.027)
    return len(core.due(begin + 0.027))


def idle(core: LineCore, begin: float, until: float) -> None:
    for look in range(round((until - begin) / 0.04)):
        core.receive(b"", begin + 0.04 * look, begin + 0.04 * look)


def test_an_answer_that_has_not_begun_by_the_stall_limit_is_thrown_away_before_it_begins() -> None:
    core = slow_core()
    idle(core, 0.04, 0.5)
    assert slow_answer(core, 0.5) == 100
    assert core.sent(0, 0.59)
    assert not core.sent(0, 0.5 + STALL)
    assert core.given.popleft().answer.outcome == "unsent"


def test_a_port_that_reports_an_answer_once_all_has_left_is_given_the_time_for_it() -> None:
    core = slow_core()
    for begin in (0.5, 1.0):
        idle(core, begin - 0.4, begin)
        core.receive(TOTALS, begin, begin)
        core.receive(b"", begin + 0.027, begin + 0.027)
        assert core.due(begin + 0.027)
        for look in (0.032, 0.042, 0.052):
            assert core.sent(0, begin + look)
        assert core.sent(core.unconfirmed, begin + 0.07)
    idle(core, 1.1, 1.5)
    length = slow_answer(core, 1.5)
    assert core.sent(0, 1.5 + STALL + 0.1)
    assert core.sent(length, 1.8)
    assert [given.answer.outcome for given in core.given] == ["data"] * 3
