"""Runs a receiver that does nothing but acknowledge: `python -m benchmarks.empty_receiver PORT`.

A meter's wait for it is the time that asyncio, the kernel and the simulated meter take by themselves.
"""

import asyncio
import socket
import sys


class Acknowledge(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        # Transaction and protocol, the length of what follows, then unit, function, start and count.
        self._transport.write(data[:4] + b"\0\6" + data[6:12])


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Acknowledge, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
