"""Runs pymodbus's own serial server with a plain store: `python -m benchmarks.pymodbus_server PORT`."""

import asyncio
import sys

from pymodbus import FramerType
from pymodbus.server import StartAsyncSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice


async def main(port: str) -> None:
    registers = SimData(0, values=0, count=65536 - 1, datatype=DataType.REGISTERS)
    await StartAsyncSerialServer(
        SimDevice(1, simdata=[registers]), framer=FramerType.RTU, port=port, baudrate=38400, stopbits=2
    )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
