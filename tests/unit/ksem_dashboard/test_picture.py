import pytest

from ksem_dashboard.views import ArrivalClock

from .house import House


def test_live_data_that_comes_is_fresh() -> None:
    house = House().run_well()
    meter = house.state.meters["main"]
    assert meter.is_live(house.now)
    assert meter.values["power"] == 1234.5
    assert meter.age("live", house.now) == pytest.approx(0.003, abs=0.002)


def test_live_data_that_stops_is_old_after_the_limit() -> None:
    house = House().run_well()
    meter = house.state.meters["main"]
    house.now += 1.9
    assert meter.is_live(house.now)
    house.now += 0.2
    assert not meter.is_live(house.now)


def test_retained_live_data_is_never_shown_as_the_present() -> None:
    house = House()
    house.status()
    house.live(retained=True)
    house.now += 0.1
    house.live(retained=True)
    assert not house.state.meters["main"].is_fresh(house.now)
    assert house.state.meters["main"].values == {}


def test_one_replayed_block_without_the_retain_flag_is_not_yet_the_present() -> None:
    house = House()
    house.status()
    house.live(late=3600)
    assert not house.state.meters["main"].is_fresh(house.now)


def test_a_burst_after_an_outage_is_as_old_as_it_is() -> None:
    house = House().run_well()
    house.now += 30
    for late in (30.0, 29.0, 20.0, 10.0):
        house.live(late=late)
        assert not house.state.meters["main"].is_fresh(house.now)
    assert house.state.meters["main"].age("live", house.now) == pytest.approx(10, abs=0.1)
    house.live()
    assert house.state.meters["main"].is_fresh(house.now)


def test_offline_counts_at_once_though_the_last_block_is_young() -> None:
    house = House().run_well()
    house.status(b"offline")
    assert house.state.meters["main"].is_fresh(house.now)
    assert not house.state.meters["main"].is_live(house.now)


def test_a_publisher_that_restarts_is_followed_and_one_beside_it_is_not() -> None:
    house = House().run_well()
    meter = house.state.meters["main"]
    house.session = "bbbb"
    house.live(99.0)
    assert meter.values["power"] == 1234.5
    house.status(b"offline")
    house.status()
    house.now += 2.5
    house.pass_time(1, power=99.0)
    assert meter.values["power"] == 99.0
    assert meter.is_live(house.now)


def test_a_block_that_was_overtaken_is_left_out() -> None:
    house = House().run_well()
    house.live(7.0, late=0.5)
    assert house.state.meters["main"].values["power"] == 1234.5


def test_a_message_that_breaks_the_contract_is_counted_and_changes_nothing() -> None:
    house = House().run_well()
    house.receive("ksem/main/block/live", b"{}")
    house.receive("ksem/main/health", b'{"v":2}')
    assert house.state.unreadable == 2
    assert house.state.meters["main"].is_live(house.now)


def test_whoever_may_publish_cannot_fill_the_memory() -> None:
    house = House()
    for number in range(100):
        house.status(meter=f"m{number}")
        house.receive(f"ksem/rtu/n{number}/status", b"online")
    assert len(house.state.meters) == len(house.state.nodes) == 16


def test_a_message_that_cannot_be_read_makes_no_meter() -> None:
    house = House()
    house.receive("ksem/ghost/block/live", b"{}")
    house.receive("ksem/rtu/ghost/health", b"{}")
    assert not house.state.meters
    assert not house.state.nodes


def test_what_is_taken_from_the_broker_is_forgotten_unless_the_settings_name_it() -> None:
    house = House().run_well()
    for kind in ("main", "rtu/attic"):
        house.receive(f"ksem/{kind}/status", b"")
    assert not house.state.meters
    assert not house.state.nodes
    named = House(meters=("main",)).run_well()
    named.receive("ksem/main/status", b"")
    assert named.state.meters["main"].status is None


def test_only_the_meters_and_nodes_of_the_settings_are_shown_where_they_are_named() -> None:
    house = House(meters=("main",), nodes=("attic",))
    house.status(meter="other")
    house.receive("ksem/rtu/cellar/status", b"online")
    assert list(house.state.meters) == ["main"]
    assert list(house.state.nodes) == ["attic"]
    assert house.state.subscriptions == [
        "ksem/main/status",
        "ksem/main/health",
        "ksem/main/block/live",
        "ksem/main/block/energy",
        "ksem/main/block/device",
        "ksem/main/block/sunspec",
        "ksem/main/block/+",
        "ksem/rtu/attic/status",
        "ksem/rtu/attic/health",
        "ksem/rtu/attic/requests",
        "ksem/inverter/+/status",
        "ksem/inverter/+/health",
        "ksem/inverter/+/values",
    ]


@pytest.mark.parametrize("rate", [1 - 900e-6, 1 + 900e-6])
def test_a_clock_that_is_slewed_for_a_day_makes_nothing_look_old(rate: float) -> None:
    clock = ArrivalClock()
    for second in range(0, 86_400, 10):
        clock.received_at(int(1000 * rate * second), second + 0.005)
        age = clock.age_of(int(1000 * rate * second), 0, second + 0.005)
        assert age is not None
        assert age < 0.02


def test_what_is_gone_makes_room_for_what_runs() -> None:
    """Sixteen names that once were are retained at the broker; the real ones come after them."""
    house = House()
    for number in range(16):
        house.receive(f"ksem/m{number}/status", b"offline", retained=True)
        house.receive(f"ksem/rtu/n{number}/status", b"offline", retained=True)
    house.receive("ksem/m99/status", b"offline", retained=True)
    house.receive("ksem/rtu/n99/status", b"offline", retained=True)
    house.receive("ksem/main/status", b"online")
    house.receive("ksem/rtu/attic/status", b"online")
    assert len(house.state.meters) == len(house.state.nodes) == 16
    assert "main" in house.state.meters
    assert "attic" in house.state.nodes
    assert "m99" not in house.state.meters
