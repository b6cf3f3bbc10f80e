"""The time in which an inverter got no data, counted with virtual time."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest

from ksem_contract.health import NoData
from ksem_contract.message_fields import InvalidMessage
from rtu_server.counters import AWAKE_FOR, LineCounters, UnitCounters
from rtu_server.data_flow import DataFlow
from rtu_server.outages import DAYS, MAX_CODES, MAX_DAYS, WRITE_EVERY, Kept, Outages

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
POLL = 0.08
"""Seconds between two requests, about a Plenticore's."""
REQUEST = bytes.fromhex("01030000001cc403")


class Unit:
    """One unit of a line whose inverter requests and gets something."""

    def __init__(self, listening_since: float = 0.0) -> None:
        self.counters = LineCounters({1: UnitCounters()}, listening_since=listening_since)
        self.port_up = True

    def gets(self, outcome: str, at: float) -> None:
        self.counters.units[1].note(REQUEST, outcome, at)

    @property
    def flow(self) -> DataFlow:
        return DataFlow.of(self.counters, 1, port_up=self.port_up)


class House:
    """A node that looks once a second, the wall clock beside it, and what the inverter of unit 0 logs itself."""

    def __init__(self, units: int = 1, begun: float = 0.0, wall: datetime = NOON) -> None:
        self.now = begun
        self.wall = wall
        self.units = [Unit() for _ in range(units)]
        self.outages = Outages(begun)
        self.log: list[tuple[float, bool]] = []

    def passes(
        self, seconds: float, outcome: str = "data", reason: str = "", *, unit: int | None = None, others: str = "data"
    ) -> None:
        """Let time pass while every request of all units, or of one, gets this and those of the others data.

        No outcome: nothing is requested. `lost`: requests are sent, and the node receives none.
        """
        until = self.now + seconds
        while self.now < until - 1e-6:
            step = min(POLL, until - self.now)
            whole_before = int(self.now)
            self.now += step
            self.wall += timedelta(seconds=step)
            for number, one in enumerate(self.units):
                found = outcome if unit in (None, number) else others
                if found and number == 0:
                    self.log.append((self.now, found == "data"))
                if found not in ("", "lost"):
                    one.gets(found, self.now)
            if int(self.now) != whole_before:
                self.look(reason)

    def sleeps(self, seconds: float, reason: str = "inverter-stopped") -> None:
        """The inverter requests nothing; long times in few steps."""
        until = self.now + seconds
        while self.now < until - 1e-6:
            self.skip(min(1.0 if seconds < 1000 else 20.0, until - self.now))
            self.look(reason)

    def skip(self, seconds: float) -> None:
        self.now += seconds
        self.wall += timedelta(seconds=seconds)

    def loses_port(self, seconds: float, outcome: str = "lost") -> None:
        """The port is gone for a while."""
        for one in self.units:
            one.port_up = False
        if outcome:
            self.passes(seconds, outcome, "unit-has-no-port")
        else:
            self.sleeps(seconds, "unit-has-no-port")
        for one in self.units:
            one.port_up, one.counters.listening_since = True, self.now

    def stands_still(self, seconds: float) -> None:
        """The process does nothing, while the inverter requests on."""
        begin = self.now
        self.skip(seconds)
        self.log += [(begin + POLL * number, False) for number in range(1, int(seconds / POLL))]
        for one in self.units:
            one.counters.listening_since = self.now

    def restarts(self, seconds: float, opening: float = 0.2, *, requesting: bool = True) -> None:
        """The service ends, and starts anew after a while, on a host that has started anew, too."""
        self.look()
        kept = Kept.decode(self.outages.kept(self.now, self.wall, ended=True).encode())
        begin = self.now
        self.skip(seconds)
        self.outages = Outages(self.now)
        self.outages.resume(kept, self.now, self.wall)
        self.skip(opening)
        if requesting:
            self.log += [(begin + POLL * number, False) for number in range(1, int((seconds + opening) / POLL))]
        self.units = [Unit(self.now) for _ in self.units]

    def look(self, reason: str = "") -> None:
        self.outages.look([unit.flow for unit in self.units], reason, self.now, self.wall)

    @property
    def totals(self) -> NoData:
        return self.outages.totals(self.wall.date())

    def logged_by_the_inverter(self) -> float:
        """Seconds without data by the inverter's own log: pauses over 1 s between good answers, without its sleep."""
        missing, pause = 0.0, 0.0
        for (before, _), (at, is_good) in pairwise(self.log):
            asleep = at - before > AWAKE_FOR
            pause += 0.0 if asleep else at - before
            if asleep or is_good:
                missing, pause = missing + (pause if pause > 1.0 else 0.0), 0.0
        return missing


