import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksem_contract.topics import RESERVED_NODES, ParsedTopic, Topics

_TOPICS = Topics()


@pytest.mark.parametrize("prefix", ["ksem", "site/house/ksem", "K s"])
def test_every_topic_that_is_written_is_read_back(prefix: str) -> None:
    topics = Topics(prefix)
    written = {
        topics.meter_status("main"): ParsedTopic("status", meter="main"),
        topics.meter_health("main"): ParsedTopic("health", meter="main"),
        topics.meter_values("main"): ParsedTopic("values", meter="main"),
        topics.meter_block("main", "r9000-20"): ParsedTopic("block", meter="main", name="r9000-20"),
        topics.meter_value("main", "power_l1"): ParsedTopic("value", meter="main", name="power_l1"),
        topics.ping("main", "pi-4"): ParsedTopic("ping", meter="main", node="pi-4"),
        topics.pong("main", "pi-4"): ParsedTopic("pong", meter="main", node="pi-4"),
        topics.node_status("pi-4"): ParsedTopic("node_status", node="pi-4"),
        topics.node_health("pi-4"): ParsedTopic("node_health", node="pi-4"),
        topics.node_requests("pi-4"): ParsedTopic("node_requests", node="pi-4"),
    }
    assert {topic: topics.parse(topic) for topic in written} == written


def test_topics_are_those_of_the_contract() -> None:
    assert _TOPICS.meter_block("main", "live") == "ksem/main/block/live"
    assert _TOPICS.meter_blocks("main") == "ksem/main/block/+"
    assert _TOPICS.pings("main") == "ksem/main/ping/+"
    assert _TOPICS.pongs("main") == "ksem/main/pong/+"
    assert _TOPICS.node_requests("pi") == "ksem/rtu/pi/requests"
    assert _TOPICS.all_nodes_requests() == "ksem/rtu/+/requests"
    assert _TOPICS.all_nodes_status() == "ksem/rtu/+/status"
    assert _TOPICS.everything() == "ksem/#"


@pytest.mark.parametrize(
    "topic",
    [
        *("", "ksem", "ksem/", "ksemx/main/status", "other/main/status", "/ksem/main/status", "ksem/main"),
        *("ksem/main/state", "ksem/main/status/", "ksem/main/status/x", "ksem/main/block", "ksem/main/block/"),
        *("ksem/main/block/a/b", "ksem/rtu/status", "ksem/rtu/block/live", "ksem/rtu/pi/values", "ksem/Main/status"),
        *("ksem/main/block/LIVE", "ksem//status", "ksem/main/block/" + "a" * 33, "ksem/+/status"),
        "ksem/rtu/\N{LATIN SMALL LETTER A WITH ACUTE}/status",
    ],
)
def test_a_topic_of_no_one_is_none(topic: str) -> None:
    assert _TOPICS.parse(topic) is None


@given(st.text(max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    _TOPICS.parse(text)
    _TOPICS.parse("ksem/" + text)


@pytest.mark.parametrize("meter", ["rtu", "", "Main", "a/b", "a b", "+", "x" * 33])
def test_a_meter_with_a_bad_name_has_no_topics(meter: str) -> None:
    with pytest.raises(ValueError, match="meter"):
        _TOPICS.meter_status(meter)


@pytest.mark.parametrize("node", ["", "Pi", "a/b", "#", *sorted(RESERVED_NODES)])
def test_a_node_with_a_bad_name_has_no_topics(node: str) -> None:
    with pytest.raises(ValueError, match="node"):
        _TOPICS.node_status(node)


@pytest.mark.parametrize("prefix", ["", "/ksem", "ksem/", "a//b", "a/+/b", "#", "$SYS", "a\0"])
def test_a_prefix_that_no_broker_takes_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        Topics(prefix)


ACL = (Path(__file__).parents[3] / "mosquitto" / "acl").read_text()


@pytest.mark.parametrize("node", sorted(RESERVED_NODES))
def test_topics_of_a_node_with_a_reserved_name_say_nothing(node: str) -> None:
    for leaf in ("status", "health", "requests"):
        assert _TOPICS.parse(f"ksem/rtu/{node}/{leaf}") is None
    assert _TOPICS.parse(f"ksem/main/ping/{node}") is None


def test_every_level_that_the_publisher_may_write_below_any_meter_is_reserved() -> None:
    publisher = ACL.split("user publisher")[1].split("user ")[0]
    written = re.findall(r"^topic write ksem/\+/([a-z]+)", publisher, re.MULTILINE)
    assert "block" in written
    assert set(written) <= RESERVED_NODES
