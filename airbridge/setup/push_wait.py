"""Waits for a meter's first write, where no publisher does [shell]."""

import asyncio
import contextlib
import errno

from airbridge.capture.push_records import WrittenRegisters, answer
from airbridge.setup.steps import PushAnswer, WaitForPush
from modbus_codec.pdu import BadFrame
from modbus_codec.tcp import MbapReader
from service_runtime.clock import boottime


def wait_for_push(step: WaitForPush) -> PushAnswer:
    """Accept writes from anybody, answer them, and return with the first one."""
    try:
        peer = asyncio.run(_wait(step))
    except OSError as error:
        state = "taken" if error.errno == errno.EADDRINUSE else "failed"
        return PushAnswer("taken" if state == "taken" else "failed", why=error.strerror or str(error))
    return PushAnswer("pushed", peer) if peer else PushAnswer("nothing")


async def _wait(step: WaitForPush) -> str:
    wrote: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str((writer.get_extra_info("peername") or ("?",))[0])
        frames, written = MbapReader(), WrittenRegisters()
        with contextlib.suppress(BadFrame, OSError):
            while data := await reader.read(4096):
                for frame in frames.feed(data):
                    reply, record = answer(frame, peer, boottime(), written)
                    writer.write(reply.encode())
                    if record.what == "write" and not wrote.done():
                        wrote.set_result(peer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, step.listen, step.port)
    try:
        return await asyncio.wait_for(wrote, step.seconds)
    except TimeoutError:
        return ""
    finally:
        server.close()