def test_nothing_is_counted_while_the_inverter_gets_data() -> None:
    house = House()
    house.passes(100)
    assert house.totals.start.seconds == house.totals.days.seconds == 0.0


def test_an_outage_counts_from_the_last_data_to_the_next_under_its_reason() -> None:
    house = House()
    house.passes(10)
    house.passes(4.3, "stale", "meter-offline")
    house.passes(10)
    assert house.totals.start.seconds == pytest.approx(4.3 + POLL, abs=0.01)
    assert list(house.totals.start.reasons) == ["meter-offline"]
    assert house.totals.today == house.totals.days == house.totals.start


def test_an_outage_is_shared_out_among_the_reasons_that_were_seen_in_it() -> None:
    house = House()
    house.passes(10)
    house.passes(6, "stale", "node-without-broker")
    house.passes(4, "stale", "blocks-missing")
    house.passes(10)
    reasons = house.totals.start.reasons
    assert reasons["node-without-broker"] == pytest.approx(6, abs=1.1)
    assert sum(reasons.values()) == pytest.approx(10 + POLL, abs=0.01)


def test_refusals_between_data_are_no_outage() -> None:
    house = House()
    for _ in range(20):
        house.passes(1)
        house.passes(0.5, "exception-2", "requests-refused")
    house.passes(5)
    assert house.totals.start.seconds == 0.0


def test_an_inverter_that_requests_every_four_seconds_and_gets_data_lacks_none() -> None:
    house = House()
    house.units[0].gets("data", house.now)
    for _ in range(10):
        house.passes(4, "")
        house.units[0].gets("data", house.now)
        house.look()
    assert house.totals.start.seconds == 0.0


def test_an_inverter_that_requests_nothing_counts_as_without_data() -> None:
    house = House()
    house.passes(10)
    house.passes(8, "", "inverter-stopped")
    house.passes(10)
    assert house.totals.start.reasons == {"inverter-stopped": pytest.approx(8 + POLL, abs=0.01)}


def test_a_port_that_was_gone_counts_though_no_request_in_it_was_received() -> None:
    house = House()
    house.passes(10)
    house.units[0].port_up = False
    house.passes(2, "", "unit-has-no-port")
    house.units[0].port_up, house.units[0].counters.listening_since = True, house.now
    house.passes(10)
    assert house.totals.start.reasons == {"unit-has-no-port": pytest.approx(2 + POLL, abs=0.01)}


def test_a_process_that_stood_still_counts_under_a_reason_of_its_own() -> None:
    house = House()
    house.passes(10)
    house.now += 3
    house.units[0].counters.listening_since = house.now
    house.passes(10)
    assert house.totals.start.reasons == {"node-stopped": pytest.approx(3 + POLL, abs=0.01)}


def test_a_night_in_which_the_inverter_sleeps_is_no_outage() -> None:
    house = House()
    house.passes(10)
    house.sleeps(10 * 3600)
    house.passes(10)
    assert house.totals.start.seconds == 0.0


def test_a_night_after_a_start_is_no_outage() -> None:
    house = House()
    house.sleeps(10 * 3600, "inverter-silent")
    house.passes(10)
    assert house.totals.start.seconds == 0.0


def test_what_the_inverter_missed_before_and_after_its_sleep_counts() -> None:
    house = House()
    house.passes(10)
    house.passes(4, "stale", "meter-offline")
    house.sleeps(10 * 3600)
    house.passes(3, "stale", "meter-offline")
    house.passes(10)
    assert house.totals.start.reasons == {"meter-offline": pytest.approx(7, abs=3 * POLL)}
    assert house.totals.start.seconds == pytest.approx(house.logged_by_the_inverter(), abs=0.01)


