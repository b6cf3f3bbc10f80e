"""Readers over Modbus TCP as a process of their own: `python -m tests.faults.tcp_readers PORT READERS PER_SECOND`.

Prints `ready` once all have an answer; then each reads on until it is ended. An answer that is none ends it with 1.
"""

import asyncio
import os
import sys

from modbus_codec.tcp import MbapFrame, MbapReader

RANGES = ("03 00 00 00 1c", "03 00 28 00 6a")


async def _read_on(port: int, number: int, every: float, begun: asyncio.Event) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    frames = MbapReader()
    loop = asyncio.get_running_loop()
    due = loop.time() + every * number / 20
    request = MbapFrame(number, 1, bytes.fromhex(RANGES[number % 2])).encode()
    while True:
        await asyncio.sleep(max(0.0, due - loop.time()))
        due += every
        writer.write(request)
        while not (found := frames.feed(await reader.read(300))):
            pass
        assert found[0].pdu[0] == 3, found[0].pdu.hex()
        begun.set()


async def _main(port: int, readers: int, per_second: float) -> None:
    begun = [asyncio.Event() for _ in range(readers)]
    async with asyncio.TaskGroup() as group:
        for number, event in enumerate(begun):
            group.create_task(_read_on(port, number, 1 / per_second, event))
        for event in begun:
            await event.wait()
        print("ready", flush=True)


if __name__ == "__main__":
    os.nice(19)  # readers are other hosts: what they do themselves is not to cost the line its core
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
