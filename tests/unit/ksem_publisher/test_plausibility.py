import pytest

from ksem_contract.blocks import DEVICE
from ksem_publisher.plausibility import CountersCheck, LiveChecks, counters_backwards, foreign_device

from .model_meter import live_words


def registers(cycle: int = 1, **changes: int) -> tuple[int, ...]:
    made = live_words(cycle, (100, 200, -50))
    for start in (62, 102, 142):
        made[start : start + 2] = [230_000 >> 16, 230_000 & 0xFFFF]
    for name, value in changes.items():
        made[int(name.removeprefix("w"))] = value
    return tuple(made)


def checks(*, plausible: bool = True, frozen_after: float = 10.0) -> LiveChecks:
    return LiveChecks(plausible=plausible, frozen_after=frozen_after)


@pytest.mark.parametrize(
    ("mhz", "refused"), [(0, True), (39_999, True), (40_000, False), (65_000, False), (0xFFFF, False)]
)
@pytest.mark.promise(2)
def test_a_frequency_no_grid_has_is_refused(mhz: int, refused: bool) -> None:
    anomaly = checks().rejection(registers(w26=0, w27=mhz), 0.0)
    assert (anomaly is not None and anomaly.name == "frequency") is refused


def test_a_frequency_above_70_hz_is_refused() -> None:
    assert checks().rejection(registers(w26=1, w27=4500), 0.0) is not None


def test_switched_off_nothing_is_refused() -> None:
    off = checks(plausible=False, frozen_after=0)
    assert all(off.rejection(registers(w26=0, w27=0), at / 5) is None for at in range(200))


@pytest.mark.promise(1)
def test_measured_words_unchanged_for_ten_seconds_of_cycles_are_a_frozen_meter() -> None:
    judge = checks()
    verdicts = [judge.rejection(registers(w30=at), at / 5) for at in range(60)]  # register 30 is measured by nobody
    assert all(verdict is None for verdict in verdicts[:50])
    assert all(verdict is not None and verdict.name == "frozen" for verdict in verdicts[50:])
    assert judge.rejection(registers(2), 12.0) is None


def test_what_stood_still_when_pushed_is_frozen_when_polled_too() -> None:
    pushed, polled = checks(), checks()
    pushed.other_source, polled.other_source = polled, pushed
    verdicts = [pushed.rejection(registers(), at / 5) for at in range(51)]
    assert verdicts[-1] is not None
    gaps = {f"w{address}": None for address in range(8, 16)}
    assert polled.rejection(registers(**gaps), 10.5) is not None  # type: ignore[arg-type]
    assert polled.rejection(registers(2), 10.7) is None


def test_a_pause_without_cycles_does_not_count_as_frozen() -> None:
    judge = checks()
    assert judge.rejection(registers(), 0.0) is None
    assert judge.rejection(registers(), 100.0) is None


@pytest.mark.parametrize(
    ("name", "strange"),
    [
        ("phases", lambda at: registers(w1=9000 + at)),
        ("no-value", lambda at: registers(w40=0xFFFF, w41=0xFFFF, w1=2500 + at)),
        ("no-value", lambda at: registers(w102=0x8000, w103=0, w1=2500 + at)),
        ("power-l2", lambda at: registers(w80=0x4000, w81=at)),
        ("voltage-l2", lambda _: registers(w102=0, w103=90)),
    ],
)
def test_other_strange_things_are_remarked_upon_after_three_cycles_and_never_block(name: str, strange: object) -> None:
    judge = checks()
    assert callable(strange)
    for at in range(9):
        assert judge.rejection(strange(at), at / 5) is None
    assert name in [anomaly.name for anomaly in judge.anomalies]
    judge.rejection(registers(7), 1.8)
    assert judge.anomalies == ()


def test_what_is_strange_for_less_than_three_cycles_is_no_news() -> None:
    judge = checks()
    for at in range(30):
        judge.rejection(registers(w1=9000 + at) if at in (10, 11) else registers(at), at / 5)
        assert judge.anomalies == ()


@pytest.mark.promise(8)
def test_a_counter_that_goes_back_is_remarked_upon() -> None:
    before, after = [0] * 280, [0] * 280
    before[0:4], after[0:4] = [0, 0, 1, 0], [0, 0, 0, 0xFFFF]
    anomaly = counters_backwards(tuple(before), tuple(after))
    assert anomaly is not None
    assert "512" in anomaly.reason.text
    assert counters_backwards(tuple(after), tuple(before)) is None


def test_a_word_between_the_counters_may_go_down() -> None:
    before = [0] * 280
    before[528 - 512] = 7
    assert counters_backwards(tuple(before), (0,) * 280) is None


@pytest.mark.parametrize("start", [0, 2])
@pytest.mark.parametrize("high_low", [(0xFFFF, 0xFFFF), (0x8000, 0), (0x0098, 0x9681)])
def test_no_value_or_more_than_a_megawatt_in_the_total_is_refused(start: int, high_low: tuple[int, int]) -> None:
    checks = LiveChecks(plausible=True, frozen_after=0)
    broken = registers(**{f"w{start}": high_low[0], f"w{start + 1}": high_low[1]})
    anomaly = checks.rejection(broken, 1.0)
    assert anomaly is not None
    assert f"registers {start} to {start + 1}" in anomaly.reason.text
    assert checks.rejection(registers(), 2.0) is None


def test_a_counter_that_went_back_is_told_for_a_minute_however_often_counters_are_read() -> None:
    check = CountersCheck()
    reported = []
    for tenth in range(0, 1000, 4):
        counted = 1000 + tenth if tenth < 200 else tenth
        check.look((0, 0, 0, counted) * 70, tenth / 10)
        if check.anomaly is not None:
            reported.append(tenth / 10)
    assert (reported[0], reported[-1]) == (20.0, 79.6)
    assert len(reported) == 150


def device(**changes: int) -> list[int]:
    made = [0] * DEVICE.count
    made[8244 - 8192] = 200
    for name, value in changes.items():
        made[int(name.removeprefix("w")) - 8192] = value
    return made


@pytest.mark.parametrize(
    ("found", "foreign"),
    [
        (device(), False),
        (device(w8244=500), False),
        (device(w8196=0x4B4F, w8197=0x5354, w8198=0x414C), False),
        (device(w8246=0x018B, w8247=0xCFE5, w8248=0x6800), False),
        (device(w8244=0), True),
        (device(w8244=0xFFFF), True),
        (device(w8196=0x4587, w8197=0x3333), True),
        (device(w8196=0xFFFF, w8212=0xFFFF), False),
        (device(w8196=0x4BD6, w8197=0x0A0A), False),
        (device(w8248=5000), False),
        (device(w8245=0x4587), False),
    ],
)
@pytest.mark.promise(2)
def test_a_device_is_known_by_its_interval_and_its_texts_not_by_its_clock(found: list[int], foreign: bool) -> None:
    assert (foreign_device(found) is not None) is foreign
