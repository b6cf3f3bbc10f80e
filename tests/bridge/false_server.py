"""rtu-server whose encoder begins to put a wrong register into its answers once a file is there."""

import os
import sys
from pathlib import Path

from modbus_codec.crc import append_crc
from rtu_server import register_cache, reply_cache
from rtu_server.__main__ import main
from rtu_server.reply_cache import Registers, Reply


def _lie(switch: Path) -> None:
    right = reply_cache.encode

    def encode(unit: int, words: Registers, known: Reply | None = None) -> Reply:
        reply = right(unit, words, known)
        if not switch.exists():
            return reply
        frame = reply.answer.frame
        return reply._replace(answer=reply.answer._replace(frame=append_crc(frame[:4] + b"\xee" + frame[5:-2])))

    for module in (reply_cache, register_cache):
        vars(module)["encode"] = encode


if __name__ == "__main__":
    _lie(Path(os.environ["LIE_WHILE_THERE_IS"]))
    sys.exit(main())
