"""What one receiver gets, in virtual time: outages, nights, flapping links, and a receiver that is away."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from ksem_dashboard.faults import Fault
from ksem_dashboard.notification_text import Events, Message, compose, in_words
from ksem_dashboard.notifier import HOUR, LAST_RETRY, MOST_AN_HOUR, Notifier, Quiet, Rules, parse_quiet
from ksem_dashboard.outages import SETTLE, Condition, Outage, OutageWatch

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
FAULT = Fault("bad", "meter main", "The meter has stopped pushing.", "See its Modbus menu.", code="push-stopped")


@dataclass
class Owner:
    """One receiver and a meter, looked at each second. `is_down(t)`, `is_away(t)`: at second t of the test."""

    rules: Rules = field(default_factory=Rules)
    is_down: Callable[[float], bool] = lambda _t: False
    is_away: Callable[[float], bool] = lambda _t: False
    begin: datetime = NOON
    received: list[tuple[float, Message]] = field(default_factory=list)
    tried: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.notifier, self.watch = Notifier(self.rules), OutageWatch()
        self.t = 0.0

    @property
    def local(self) -> datetime:
        return self.begin + timedelta(seconds=self.t)

    def run(self, seconds: float) -> "Owner":
        end = self.t + seconds
        while self.t < end:
            self.t += 1
            self.step()
        return self

    def step(self) -> None:
        now, down = 5000 + self.t, self.is_down(self.t)
        found = {"broker": Condition(True), "meter main": Condition(not down, FAULT if down else None)}
        self.notifier.on_finished(self.watch.step(found, now, self.local.timestamp()))
        message = self.notifier.due(self.watch.current(), now, self.local)
        if message is None:
            return
        self.tried.append(self.t)
        if self.is_away(self.t):
            self.notifier.failed("nobody answers", now, self.local)
        else:
            self.notifier.delivered(now)
            self.received.append((self.t, message))

    def texts(self) -> list[str]:
        return [message.body for _, message in self.received]


def between(begin: float, end: float) -> Callable[[float], bool]:
    return lambda t: begin <= t < end


def most_in_an_hour(times: list[float]) -> int:
    return max((sum(at <= other < at + HOUR for other in times) for at in times), default=0)


def test_an_outage_is_reported_after_a_minute_and_again_when_it_is_over() -> None:
    owner = Owner(is_down=between(100, 400)).run(1000)
    (first, begun), (second, over) = owner.received
    assert 159 <= first <= 162
    assert 400 + SETTLE <= second <= 403 + SETTLE
    assert begun.title.endswith("no data")
    assert "Meter main: no data since 12:01" in begun.body
    assert "Reason: The meter has stopped pushing." in begun.body
    assert "What to do: See its Modbus menu." in begun.body
    assert "well again since 12:06. Before that no data for 5 min, from 12:01 on." in over.body
    assert "Reason: The meter has stopped pushing." in over.body


def test_an_outage_shorter_than_that_is_not_reported() -> None:
    assert Owner(is_down=between(100, 155)).run(1000).received == []


def test_it_is_repeated_only_where_the_settings_want_it() -> None:
    assert len(Owner(is_down=between(0, 40_000)).run(40_000).received) == 1
    owner = Owner(Rules(repeat=7200), is_down=between(0, 40_000)).run(40_000)
    assert len(owner.received) == 6
    assert all("still no data, since 12:00" in text for text in owner.texts()[1:])


def test_in_quiet_hours_nothing_is_sent_and_at_their_end_what_happened() -> None:
    night = Rules(quiet=parse_quiet("22:00-06:30"))
    begin = NOON.replace(hour=21, minute=0)
    owner = Owner(night, is_down=between(2 * 3600, 2 * 3600 + 1800), begin=begin).run(12 * 3600)
    ((at, message),) = owner.received
    assert at == pytest.approx(9.5 * 3600, abs=2), "06:30"
    assert "again since 2026-11-22 23:30. Before that no data for 30 min, from 2026-11-22 23:00 on." in message.body


def test_what_still_goes_on_at_the_end_of_quiet_hours_is_reported_then() -> None:
    night = Rules(quiet=parse_quiet("22:00-06:30"))
    begin = NOON.replace(hour=21, minute=0)
    owner = Owner(night, is_down=between(2 * 3600, 11 * 3600), begin=begin).run(12 * 3600)
    assert [message.title.partition(": ")[2] for _, message in owner.received] == ["no data", "all is well again"]
    assert owner.received[0][0] == pytest.approx(9.5 * 3600, abs=2)


@pytest.mark.parametrize(("down", "up"), [(5, 5), (30, 30), (70, 61), (120, 120), (300, 90), (1, 59)])
def test_a_flapping_link_is_no_flood_and_its_end_is_reported(down: int, up: int) -> None:
    hours = 8 * 3600
    owner = Owner(is_down=lambda t: t < hours and t % (down + up) < down).run(hours + 2 * HOUR)
    assert len(owner.received) >= 2
    assert most_in_an_hour([at for at, _ in owner.received]) <= MOST_AN_HOUR
    assert owner.received[-1][1].title.endswith("all is well again")


def test_after_a_receiver_was_away_for_ten_minutes_it_gets_what_is_true_then() -> None:
    owner = Owner(is_down=between(100, 400), is_away=between(0, 760)).run(4000)
    ((at, message),) = owner.received
    assert at <= 760 + 600, "tried again with growing pauses, and not given up"
    assert message.title.endswith("all is well again"), "no alarm for what is over"
    assert "no data for 5 min" in message.body
    pauses = [later - earlier for earlier, later in zip(owner.tried, owner.tried[1:], strict=False)]
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(30, abs=1)


def test_a_receiver_that_never_confirms_is_tried_three_times_an_hour_at_most_in_the_end() -> None:
    owner = Owner(is_down=between(0, 90_000), is_away=lambda _t: True).run(20 * HOUR)
    assert most_in_an_hour([at for at in owner.tried if at > HOUR]) <= MOST_AN_HOUR + 1
    assert owner.tried[-1] - owner.tried[-2] == pytest.approx(LAST_RETRY, abs=1)
    assert owner.notifier.trouble is not None
    assert owner.notifier.trouble.count == len(owner.tried)
    assert owner.notifier.trouble.error == "nobody answers"


def test_a_restart_neither_repeats_a_message_nor_loses_the_end_of_an_outage() -> None:
    owner = Owner(is_down=between(100, 1000)).run(300)
    assert len(owner.received) == 1
    kept, still_open = owner.notifier.memory(5300, owner.local.timestamp()), owner.watch.current()
    owner.notifier, owner.watch = Notifier(owner.rules), OutageWatch()
    owner.watch.restore(still_open, 5300)
    owner.notifier.remember(kept, 5300, owner.local.timestamp())
    owner.run(1500)
    assert len(owner.received) == 2
    assert "no data for 15 min" in owner.texts()[1]


def test_a_damaged_memory_is_left_out() -> None:
    for memory in (
        {},
        {"sent": 3, "reported": []},
        {"sent": ["x"], "reported": {}},
        {"sent": [], "reported": {"a": 1}},
    ):
        notifier = Notifier(Rules())
        notifier.remember(memory, 100, 1000)
        assert notifier.memory(100, 1000) == {"sent": [], "reported": {}}


def test_many_outages_at_once_are_one_message_of_bounded_length() -> None:
    outages = tuple(Outage(f"meter m{n}", NOON.timestamp(), 60, 60, 1, "x", "y" * 100, "z" * 100) for n in range(40))
    message = compose(Events(begun=outages), NOON, "en")
    assert message.body.endswith("And 32 more.")
    assert len(message.body) < 3000


def test_a_new_outage_gives_the_title_to_a_message_that_reports_the_end_of_another_too() -> None:
    over = Outage("meter main", NOON.timestamp() - 600, 300, 300, 1, "x", "It was away.", "", is_over=True)
    message = compose(
        Events(begun=(Outage("broker", NOON.timestamp(), 60, 60, 1, "x", "y", "z"),), ended=(over,)), NOON, "en"
    )
    assert message.title == "KSEM AirBridge: no data"
    assert message.body.index("Broker: no data") < message.body.index("Meter main: well again since 11:55")


def test_an_inverter_that_believes_wrong_numbers_is_not_called_one_without_data() -> None:
    wrong = Outage("inverter roof", NOON.timestamp(), 60, 60, 1, "inverter-wrong-sign", "It has the wrong sign.", "")
    message = compose(Events(begun=(wrong,)), NOON, "en")
    assert message.title == "KSEM AirBridge: wrong numbers"
    assert message.body.startswith("Inverter roof: wrong numbers since 12:00")


@pytest.mark.parametrize(
    ("text", "hour", "minute", "holds"),
    [
        ("22:00-06:30", 23, 0, True),
        ("22:00-06:30", 6, 29, True),
        ("22:00-06:30", 6, 30, False),
        ("22:00-06:30", 21, 59, False),
        ("12:00-13:00", 12, 0, True),
        ("12:00-13:00", 13, 0, False),
    ],
)
def test_quiet_hours_may_go_past_midnight(text: str, hour: int, minute: int, holds: bool) -> None:
    quiet = parse_quiet(text)
    assert isinstance(quiet, Quiet)
    assert quiet.holds(NOON.replace(hour=hour, minute=minute)) is holds


@pytest.mark.parametrize("text", ["22-6", "24:00-06:00", "22:00-22:00", "night"])
def test_other_hours_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_quiet(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45, "45 s"), (120, "2 min"), (5940, "99 min"), (7200, "2 h"), (7500, "2 h 5 min"), (200_000, "2 d 7 h")],
)
def test_lengths_are_in_words(seconds: float, text: str) -> None:
    assert in_words(seconds) == text
