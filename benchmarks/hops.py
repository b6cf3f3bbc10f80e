"""What runs beside the chain for comparison: the bare broker hop, a receiver that only acknowledges [shell]."""

import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.bare_hop import RECORD
from ksem_contract.block_message import BlockMessage
from ksem_simulators.handles import KsemHandle
from tests.bridge.broker import accepts, free_port

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
        self._sent, self._heard = folder / "hop.sent", folder / "hop.heard"

    @contextmanager
    def running(self, port: int) -> Iterator[None]:
        payload = self._sent.with_suffix(".payload")
        payload.write_bytes(_PAYLOAD.encode())
        words = [sys.executable, "-m", "benchmarks.bare_hop"]
        both = [
            subprocess.Popen([*words, role, str(port), str(log), str(payload)])
            for role, log in (("subscribe", self._heard), ("publish", self._sent))
        ]
        try:
            yield
        finally:
            for process in both:
                process.kill()
                process.wait()

    def within(self, windows: Sequence[tuple[float, float]]) -> list[float]:
        """Seconds from publish() to the subscriber's callback, of the messages sent in these windows."""
        heard = dict(struct.iter_unpack(RECORD.format, self._heard.read_bytes()))
        sent = struct.iter_unpack(RECORD.format, self._sent.read_bytes())
        return [
            heard[number] - at
            for number, at in sent
            if number in heard and any(begin <= at <= end for begin, end in windows)
        ]


@contextmanager
def meter_with_empty_receiver(folder: Path) -> Iterator[KsemHandle]:
    """Another meter, which pushes 5 times a second to a receiver that only acknowledges."""
    port = free_port()
    receiver = subprocess.Popen([sys.executable, "-m", "benchmarks.empty_receiver", str(port)])
    try:
        while not accepts("127.0.0.1", port):
            time.sleep(0.02)
        with KsemHandle(folder, push=("127.0.0.1", port), name="beside") as meter:
            yield meter
    finally:
        receiver.kill()
        receiver.wait()