def test_a_silence_counts_once_a_request_ends_it_within_a_minute() -> None:
    house = House()
    house.passes(10)
    house.passes(50, "lost", "inverter-stopped")
    assert house.totals.start.seconds == 0.0, "it may be the begin of the inverter's sleep"
    house.passes(2)
    assert house.totals.start.reasons == {"inverter-stopped": pytest.approx(50 + POLL, abs=0.01)}


def test_requests_that_noise_destroys_count_as_unreadable() -> None:
    house = House()
    house.passes(10)
    house.units[0].counters.noise += 16
    house.passes(3, "lost")
    house.passes(10)
    assert house.totals.start.reasons == {"inverter-unreadable": pytest.approx(3 + POLL, abs=0.01)}
    house.units[0].counters.noise += 16
    house.passes(20, "lost", "inverter-stopped")
    house.passes(10)
    assert house.totals.start.reasons == {"inverter-unreadable": pytest.approx(23 + 2 * POLL, abs=0.01)}


def test_requests_that_are_lost_without_a_trace_count_too() -> None:
    house = House()
    house.passes(10)
    house.passes(1.5, "lost")
    house.passes(10)
    assert house.totals.start.reasons == {"inverter-stopped": pytest.approx(1.5 + POLL, abs=0.01)}


def test_an_inverter_that_requests_in_bursts_lacks_nothing_in_between() -> None:
    house = House()
    for _ in range(20):
        house.passes(0.4)
        house.passes(3.6, "")
    assert house.totals.start.seconds == 0.0


def test_a_restart_and_the_wait_for_the_first_data_are_one_outage() -> None:
    house = House()
    house.passes(10)
    house.restarts(0.9)
    house.passes(0.6, "stale", "meter-unknown")
    house.passes(10)
    assert house.totals.today.seconds == pytest.approx(0.9 + 0.2 + 0.6 + POLL, abs=0.01)
    assert house.totals.today.seconds == pytest.approx(house.logged_by_the_inverter(), abs=0.1)
    assert house.totals.start.seconds == pytest.approx(0.2 + 0.6 + POLL, abs=0.01)


def test_a_restart_that_costs_less_than_a_second_is_no_outage() -> None:
    house = House()
    house.passes(10)
    house.restarts(0.5)
    house.passes(0.2, "stale")
    house.passes(10)
    assert house.totals.today.seconds == 0.0


def test_a_restart_while_the_inverter_sleeps_is_no_outage() -> None:
    house = House()
    house.passes(10)
    house.sleeps(3600)
    house.restarts(30, requesting=False)
    house.sleeps(3600, "inverter-silent")
    house.passes(10)
    assert house.totals.today.seconds == 0.0


def test_a_service_that_is_off_from_the_inverters_sleep_until_its_requests_counts_as_stopped() -> None:
    house = House()
    house.passes(10)
    house.sleeps(3600)
    house.restarts(7200)
    house.passes(10)
    assert house.totals.today.reasons == {"node-stopped": pytest.approx(7200 + 0.2 + POLL, abs=0.01)}


def test_a_port_that_is_gone_counts_at_once_and_for_as_long_as_it_is_gone() -> None:
    house = House()
    house.passes(10)
    for hours in (1, 2):
        house.loses_port(3600)
        house.units[0].port_up = False
        house.look("unit-has-no-port")
        assert house.totals.start.seconds == pytest.approx(3600 * hours, abs=0.1)
    house.units[0].port_up = True
    house.passes(10)
    assert house.totals.start.reasons == {"unit-has-no-port": pytest.approx(7200 + POLL, abs=0.1)}


def test_a_port_that_is_gone_within_the_inverters_sleep_is_no_outage() -> None:
    house = House()
    house.passes(10)
    house.sleeps(3600)
    house.loses_port(1800, "")
    house.sleeps(3600)
    house.passes(10)
    assert house.totals.start.seconds == 0.0


def test_a_short_stall_as_the_inverter_falls_asleep_is_no_outage() -> None:
    house = House()
    house.passes(10)
    house.sleeps(20)
    house.skip(0.3)
    house.units[0].counters.listening_since = house.now
    house.sleeps(3600)
    house.passes(10)
    assert house.totals.start.seconds == 0.0


