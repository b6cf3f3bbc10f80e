import pytest

from airbridge.demo.picture import BridgeState

from .pictures import TOPICS, block, flowing, inverter_status, node_health

_NOW = 5000.0


def test_values_come_from_the_blocks() -> None:
    state = flowing(_NOW)
    assert state.values["power"] == pytest.approx(-140.7)
    assert state.blocks["live"].per_s("push", _NOW) == pytest.approx(5.0, rel=0.02)
    assert state.blocks["live"].age_ms(_NOW + 0.5) == 503


def test_a_message_that_breaks_the_contract_changes_nothing() -> None:
    state = flowing(_NOW)
    held = state.blocks["live"].message
    for payload in (b"{", b"", b"\xff" * 10, b'{"v":2}'):
        state.on_message("ksem/main/block/live", payload, _NOW)
    state.on_message("elsewhere/main/block/live", block("live", 0, 148, _NOW), _NOW)
    assert state.blocks["live"].message == held


def test_status_topics_are_not_believed_while_the_broker_is_away() -> None:
    state = flowing(_NOW)
    state.on_link(False, ())
    assert (state.meter_status, state.node_status) == (None, None)


def test_it_is_served_once_every_live_range_had_a_good_answer() -> None:
    state = BridgeState(TOPICS, _NOW)
    status = inverter_status(4, good=2)
    status["ranges"]["40-145"] = {"requests": 2, "outcomes": {"exception-4": 2}}
    state.on_statuses({}, {}, status, _NOW)
    before = state.is_served
    status["ranges"]["40-145"]["outcomes"]["good"] = 1
    assert (before, state.is_served) == (False, True)


def test_the_detection_alone_is_not_being_served() -> None:
    state = BridgeState(TOPICS, _NOW)
    status = inverter_status(1, good=1)
    status["ranges"] = {"8244-8244": {"requests": 1, "outcomes": {"good": 1}}}
    state.on_statuses({}, {}, status, _NOW)
    assert not state.is_served


def test_a_real_inverter_is_counted_as_the_rtu_server_tells_it() -> None:
    state = BridgeState(TOPICS, _NOW)
    before = state.is_served
    state.on_message("ksem/rtu/demo/health", node_health().encode(), _NOW)
    state.on_message("ksem/rtu/demo/status", b"online", _NOW)
    assert (before, state.is_served) == (False, True)
    assert (state.counts.good, state.counts.refused) == (97, 3)
