from airbridge.demo.picture import BridgeState
from airbridge.demo.view import Condition, chain

from .pictures import BROKER, TOPICS, flowing

_NOW = 5000.0


def _conditions(state: BridgeState, now: float = _NOW) -> tuple[list[Condition], list[Condition]]:
    parts, links = chain(state, now, BROKER)
    return [part.condition for part in parts], [link.condition for link in links]


def test_all_is_up_while_everything_flows() -> None:
    parts, links = chain(flowing(_NOW), _NOW, BROKER)
    assert {part.condition for part in (*parts, *links)} == {"up"}
    assert [part.name for part in parts] == ["KSEM", "publisher", "mosquitto", "rtu-server", "Plenticore"]
    assert [part.text for part in links] == ["5.0/s", "5.0/s", "2 ms", "12/s"]
    assert parts[0].text == "-141 W"


def test_nothing_is_known_at_the_start() -> None:
    parts, links = _conditions(BridgeState(TOPICS, _NOW))
    assert {*parts, *links} == {"unknown"}


def test_polling_in_the_place_of_the_push_is_shown_as_such() -> None:
    _, links = chain(flowing(_NOW, source="poll"), _NOW, BROKER)
    assert (links[0].name, links[0].condition) == ("poll", "warned")


def test_a_meter_that_is_away_breaks_the_first_link_and_no_other() -> None:
    state = flowing(_NOW)
    state.pulled = {"meter"}
    state.meter_status = "offline"
    parts, links = _conditions(state, _NOW + 1.0)
    assert (parts[0], parts[1], links[0]) == ("down", "down", "down")
    assert links[1:3] == ["up", "up"]


def test_live_data_that_has_stopped_is_shown_though_the_links_stand() -> None:
    _, links = _conditions(flowing(_NOW), _NOW + 2.0)
    assert (links[0], links[1], links[2]) == ("down", "warned", "up")


def test_a_broker_that_is_away_breaks_both_of_its_links_and_hides_the_services() -> None:
    state = flowing(_NOW)
    state.pulled = {"broker"}
    state.on_link(False, ())
    parts, links = _conditions(state)
    assert parts[1:4] == ["unknown", "down", "unknown"]
    assert links[1:3] == ["down", "down"]


def test_a_plug_that_is_pulled_breaks_the_line() -> None:
    state = flowing(_NOW)
    state.pulled = {"plug"}
    state.lately = "timeout"
    parts, links = _conditions(state)
    assert (links[3], parts[4]) == ("down", "down")


def test_an_inverter_that_is_refused_is_warned() -> None:
    state = flowing(_NOW)
    state.lately = "exception-4"
    assert _conditions(state)[0][4] == "warned"
