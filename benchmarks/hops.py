"""Runs the bare broker hop beside the chain for comparison [shell]."""

import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.bare_hop import RECORD
from ksem_contract.block_message import BlockMessage

_PAYLOAD: Final = BlockMessage(
    meter="main",
    block="live",
    start=0,
    registers=tuple((7919 * address) % 65536 for address in range(148)),
    session="5f1c9a2e",
    seq=1812,
    boot_ms=90112345,
    age_ms=3,
    cycle_ms=200,
    source="push",
    time="2026-11-22T10:00:00.123Z",
)
"""A live block as it travels, some 0.9 kB."""


class BareHop:
    """Two processes with paho, one publishing, one subscribed, over the chain's own broker."""

    def __init__(self, folder: Path) -> None:
        self._sent, self._received = folder / "hop.sent", folder / "hop.received"

    @contextmanager
    def running(self, port: int) -> Iterator[None]:
        payload = self._sent.with_suffix(".payload")
        payload.write_bytes(_PAYLOAD.encode())
        words = [sys.executable, "-m", "benchmarks.bare_hop"]
        both = [
            subprocess.Popen([*words, role, str(port), str(log), str(payload)])
            for role, log in (("subscribe", self._received), ("publish", self._sent))
        ]
        try:
            yield
        finally:
            for process in both:
                process.kill()
                process.wait()

    def within(self, windows: Sequence[tuple[float, float]]) -> list[float]:
        """Seconds from publish() to the subscriber's callback, of the messages sent in these windows."""
        received = dict(struct.iter_unpack(RECORD.format, self._received.read_bytes()))
        sent = struct.iter_unpack(RECORD.format, self._sent.read_bytes())
        return [
            received[number] - at
            for number, at in sent
            if number in received and any(begin <= at <= end for begin, end in windows)
        ]
