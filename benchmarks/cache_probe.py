"""rtu-server itself, which also writes down from when on each live block is served.

    python -m benchmarks.cache_probe --config FILE      the file is named by BENCH_PROBE

One record a block: when the reply book had turned over (seconds), boot_ms of the message, 1 for a push.
"""

import os
import struct
import sys
from typing import Final

from rtu_server.__main__ import main
from rtu_server.register_cache import CacheState
from rtu_server.reply_book import ReplyBook
from service_runtime.clock import boottime

RECORD: Final = struct.Struct("=dqq")


def _watch() -> None:
    descriptor = os.open(os.environ["BENCH_PROBE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    renew = ReplyBook.renew
    seen = 0

    def renew_and_tell(book: ReplyBook, state: CacheState, now: float) -> None:
        nonlocal seen
        renew(book, state, now)
        served_from = boottime()
        live = state.blocks.get("live")
        if live is not None and live.message.boot_ms != seen:
            seen = live.message.boot_ms
            os.write(descriptor, RECORD.pack(served_from, seen, live.message.source == "push"))

    ReplyBook.renew = renew_and_tell  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    _watch()
    sys.exit(main())
