"""The flight files of both ends, put on one clock."""

import pytest

from airbridge.capture.join import CannotJoin, Capture, join
from ksem_contract.capture_file import CaptureHeader, CaptureRecord


def a_file(zero: float, *records: CaptureRecord, clock: str, source: str = "x") -> Capture:
    return Capture(CaptureHeader("bridge", "test", "", zero, source=source, clock=clock), records)


def a_write(t: float) -> CaptureRecord:
    return CaptureRecord(t=t, what="write", where="main", start=0, count=1, values=(7,))


def a_request(t: float) -> CaptureRecord:
    return CaptureRecord(t=t, what="request", where="attic/rs485", start=0, count=1)


HELD = CaptureRecord(t=9.0, what="held", where="main", start=8192, count=1, values=(1,))
SESSION = CaptureRecord(t=9.0, what="session", where="main", session="aa")


def echo(session: str, offset: float) -> CaptureRecord:
    return CaptureRecord(t=9.0, what="clock", where="attic", session=session, offset_s=offset, uncertainty_s=0.002)


@pytest.mark.parametrize("swapped", [False, True])
def test_the_nodes_echo_dates_what_the_publisher_wrote(swapped: bool) -> None:
    publisher = a_file(1000.0, a_write(1.0), a_write(2.0), HELD, SESSION, clock="p", source="meter side")
    node = a_file(50.0, a_request(1.5), a_request(4.0), echo("other", 3.0), echo("aa", -948.0), clock="n")
    merged, uncertainty = join(node, publisher) if swapped else join(publisher, node)
    assert uncertainty == 0.002
    # The write at 1001 of the publisher's clock was at 53 of the node's, 1.5 s after its first request.
    assert [(one.what, one.t) for one in merged.records if one.what in ("write", "request", "held")] == [
        ("request", 0.0),
        ("held", 0.0),
        ("write", 1.5),
        ("request", 2.5),
        ("write", 2.5),
    ]
    assert merged.header.zero == 51.5
    assert "meter side" in merged.header.source


def test_two_files_of_one_host_need_no_echo() -> None:
    merged, uncertainty = join(a_file(100.0, a_write(1.0), clock="h"), a_file(100.5, a_request(1.0), clock="h"))
    assert uncertainty == 0.0
    assert [(one.what, one.t) for one in merged.records] == [("write", 0.0), ("request", 0.5)]


def test_files_that_know_nothing_of_each_other_are_refused() -> None:
    with pytest.raises(CannotJoin, match="ran together"):
        join(a_file(1.0, a_write(1.0), SESSION, clock="p"), a_file(1.0, a_request(1.0), echo("bb", 0.0), clock="n"))
    with pytest.raises(CannotJoin):
        join(a_file(1.0, a_write(1.0), clock=""), a_file(1.0, a_request(1.0), clock=""))
