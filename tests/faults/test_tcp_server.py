"""Readers of Modbus TCP servers cost the inverter nothing."""

import math
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bridge.broker import free_port
from tests.chain import Chain

ROUNDS = 8
MOST_ROUNDS = 24
SECONDS = 4.0
LIMIT = 1.10
BUSY_LINE = ("--timeout", "0.15", "--ranges", "0-1", "--period", "0", "--no-detect")
"""About a hundred short requests a second: what a tenth of a millisecond does shows in them."""


@contextmanager
def readers(port: int, count: int, per_second: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.faults.tcp_readers", str(port), str(count), str(per_second)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
        assert process.poll() is None, "a reader got no data"
    finally:
        process.kill()
        process.wait()


def p99_of_a_round(chain: Chain) -> float:
    chain.inverter.command("reset")
    time.sleep(SECONDS)  # what is measured needs so long
    status = chain.inverter.status()
    assert status["turnaround_ms"]["count"] >= 40
    return float(status["turnaround_ms"]["p99"])


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(300)
def test_twenty_readers_do_not_move_the_inverters_turnaround(tmp_path: Path) -> None:
    """20 readers, 10 reads a second each: the p99 moves by 10 % at most. Rounds with and without them take turns."""
    port = free_port()
    tcp = f'[[tcp]]\nlisten = "127.0.0.1"\nport = {port}\n'
    with Chain(tmp_path, server=tcp, inverter_options=BUSY_LINE) as chain:
        chain.start()
        chain.await_good()
        quiet: list[float] = []
        read: list[float] = []
        ratio = math.inf
        with readers(port, 20, 10) as process:
            # The rounds of a busy host scatter by a fifth: where eight do not tell, more of them do.
            while ratio > LIMIT and len(read) < MOST_ROUNDS:
                for _ in range(ROUNDS):
                    read.append(p99_of_a_round(chain))
                    process.send_signal(signal.SIGSTOP)
                    quiet.append(p99_of_a_round(chain))
                    process.send_signal(signal.SIGCONT)
                ratio = statistics.median(read) / statistics.median(quiet)
        chain.assert_never()
    print(f"p99 with readers {sorted(read)}, without {sorted(quiet)}: {ratio:.3f}")
    assert ratio <= LIMIT, f"with readers {sorted(read)}, without {sorted(quiet)}"
