"""A node's messages stay small enough to be read, whatever is asked of however many units."""

from dataclasses import replace

from ksem_contract.health import MAX_ENTRIES, LinkHealth, NoData, NodeHealth, Outage, RequestsMessage, Transit
from ksem_contract.reasons import Reason
from modbus_codec.crc import append_crc
from rtu_server.counters import MAX_REQUESTED, LineCounters, UnitCounters
from rtu_server.health import MAX_WHY, UnitReport, Verdict, judge, node_health, overall, requests_message
from rtu_server.outages import MAX_CODES
from rtu_server.settings import MAX_UNITS

from .test_unit_state import SERVED

GONE = Reason.of("port-missing", port="/dev/serial/by-id/" + "x" * 90)
PORT = LinkHealth("down", "2026-11-22T10:00:00.123Z", str(GONE), 10**6, (GONE,))


def unit_report(number: int, *, start: int = 9000) -> UnitReport:
    """A unit with the longest names, that was asked for as many ranges as are kept apart."""
    counters = UnitCounters()
    for index in range(MAX_REQUESTED):
        request = append_crc(bytes((number, 3)) + (start + index).to_bytes(2) + b"\0\1")
        counters.note(request, "exception-2", 50.0 + index / 10)
        counters.note_times(0.0123456, 0.123456)
    view = replace(SERVED, line="l" * 32, meter="m" * 32, unit=number, port_up=False, port_reasons=PORT.reasons)
    return UnitReport(view, LineCounters({number: counters}), PORT)


def test_requests_of_units_that_were_fully_scanned_can_be_read_and_say_what_they_left_out() -> None:
    message = requests_message([unit_report(number, start=300) for number in range(1, MAX_UNITS + 1)], 60.0)
    found = RequestsMessage.decode(message.encode())
    assert len(found.requests) == MAX_ENTRIES
    assert found.left_out == MAX_UNITS * MAX_REQUESTED - MAX_ENTRIES


def test_what_the_meter_is_to_be_asked_for_is_not_left_out() -> None:
    others = [unit_report(number, start=0) for number in range(2, 10)]
    message = requests_message([*others, unit_report(1, start=9000)], 60.0)
    assert sum(entry.demanded for entry in message.requests) == MAX_REQUESTED


def test_a_few_requests_are_all_there_and_nothing_is_said_of_more() -> None:
    message = requests_message([unit_report(1)], 60.0)
    assert (len(message.requests), message.left_out) == (MAX_REQUESTED, 0)
    assert b"left_out" not in message.encode()


def test_health_of_as_many_units_as_there_may_be_can_be_read() -> None:
    reports = [unit_report(number) for number in range(1, MAX_UNITS + 1)]
    most = Outage(99999999.999, {f"{'x' * 36}-{number}": 9999999.999 for number in range(MAX_CODES + 1)})
    transit = {f"{number:032}": Transit(123456.78, "s" * 32) for number in range(MAX_UNITS)}
    node = overall([judge(report.view, 60.0) for report in reports])
    message = node_health(
        reports,
        node,
        version="1.2.3",
        since=PORT.since,
        broker=PORT,
        transit=transit,
        no_data=NoData(most, most, most),
        now=60.0,
    )
    found = NodeHealth.decode(message.encode())
    assert len(found.units) == MAX_UNITS
    assert "more" in found.why


def test_reasons_that_fit_are_all_told_and_of_others_how_many_there_are() -> None:
    few = overall([Verdict("down", (Reason("port-missing", f"unit {number}: no such port"),)) for number in range(8)])
    assert few.why.count("no such port") == 8
    many = overall([Verdict("down", (Reason("own-error", f"unit {number}: " + "x" * 100),)) for number in range(100)])
    assert len(many.why) <= MAX_WHY + 20
    reported = many.why.count("unit")
    assert many.why.endswith(f"; and {100 - reported} more")
    assert len(overall([Verdict("down", (Reason("own-error", "y" * 5000),))]).why) <= MAX_WHY + 20
