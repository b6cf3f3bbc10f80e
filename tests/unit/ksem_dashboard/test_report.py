import json

from ksem_contract.reasons import Reason
from ksem_dashboard.history import SLOTS, slot_of
from ksem_dashboard.report import history, point, report

from .house import NODE_HEALTH, STOPPED, House, explained


def test_everything_is_plain_json() -> None:
    house = House().run_well()
    house.energy(123, 45)
    reported = report(house.state, house.now)
    assert json.loads(json.dumps(reported, allow_nan=False))["meters"].keys() == {"main"}
    assert reported["meters"]["main"]["live"]["values"]["power"] == 1234.5
    assert reported["meters"]["main"]["today"] == {"imported": 0.0, "exported": 0.0, "since": "10:00"}
    assert reported["nodes"]["attic"]["requests"][0]["start"] == 40
    assert reported["verdict"]["state"] == "ok"


def test_old_values_are_never_told() -> None:
    house = House().run_well()
    house.now += 3
    live = report(house.state, house.now)["meters"]["main"]["live"]
    assert live["fresh"] is False
    assert live["values"] == {}
    assert 2990 <= live["age_ms"] <= 3010


def test_the_chain_names_every_part_and_link_with_rate_and_age() -> None:
    house = House().run_well()
    (chain,) = report(house.state, house.now)["meters"]["main"]["chains"]
    assert [part["condition"] for part in chain["parts"]] == ["up"] * 5
    assert [(link["name"], link["rate"], link["age"], link["age_of"]) for link in chain["links"]] == [
        ("push", "5.0/s", "3 ms", "old"),
        ("MQTT", "5.0/s", "", ""),
        ("MQTT", "", "1.9 ms", "round trip"),
        ("RS485", "6.2/s", "105 ms", "old"),
    ]


def test_a_broken_link_is_shown_where_it_broke() -> None:
    house = House().run_well()
    house.status(b"offline")
    house.node(b"offline", state="down", why="the publisher says offline")
    house.now += 3
    (chain,) = report(house.state, house.now)["meters"]["main"]["chains"]
    assert [part["condition"] for part in chain["parts"]] == ["down", "down", "up", "down", "down"]
    assert [link["condition"] for link in chain["links"]] == ["down", "down", "up", "warned"]


def test_a_meter_that_serves_no_inverter_has_a_chain_up_to_the_broker() -> None:
    house = House()
    house.status()
    house.pass_time(4)
    (chain,) = report(house.state, house.now)["meters"]["main"]["chains"]
    assert [part["kind"] for part in chain["parts"]] == ["meter", "publisher", "broker"]


def test_tcp_units_and_histograms_are_told_as_the_node_told_them() -> None:
    house = House().run_well()
    node = report(house.state, house.now)["nodes"]["attic"]
    assert node["units"][0]["age_histogram_ms"] == {
        "le": [100.0, 200.0, 500.0],
        "counts": [850, 1790, 1810, 1810],
        "sum": 200_000.0,
    }
    (unit,) = node["tcp"]
    assert (unit["line"], unit["unit"], unit["requests"], unit["data"]) == ("readers", 71, 400, 399)
    assert 4890 <= unit["last_ago_ms"] <= 4910, "0.9 s before the health message of 4 s ago"


def test_the_hour_is_small() -> None:
    house = House().run_well()
    meter = house.state.meters["main"]
    for slot in range(SLOTS):
        meter.history.add(-12_345.6, house.now + 10 * slot)
    reported = history(meter, house.now + 10 * SLOTS)
    assert len(reported["points"]) == SLOTS - 1
    assert len(json.dumps(reported, separators=(",", ":"))) < 10_000
    assert point(meter, slot_of(house.now + 100))["point"] == [-12346, -12346, -12346]


def test_an_rtu_server_that_has_ended_shows_when_it_was_seen_last_and_no_rates() -> None:
    house = House().run_well()
    house.receive(house.topics.node_health("attic"), NODE_HEALTH.encode())
    house.node(b"offline")
    house.pass_time(12)
    reported = report(house.state, house.now)
    (chain,) = reported["meters"]["main"]["chains"]
    assert (chain["parts"][3]["condition"], chain["parts"][3]["text"]) == ("down", "seen 12 s ago")
    assert (chain["parts"][4]["condition"], chain["links"][3]["condition"]) == ("unknown", "unknown")
    assert chain["links"][3]["rate"] == chain["links"][2]["age"] == ""
    node = reported["nodes"]["attic"]
    assert (node["runs"], node["requests"]) == (False, [])
    assert 11_900 <= node["seen_ms"] <= 12_100
    assert node["units"][0]["turnaround_ms"]["p50"] is None
    assert node["tcp"][0]["state"] == "unknown"


def test_without_the_broker_nothing_is_shown_as_the_present() -> None:
    house = House().run_well()
    house.state.on_link(False, (), house.now)
    reported = report(house.state, house.now)
    (chain,) = reported["meters"]["main"]["chains"]
    assert not any(link["rate"] for link in chain["links"])
    assert reported["nodes"]["attic"]["requests"] == []


def test_services_that_run_and_have_no_data_are_not_called_offline() -> None:
    house = House().run_well()
    house.status(b"offline")
    house.health(state="down", **explained(Reason.of("no-live-data"), STOPPED))
    house.node(b"offline", state="down", why="the publisher says offline")
    (chain,) = report(house.state, house.now)["meters"]["main"]["chains"]
    assert [part["text"] for part in chain["parts"][1:4:2]] == ["has no data"] * 2


def test_reasons_stand_in_the_state_that_the_page_and_monitor_get_with_code_and_remedy() -> None:
    house = House().run_well()
    house.status(b"offline")
    house.health(state="down", **explained(Reason.of("no-live-data"), STOPPED))
    found = report(house.state, house.now)
    assert [one["code"] for one in found["meters"]["main"]["reasons"]] == ["no-live-data", "push-stopped"]
    fault = found["faults"][0]
    assert (fault["code"], bool(fault["remedy"])) == ("push-stopped", True)


def test_the_time_without_data_is_reported_as_the_node_published_it() -> None:
    house = House().run_well()
    reported = report(house.state, house.now)["nodes"]["attic"]["no_data"]
    assert reported["today"]["seconds"] == 12.5
    assert reported["days"]["reasons"] == {"meter-offline": 748.0, "unit-has-no-port": 4.5}
    house.node(no_data=None)
    assert report(house.state, house.now)["nodes"]["attic"]["no_data"] is None
