"""Listens for pushes itself, where no publisher does [shell]."""

import asyncio
from collections import defaultdict
from itertools import pairwise
from statistics import median
from typing import Final

from airbridge.capture.push_records import WrittenRegisters, answer
from airbridge.doctor.facts import ListenFacts, PushedBy
from ksem_contract.blocks import PUSH_GROUPS
from ksem_contract.register_range import RegisterRange
from modbus_codec.errors import BadFrame
from modbus_codec.tcp import MbapReader
from service_runtime.clock import boottime

MOST: Final = 20_000
"""Writes kept a peer."""


def listen(host: str, port: int, seconds: float) -> ListenFacts:
    """Accept writes from anybody for so long."""
    where = f"{host}:{port}"
    writes: dict[str, list[tuple[float, RegisterRange]]] = defaultdict(list)
    try:
        asyncio.run(_listen(host, port, seconds, writes))
    except OSError as error:
        text = f"can't listen on {where}: {error.strerror or error} (ksem-publisher listens there: see its health)"
        return ListenFacts(where, seconds, error=text)
    return ListenFacts(where, seconds, peers={peer: _sum_up(found) for peer, found in writes.items()})


async def _listen(host: str, port: int, seconds: float, writes: dict[str, list[tuple[float, RegisterRange]]]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str((writer.get_extra_info("peername") or ("unknown",))[0])
        frames, written = MbapReader(), WrittenRegisters()
        try:
            while data := await reader.read(4096):
                for frame in frames.feed(data):
                    reply, record = answer(frame, peer, boottime(), written)
                    writer.write(reply.encode())
                    if record.what == "write" and record.start is not None and len(writes[peer]) < MOST:
                        writes[peer].append((record.t, RegisterRange(record.start, record.count or 1)))
                await writer.drain()
        except (BadFrame, OSError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, port)
    try:
        await asyncio.sleep(seconds)
    finally:
        server.close()


def _sum_up(found: list[tuple[float, RegisterRange]]) -> PushedBy:
    first = found[0][1]
    times = [at for at, written in found if written == first]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    names = [f"{name} ({group})" for name, group in PUSH_GROUPS.items() if any(group.overlaps(one) for _, one in found)]
    return PushedBy(len(found), round(1000 * median(gaps)) if gaps else None, tuple(names))