def test_a_unit_that_sleeps_hides_no_outage_of_another() -> None:
    house = House(units=2)
    house.passes(10)
    house.passes(100, "", "inverter-stopped", unit=1)
    house.units[1].port_up = False
    house.passes(5, "stale", "meter-offline", unit=0, others="")
    house.passes(5, unit=0, others="")
    assert house.totals.start.reasons == {"meter-offline": pytest.approx(5 + POLL, abs=0.01)}
    house.units[1].port_up, house.units[1].counters.listening_since = True, house.now
    house.passes(10)
    assert house.totals.start.seconds == pytest.approx(10, abs=1.1), "its port was gone until its requests came"


def seconds_between(chance: Random, short: float, long: float) -> float:
    """Never near 1 s or a minute, where a millisecond decides."""
    while True:
        seconds = chance.uniform(short, long)
        if abs(seconds - 1.0) > 0.2 and abs(seconds - AWAKE_FOR) > 2:
            return seconds


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_the_book_equals_the_inverters_own_log(seed: int) -> None:
    chance, house = Random(seed), House()
    house.passes(5)
    for _ in range(40):
        kind = chance.choice(("stale", "lost", "port", "still", "sleep", "restart", "refused, then asleep", "asleep"))
        seconds = seconds_between(chance, 0.3, 8)
        if kind in ("stale", "lost"):
            house.passes(seconds, kind, chance.choice(("", "meter-offline")))
        elif kind == "port":
            house.loses_port(seconds)
        elif kind == "still":
            house.stands_still(seconds)
        elif kind == "restart":
            house.restarts(seconds)
            house.passes(chance.uniform(0, 3), "stale")
        else:
            if kind.startswith("refused"):
                house.passes(seconds + 1, "stale")
            house.sleeps(chance.uniform(70, 5000))
        house.passes(chance.uniform(3, 20))
    house.look()
    assert house.totals.days.seconds == pytest.approx(house.logged_by_the_inverter(), abs=0.1)


def test_a_second_without_data_counts_once_however_many_units_lack_it() -> None:
    house = House(units=3)
    house.passes(10)
    house.passes(5, "stale", "meter-offline")
    house.passes(10)
    assert house.totals.start.seconds == pytest.approx(5 + POLL, abs=0.01)


def test_outages_of_two_units_one_after_the_other_add_up() -> None:
    house = House(units=2)
    house.passes(10)
    house.passes(5, "stale", "meter-offline", unit=0)
    house.passes(5)
    house.passes(3, "stale", "blocks-missing", unit=1)
    house.passes(10)
    assert house.totals.start.seconds == pytest.approx(8 + 2 * POLL, abs=0.01)


def test_the_time_until_the_first_data_counts() -> None:
    house = House()
    house.passes(7, "stale", "meter-unknown")
    house.passes(10)
    assert house.totals.start.reasons == {"meter-unknown": pytest.approx(7 + POLL, abs=0.01)}


def test_a_node_whose_units_are_all_switched_off_counts_nothing() -> None:
    house = House(units=0)
    house.passes(60)
    assert house.totals.start.seconds == 0.0


def test_midnight_divides_an_outage_between_two_days() -> None:
    house = House(wall=datetime(2026, 11, 22, 23, 59, 50, tzinfo=UTC))
    house.passes(4)
    house.passes(10, "stale", "meter-offline")
    house.passes(10)
    totals = house.totals
    assert totals.today.seconds == pytest.approx(4 + POLL, abs=0.01)
    assert totals.days.seconds == totals.start.seconds == pytest.approx(10 + POLL, abs=0.01)


@pytest.mark.parametrize("step", [timedelta(hours=3), timedelta(hours=-3), timedelta(days=400), timedelta(days=-400)])
def test_a_step_of_the_wall_clock_changes_no_duration(step: timedelta) -> None:
    house = House()
    house.passes(10)
    house.passes(5, "stale", "meter-offline")
    house.wall += step
    house.passes(5, "stale", "meter-offline")
    house.passes(10)
    assert house.totals.start.seconds == pytest.approx(10 + POLL, abs=0.01)
    house.wall -= step
    assert house.totals.days.seconds <= house.totals.start.seconds


