"""Measures what one block costs the code at both ends, without a network: `python -m benchmarks.code_cost` [shell]."""

import time
from collections.abc import Callable
from typing import Final

from benchmarks.samples import summary
from ksem_contract.block_message import BlockMessage
from ksem_contract.mac import MessageKeys

_KEYS: Final = MessageKeys((bytes(range(32)),))
_TIMES: Final = 5000
_LIVE: Final = BlockMessage(
    meter="main",
    block="live",
    start=0,
    registers=tuple(range(10_000, 10_148)),
    session="5f1c9a2e",
    seq=1812,
    boot_ms=90112345,
    age_ms=3,
    cycle_ms=200,
    source="push",
    time="2026-11-22T10:00:00.123Z",
)


def measure_code_cost() -> dict[str, float | int | None]:
    """Return microseconds to make the code of a live block and to check it, both together, as a `summary`."""
    sealed = _LIVE.encode(_KEYS)
    head = sealed[:-42]
    samples = [_seconds(lambda: _KEYS.seal(head)) + _seconds(lambda: _KEYS.check(sealed)) for _ in range(_TIMES)]
    return summary(samples, factor=1e6)


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


if __name__ == "__main__":
    print(measure_code_cost())
