import pytest

from airbridge.demo.picture import Picture

from .pictures import TOPICS, block, flowing, inverter_status, node_health

_NOW = 5000.0


def test_values_come_from_the_blocks() -> None:
    picture = flowing(_NOW)
    assert picture.values["power"] == pytest.approx(-140.7)
    assert picture.blocks["live"].per_s("push", _NOW) == pytest.approx(5.0, rel=0.02)
    assert picture.blocks["live"].age_ms(_NOW + 0.5) == 503


def test_a_message_that_breaks_the_contract_changes_nothing() -> None:
    picture = flowing(_NOW)
    held = picture.blocks["live"].message
    for payload in (b"{", b"", b"\xff" * 10, b'{"v":2}'):
        picture.on_message("ksem/main/block/live", payload, _NOW)
    picture.on_message("elsewhere/main/block/live", block("live", 0, 148, _NOW), _NOW)
    assert picture.blocks["live"].message == held


def test_status_topics_are_not_believed_while_the_broker_is_away() -> None:
    picture = flowing(_NOW)
    picture.on_link(False, ())
    assert (picture.meter_status, picture.node_status) == (None, None)


def test_it_is_served_once_every_live_range_had_a_good_answer() -> None:
    picture = Picture(TOPICS, _NOW)
    status = inverter_status(4, good=2)
    status["ranges"]["40-145"] = {"requests": 2, "outcomes": {"exception-4": 2}}
    picture.on_statuses({}, {}, status, _NOW)
    before = picture.is_served
    status["ranges"]["40-145"]["outcomes"]["good"] = 1
    assert (before, picture.is_served) == (False, True)


def test_the_detection_alone_is_not_being_served() -> None:
    picture = Picture(TOPICS, _NOW)
    status = inverter_status(1, good=1)
    status["ranges"] = {"8244-8244": {"requests": 1, "outcomes": {"good": 1}}}
    picture.on_statuses({}, {}, status, _NOW)
    assert not picture.is_served


def test_a_real_inverter_is_counted_as_the_rtu_server_tells_it() -> None:
    picture = Picture(TOPICS, _NOW)
    before = picture.is_served
    picture.on_message("ksem/rtu/demo/health", node_health().encode(), _NOW)
    picture.on_message("ksem/rtu/demo/status", b"online", _NOW)
    assert (before, picture.is_served) == (False, True)
    assert (picture.counts.good, picture.counts.refused) == (97, 3)
