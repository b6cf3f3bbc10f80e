"""Backoff, link state, clocks."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksem_contract.reasons import Reason
from service_runtime import clock
from service_runtime.mqtt_session import Backoff
from service_runtime.news import LinkState


@given(st.floats(0, 1))
def test_a_delay_lies_between_its_bounds_and_never_grows(chance: float) -> None:
    assert 0.5 <= Backoff().delay(chance) <= 1.0


def test_a_link_state_counts_changes_of_state_and_keeps_since_when_the_reason_changes() -> None:
    link = LinkState(Reason("a", "not tried yet"), 10.0, "T10")
    assert (link.health.state, link.health.changes, link.health.since) == ("waiting", 0, "T10")
    assert link.update("down", (Reason("b", "connection refused"),), 11.0, "T11")
    assert not link.update("down", (Reason("b", "connection refused"),), 12.0, "T12")
    assert link.update("down", (Reason("c", "bad password"),), 13.0, "T13")
    assert (link.health.since, link.health.why, link.health.changes) == ("T11", "bad password", 1)
    assert link.seconds(15.0) == 4.0
    assert link.update("up", (Reason("d", "connected"),), 16.0, "T16")
    assert (link.health.state, link.health.since, link.health.changes) == ("up", "T16", 2)


def test_the_clocks_agree_and_display_time_is_utc_with_milliseconds() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    # The one has been slewed since this process began, by what a time service does in this time.
    assert clock.boottime() == pytest.approx(before, abs=1.0)
    assert before <= clock.uptime() <= before + 1.0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", clock.wall_time())