def test_thirty_days_are_summed_and_no_more() -> None:
    house = House()
    for _ in range(100):
        house.passes(5)
        house.passes(10, "stale", "meter-offline")
        house.passes(5)
        house.wall += timedelta(days=1)
    house.wall -= timedelta(days=1)
    assert house.totals.days.seconds == pytest.approx(DAYS * (10 + POLL), rel=0.01)
    assert len(house.outages.kept(house.now, house.wall, ended=False).days) == MAX_DAYS


def test_a_clock_that_is_wrong_for_a_while_after_a_start_forgets_no_day() -> None:
    days = {date(2026, 11, 22) - timedelta(days=ago): {"meter-offline": 1.0} for ago in range(DAYS)}
    house = House(wall=datetime(1970, 1, 1, 12, tzinfo=UTC))
    house.outages.resume(Kept(NOON.timestamp(), True, days), house.now, house.wall)
    house.passes(10, "stale", "meter-offline")
    house.passes(5)
    house.wall = NOON
    house.passes(5)
    assert house.totals.days.seconds == DAYS


def test_a_restart_goes_on_with_the_totals_and_counts_the_time_between() -> None:
    before = House()
    before.passes(10)
    before.passes(5, "stale", "meter-offline")
    before.passes(10)
    before.look()
    kept = Kept.decode(before.outages.kept(before.now, before.wall, ended=True).encode())
    after = House(begun=5.0, wall=before.wall + timedelta(seconds=20))  # the host has started anew
    after.outages.resume(kept, after.now, after.wall)
    after.passes(10)
    assert after.totals.start.reasons == {"node-stopped": pytest.approx(POLL)}
    assert after.totals.today.reasons == {
        "meter-offline": pytest.approx(5 + POLL, abs=0.01),
        "node-stopped": pytest.approx(20 + POLL, abs=0.01),
    }


def test_after_a_crash_only_the_time_counts_in_which_the_service_ran_for_sure_no_more() -> None:
    house = House()
    house.outages.resume(Kept(NOON.timestamp() - 100, False, {}), house.now, house.wall)
    house.passes(5)
    assert house.totals.today.reasons == {"node-stopped": pytest.approx(100 - WRITE_EVERY + POLL)}


def test_a_file_from_the_future_counts_no_time_between() -> None:
    house = House()
    house.outages.resume(Kept(NOON.timestamp() + 9999, True, {}), house.now, house.wall)
    house.passes(5)
    assert house.totals.days.seconds == 0.0


def test_a_service_that_did_not_run_for_years_counts_thirty_days() -> None:
    house = House()
    house.outages.resume(Kept(0.0, True, {}), house.now, house.wall)
    house.passes(2)
    assert house.totals.days.seconds == pytest.approx((DAYS - 0.5) * 86400, rel=0.001)
    assert len(house.outages.kept(house.now, house.wall, ended=True).days) <= DAYS + 1


def test_so_many_codes_are_kept_apart_and_the_others_together() -> None:
    house = House()
    for number in range(2 * MAX_CODES):
        house.passes(3)
        house.passes(3, "stale", f"reason-{number}")
        house.passes(3)
    reasons = house.totals.start.reasons
    assert len(reasons) == MAX_CODES + 1
    assert reasons["other"] == pytest.approx(MAX_CODES * (3 + POLL), rel=0.01)
    assert Kept.decode(house.outages.kept(house.now, house.wall, ended=True).encode()).days


def test_a_file_of_an_early_build_counts_the_inverter_as_awake() -> None:
    kept = Kept.decode(b'{"v":1,"until":1.0,"ended":true,"days":{"2026-11-22":{"meter-offline":1.5}}}')
    assert not kept.asleep
    assert kept.days == {date(2026, 11, 22): {"meter-offline": 1.5}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"v":2}',
        b'{"v":1,"until":1.0,"ended":true}',
        b'{"v":1,"until":-1.0,"ended":true,"days":{}}',
        b'{"v":1,"until":1.0,"ended":true,"days":{"today":{}}}',
        b'{"v":1,"until":1.0,"ended":true,"days":{"2026-11-22":{"meter-offline":"1"}}}',
        b'{"v":1,"until":1.0,"ended":true,"days":{"2026-11-22":{"A code":1.0}}}',
        b"\xff" * 200_000,
    ],
)
def test_a_damaged_file_is_named_as_such(content: bytes) -> None:
    with pytest.raises(InvalidMessage):
        Kept.decode(content)
