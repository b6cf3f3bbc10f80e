"""A recording of a running bridge, summed up for people: pushes, polls and buses apart, faults in words."""

from io import StringIO
from typing import Any

from rich.console import Console

from airbridge.capture.report import bridge_report
from airbridge.capture.summary import BridgeSummary
from ksem_contract.capture_file import CaptureRecord

READ: dict[str, Any] = {"function": 3, "unit": 1, "start": 0, "count": 28}


def summed(*records: CaptureRecord) -> BridgeSummary:
    summary = BridgeSummary()
    for record in records:
        summary.add(record)
    summary.finish(100.0)
    return summary


def printed(summary: BridgeSummary) -> str:
    console = Console(file=StringIO(), width=140)
    console.print(bridge_report(summary))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_each_conversation_is_summed_up_by_itself() -> None:
    summary = summed(
        CaptureRecord(t=0.0, what="held", where="main", start=0, count=1, values=(1,)),
        CaptureRecord(t=1.0, what="write", where="main", peer="meter:1", **READ),
        CaptureRecord(t=1.1, what="request", where="attic/rs485", **READ),
        CaptureRecord(t=1.2, what="poll", where="main", **READ),
        CaptureRecord(t=1.3, what="reply", where="attic/rs485", delay_ms=1.8, **READ),
        CaptureRecord(t=1.4, what="poll-reply", where="main", delay_ms=200.0, **READ),
        CaptureRecord(t=2.0, what="poll", where="main", **READ),
        CaptureRecord(t=4.0, what="poll-failed", where="main", why="no answer in 2 s", **READ),
    )
    assert {key: part.rows[0].answered for key, part in summary.parts.items()} == {
        ("push", "main"): 1,
        ("poll", "main"): 1,
        ("bus", "attic/rs485"): 1,
    }
    assert summary.parts["poll", "main"].rows[0].timeouts == 1
    text = printed(summary)
    for words in ("main: push", "main: poll", "attic/rs485: bus", "What the publisher requests of the meter"):
        assert words in text


def test_what_is_none_of_them_is_told_in_words_and_bounded() -> None:
    faults = [CaptureRecord(t=float(n), what="state", where="main", why=f"down: number {n}") for n in range(200)]
    summary = summed(*faults)
    assert len(summary.notes) == 100
    assert "main: state: down: number 199" in printed(summary)


def test_a_silent_bridge_is_told_so() -> None:
    assert "silent" in printed(summed())
