"""When health is published, and how many lines about it reach the log."""

import logging

import pytest

from ksem_contract.reasons import Reason
from service_runtime.status import HEALTH_EVERY, LINES_AT_ONCE, NEWS_EVERY, HealthTopic

SERVED = (Reason.of("inverter-served"),)
OFF = (Reason.of("unit-off", unit=1, line="rs485"),)
WALL = "2026-11-22T10:00:00.000Z"
LOG = logging.getLogger("test.health")


class Broker:
    """Takes messages while `takes`."""

    def __init__(self) -> None:
        self.takes = True
        self.times: list[float] = []
        self.now = 100.0
        self.health = HealthTopic("health", self.publish, LOG, WALL)

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> bool:
        assert (topic, payload, qos, retain) == ("health", b"{}", 1, True)
        if self.takes:
            self.times.append(self.now)
        return self.takes

    def look(self, seconds: float) -> None:
        self.now += seconds
        self.health.publish(lambda: b"{}", self.now)


def test_health_is_published_at_once_and_every_10_s() -> None:
    broker = Broker()
    for _ in range(101):
        broker.look(0.25)
    assert broker.times == [100.25, 100.25 + HEALTH_EVERY, 100.25 + 2 * HEALTH_EVERY]


def test_a_change_of_state_is_published_soon_and_however_fast_it_flaps_once_a_second() -> None:
    broker = Broker()
    for number in range(40):
        broker.health.set("ok" if number % 2 else "degraded", SERVED if number % 2 else OFF, WALL)
        broker.look(0.25)
    assert all(later - earlier >= NEWS_EVERY for earlier, later in zip(broker.times, broker.times[1:], strict=False))
    assert len(broker.times) == 10


def test_another_reason_for_the_same_state_keeps_since_when_it_has_lasted() -> None:
    health = Broker().health
    assert health.set("degraded", OFF, "2026-11-22T10:00:01.000Z")
    assert health.set("degraded", SERVED, "2026-11-22T10:00:02.000Z")
    assert not health.set("degraded", SERVED, "2026-11-22T10:00:03.000Z")
    assert health.since == "2026-11-22T10:00:01.000Z"


def test_what_the_link_did_not_take_and_what_a_new_broker_lacks_is_published_with_the_next_look() -> None:
    broker = Broker()
    broker.takes = False
    broker.look(1.0)
    broker.takes = True
    broker.look(1.0)
    broker.health.on_connected()
    broker.look(0.25)
    assert broker.times == [102.0, 102.25]


def test_a_reason_that_flaps_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    health = Broker().health
    with caplog.at_level(logging.INFO, "test.health"):
        for second in range(59):
            health.log("node", "down" if second % 2 else "ok", f"change {second}", float(second))
        assert len(caplog.records) == LINES_AT_ONCE
        health.log_counted(61.0)
    assert len(caplog.records) == LINES_AT_ONCE + 1
    assert "55 times" in caplog.text
    assert {record.levelname for record in caplog.records} == {"INFO", "WARNING"}
