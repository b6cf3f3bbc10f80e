"""Runs rtu-server itself, and records from when on it serves each live block.

    python -m benchmarks.cache_probe --config FILE      the file is named by BENCH_PROBE

One record a block: when the cache had turned over (seconds), boot_ms of the message, 1 for a push.
"""

import os
import struct
import sys
from typing import Final

from ksem_contract.block_message import BlockMessage
from rtu_server.__main__ import main
from rtu_server.register_cache import BlockResult, RegisterCache
from service_runtime.clock import boottime

RECORD: Final = struct.Struct("=dqq")


def _watch() -> None:
    descriptor = os.open(os.environ["BENCH_PROBE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    on_block = RegisterCache.on_block

    def on_block_recorded(cache: RegisterCache, message: BlockMessage, now: float) -> BlockResult:
        received = on_block(cache, message, now)
        if received is BlockResult.HELD and message.block == "live":
            os.write(descriptor, RECORD.pack(boottime(), message.boot_ms, message.source == "push"))
        return received

    RegisterCache.on_block = on_block_recorded  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    _watch()
    sys.exit(main())
