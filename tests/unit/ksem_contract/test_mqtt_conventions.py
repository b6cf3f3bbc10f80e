"""What brokers and readers of MQTT expect of anybody's topics and payloads, a test for each rule.

Read from what zigbee2mqtt, mbmd, modbus4mqtt, modpoll, Neuron and evcc publish, and from Home Assistant's advice on
retained states. What needs a broker (the last will, the planned stop, the retained set after a restart, MQTT 3.1.1 and
5) is in tests/bridge/test_mqtt_link.py, tests/bridge/test_publisher.py and tests/faults.
"""

import re

from ksem_contract.home_assistant import inverter_device, meter_device, node_device
from ksem_contract.topics import Topics
from ksem_contract.values import VALUE_KEYS, format_value

TOPICS = Topics()
ALL = [
    TOPICS.meter_status("main"),
    TOPICS.meter_health("main"),
    TOPICS.meter_block("main", "live"),
    TOPICS.meter_values("main"),
    *(TOPICS.meter_value("main", key.key) for key in VALUE_KEYS),
    TOPICS.ping("main", "attic"),
    TOPICS.pong("main", "attic"),
    TOPICS.node_status("attic"),
    TOPICS.node_health("attic"),
    TOPICS.node_requests("attic"),
]


def test_topics_have_no_leading_slash_no_space_and_no_capital() -> None:
    for topic in ALL:
        assert re.fullmatch(r"[a-z0-9_-]+(/[a-z0-9_-]+)+", topic)


def test_a_topic_holds_one_value_of_one_unit() -> None:
    topics = [TOPICS.meter_value("main", key.key) for key in VALUE_KEYS]
    assert len(set(topics)) == len(topics)


def test_numbers_are_plain_with_a_dot() -> None:
    for key in VALUE_KEYS:
        for value in (0.0, -0.0, 0.1, -1234.5678, 1e-9, 1e12):
            assert re.fullmatch(r"-?\d+(\.\d+)?", format_value(value, key.decimals)), key.key


def test_nothing_can_be_set_so_no_topic_says_so() -> None:
    """`/set` only where writing exists; Home Assistant is told of no command topic."""
    assert not [topic for topic in ALL if topic.endswith("/set")]
    for device in (
        meter_device(TOPICS, "homeassistant", "main", version="1"),
        node_device(TOPICS, "homeassistant", "attic", "main", version="1"),
        inverter_device(TOPICS, "homeassistant", "roof", "main", version="1"),
    ):
        assert b"command_topic" not in device.payload


def test_a_json_of_all_values_and_a_topic_for_each_are_both_offered() -> None:
    """Telegraf and Node-RED want one message for each measuring cycle, evcc and Home Assistant a number on a topic."""
    assert TOPICS.meter_values("main") == "ksem/main/values"
    assert TOPICS.meter_value("main", "power") == "ksem/main/value/power"
