"""From the messages of a house to its outages: begin, end, breaks and reason."""

from ksem_contract.reasons import Reason
from ksem_dashboard.outages import SETTLE, Outage, OutageWatch, conditions
from tests.unit.ksem_dashboard.house import STOPPED, UP, House, explained

WALL = 1_800_000_000.0


class Watched:
    """A house, and the watch that looks at it each second."""

    def __init__(self) -> None:
        self.house = House().run_well()
        self.watch = OutageWatch()
        self.finished: list[Outage] = []
        self.start = self.house.now

    @property
    def wall(self) -> float:
        return WALL + self.house.now - self.start

    def look(self) -> None:
        self.finished += self.watch.step(conditions(self.house.state, self.house.now), self.house.now, self.wall)

    def pass_time(self, seconds: int, *, power: float | None = 1000.0) -> None:
        for second in range(seconds):
            self.house.pass_time(1.0, power=power)
            if second % 10 == 0:
                self.house.health(**({} if power is not None else {"state": "down", **explained(STOPPED)}))
                self.house.node()
            self.look()

    def lose(self) -> None:
        self.house.status(b"offline")
        self.house.health(state="down", **explained(STOPPED))

    def restore(self) -> None:
        self.house.status()
        self.house.health()


def test_a_house_that_is_well_has_no_outage() -> None:
    watched = Watched()
    watched.pass_time(100)
    assert watched.watch.current() == []
    assert watched.finished == []


def test_an_outage_has_its_begin_its_length_and_the_reason_that_the_service_gave() -> None:
    watched = Watched()
    watched.pass_time(5)
    watched.lose()
    watched.pass_time(40, power=None)
    (outage,) = watched.watch.current()
    assert (outage.subject, outage.code, outage.is_over) == ("meter main", "push-stopped", False)
    assert 38 <= outage.down_s <= 41
    assert outage.remedy
    watched.restore()
    watched.pass_time(int(SETTLE) + 5)
    assert watched.watch.current() == []
    (over,) = watched.finished
    assert over.is_over
    assert 38 <= over.span_s <= 42, "the minute after it, in which it was well, does not count"
    assert over.begun == outage.begun


def test_breaks_that_follow_one_another_closely_are_one_outage() -> None:
    watched = Watched()
    for _ in range(5):
        watched.lose()
        watched.pass_time(10, power=None)
        watched.restore()
        watched.pass_time(10)
    watched.pass_time(int(SETTLE) + 5)
    (over,) = watched.finished
    assert over.breaks == 5
    assert 45 <= over.down_s <= 55
    assert 85 <= over.span_s <= 95


def test_a_node_whose_meter_is_away_has_no_outage_of_its_own() -> None:
    watched = Watched()
    watched.lose()
    watched.house.node(b"offline", state="degraded")
    watched.pass_time(10, power=None)
    assert [outage.subject for outage in watched.watch.current()] == ["meter main"]


def test_while_the_broker_is_away_the_outage_of_a_meter_neither_grows_nor_ends() -> None:
    watched = Watched()
    watched.lose()
    watched.pass_time(10, power=None)
    before = watched.watch.current()[0].down_s
    house = watched.house
    house.state.on_link(False, (Reason.of("link-down"),), house.now)
    for _ in range(200):
        house.now += 1
        watched.look()
    outages = {outage.subject: outage for outage in watched.watch.current()}
    assert outages.keys() == {"meter main", "broker"}
    assert outages["meter main"].down_s == before
    assert outages["broker"].down_s >= 198


def test_what_was_given_up_leaves_no_outage_behind() -> None:
    watched = Watched()
    house = watched.house
    house.node(b"offline", broker=UP)
    for _ in range(50):
        house.pass_time(1.0)
        watched.look()
    assert [outage.subject for outage in watched.watch.current()] == ["RTU server attic"]
    house.receive(house.topics.node_status("attic"), b"", retained=True)
    for _ in range(int(SETTLE) + 3):
        house.pass_time(1.0)
        watched.look()
    assert watched.watch.current() == []
    assert watched.finished == []


def test_an_outage_goes_on_over_a_restart_of_the_service() -> None:
    watched = Watched()
    watched.lose()
    watched.pass_time(30, power=None)
    (before,) = watched.watch.current()
    watched.watch = OutageWatch()
    watched.house.now += 20
    watched.watch.restore([before], watched.house.now)
    watched.restore()
    watched.pass_time(int(SETTLE) + 5)
    (over,) = watched.finished
    assert (over.begun, over.code, over.breaks) == (before.begun, before.code, 1)
    assert over.down_s == before.down_s


def test_an_rtu_server_that_has_just_started_and_awaits_the_inverter_has_no_outage() -> None:
    watched = Watched()
    awaited = Reason.of("inverter-awaited", unit=1, line="rs485")
    watched.house.node(b"offline", state="degraded", **explained(awaited))
    watched.look()
    assert watched.watch.current() == []
    silent = Reason.of("inverter-silent", unit=1, line="rs485")
    watched.house.node(b"offline", state="down", **explained(silent))
    watched.look()
    assert [outage.code for outage in watched.watch.current()] == ["inverter-silent"]
