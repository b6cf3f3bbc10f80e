"""Two services' clocks on one time axis, and what is lost between them and whoever records."""

import pytest

from airbridge.capture.bridge_source import BridgeSource, Place, ServiceClock
from ksem_contract.capture_feed import CaptureBatch, WireEvent


def test_another_hosts_clock_is_known_to_half_a_round_trip() -> None:
    clock = ServiceClock()
    clock.add_echo(100.0, 100.2, 5000.1)
    assert clock.local(5001.0) == pytest.approx(101.0)
    assert clock.uncertainty == pytest.approx(0.1)


def test_the_tightest_echo_counts_until_it_is_old() -> None:
    clock = ServiceClock()
    clock.add_echo(100.0, 100.002, 5000.0)
    clock.add_echo(101.0, 101.5, 5001.0)
    assert clock.local(5000.0) == pytest.approx(100.001)
    # 200 ppm apart: after a thousand seconds a looser echo is the better one.
    clock.add_echo(1100.0, 1100.1, 6000.2)
    assert clock.local(6000.2) == pytest.approx(1100.05)


def test_a_clock_that_agrees_with_ours_is_ours() -> None:
    clock = ServiceClock()
    clock.add_echo(100.0, 100.004, 100.003)
    assert clock.local(123.456789) == 123.456789


def _batch(number: int, *events: WireEvent, run: str = "a", dropped: int = 0) -> CaptureBatch:
    return CaptureBatch(run, number, 0, dropped=dropped, events=events)


def _source() -> BridgeSource:
    source = BridgeSource(Place("main", is_node=False), serial_number=False)
    source.asked("n", 10.0)
    source.hear(CaptureBatch("a", 4, 510_000_000, nonce="n", about={"unit": "1"}), 10.0)
    return source


def test_events_get_the_local_time() -> None:
    (record,) = _source().hear(_batch(5, WireEvent(511.0, "connected", "meter:1", b"")), 11.5)
    assert record.what == "connected"
    assert record.t == pytest.approx(11.0)


def test_what_is_not_for_us_is_passed_over() -> None:
    source = BridgeSource(Place("main", is_node=False), serial_number=False)
    assert source.hear(_batch(5, WireEvent(511.0, "connected", "meter:1", b"")), 11.5) == []
    source.hear(CaptureBatch("a", 5, 0, nonce="somebody-elses"), 12.0)
    assert not source.clock.is_known


def test_losses_are_told_and_counted() -> None:
    source = _source()
    assert [record.what for record in source.hear(_batch(7, WireEvent(511.0, "closed", "", b"")), 11.0)] == [
        "lost",
        "closed",
    ]
    assert source.lost == 4 - 4 + 2
    assert source.hear(_batch(7, WireEvent(511.0, "closed", "", b"")), 11.0) == [], "delivered twice"
    (record,) = source.hear(_batch(8, dropped=3), 12.0)
    assert (record.what, record.count) == ("lost", 3)
    assert source.lost == 5


def test_a_service_that_starts_anew_is_told_and_dated_anew() -> None:
    source = _source()
    (record,) = source.hear(_batch(1, WireEvent(3.0, "closed", "", b""), run="b"), 20.0)
    assert (record.what, record.where) == ("restarted", "main")
    source.asked("m", 21.0)
    source.hear(CaptureBatch("b", 1, 4_000_000, nonce="m"), 21.0)
    (record,) = source.hear(_batch(2, WireEvent(4.5, "closed", "", b""), run="b"), 22.0)
    assert record.t == pytest.approx(21.5)
