"""Summarises flight files [core]: push, poll and bus, each as a capture of its own."""

from dataclasses import replace
from typing import Final

from airbridge.capture.summary import CaptureSummary
from ksem_contract.capture_file import CaptureRecord

PUSH: Final = frozenset({"connected", "closed", "write", "read", "refused"})
BUS: Final = frozenset({"request", "reply", "exception", "noise"})
POLL: Final = {"poll": "request", "poll-reply": "reply", "poll-exception": "exception"}
"""A poll has requests and replies, as the bus has."""


class BridgeSummary:
    """Pushes, polls and buses, by whose they are."""

    def __init__(self) -> None:
        self.parts: dict[tuple[str, str], CaptureSummary] = {}
        """By kind (push, poll, bus) and where."""
        self.notes: list[CaptureRecord] = []
        """What is none of these: faults, states, losses; the newest hundred."""

    def add(self, record: CaptureRecord) -> None:
        """Count one record."""
        what = record.what
        if what in PUSH:
            self._part("push", record).add(record)
        elif what in POLL:
            self._part("poll", record).add(replace(record, what=POLL[what]))
        elif what in BUS:
            self._part("bus", record).add(record)
        elif what not in ("held", "poll-failed", "session", "clock"):
            self.notes = [*self.notes[-99:], record]

    def finish(self, now: float) -> None:
        """Call at the end."""
        for part in self.parts.values():
            part.finish(now)

    def count(self, kind: str, what: str) -> int:
        """Records of one kind, wherever they come from."""
        return sum(part.counts[what] for (of, _), part in self.parts.items() if of == kind)

    def _part(self, kind: str, record: CaptureRecord) -> CaptureSummary:
        key = (kind, record.where or "")
        part = self.parts.get(key)
        if part is None:
            part = self.parts[key] = CaptureSummary()
        return part
