"""`airbridge capture push`: listen as the publisher does, and record what the KSEM writes [shell]."""

import asyncio
import contextlib
import socket
from typing import Final

from airbridge.capture.output import CaptureOutput
from airbridge.capture.progress import Progress
from airbridge.capture.push_records import WrittenRegisters, answer, broken
from airbridge.capture.report import progress
from airbridge.capture.summary import CaptureSummary
from ksem_contract.capture_file import CaptureRecord
from modbus_codec.errors import BadFrame
from modbus_codec.tcp import MbapReader

CONNECTIONS: Final = 32
IDLE: Final = 180.0
"""Seconds without a byte after which a connection is closed, as the publisher does."""


class PushCapture:
    """A Modbus TCP server that lets the meter write whatever it wants, and writes it down."""

    def __init__(self, output: CaptureOutput, *, serial_number: bool) -> None:
        self.summary = CaptureSummary()
        self._output = output
        self._serial_number = serial_number
        self._written = WrittenRegisters()
        self._open: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[None] | None = None
        """Done when records can't be written any more."""

    async def start(self, host: str, port: int) -> asyncio.Server:
        """Listen. OSError where that fails."""
        self.failed = asyncio.get_running_loop().create_future()
        return await asyncio.start_server(self._serve, host, port)

    async def end(self) -> None:
        """Close the connections that are open."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        self.summary.finish(self._output.now)

    def _record(self, record: CaptureRecord) -> None:
        self.summary.add(record)
        try:
            self._output.write(record)
        except OSError as error:
            if self.failed and not self.failed.done():
                self.failed.set_exception(error)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        peer = _name(writer)
        self._record(CaptureRecord(t=self._output.now, what="connected", peer=peer))
        try:
            why = await self._talk(reader, writer, peer)
        except BadFrame as error:
            self._record(broken(peer, self._output.now, error))
        except OSError as error:
            self._record(CaptureRecord(t=self._output.now, what="closed", peer=peer, why=str(error)))
        except asyncio.CancelledError:
            pass  # the capture ends; the meter did not close
        else:
            self._record(CaptureRecord(t=self._output.now, what="closed", peer=peer, why=why))
        finally:
            self._open.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> str:
        if len(self._open) > CONNECTIONS:
            return f"more than {CONNECTIONS} connections at once"
        with contextlib.suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        frames = MbapReader()
        while True:
            try:
                data = await asyncio.wait_for(reader.read(4096), IDLE)
            except TimeoutError:
                return f"silent for {IDLE:.0f} s"
            if not data:
                return "closed by the meter" + (" in the middle of a frame" if frames.pending else "")
            t = self._output.now
            for frame in frames.feed(data):
                reply, record = answer(frame, peer, t, self._written, serial_number=self._serial_number)
                writer.write(reply.encode())
                self._record(record)
            await writer.drain()


async def record_pushes(
    capture: PushCapture,
    shown: Progress,
    output: CaptureOutput,
    stop: asyncio.Event,
    *,
    host: str,
    port: int,
    seconds: float | None,
) -> None:
    """Listen until `stop` is set or `seconds` are over. OSError where the port is taken or the disk is full."""
    server = await capture.start(host, port)
    assert capture.failed is not None
    try:
        while not stop.is_set() and (seconds is None or output.now < seconds) and not capture.failed.done():
            if shown.due:
                shown.show(progress("push", capture.summary, output.now))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.1)
    finally:
        server.close()
        await capture.end()
    if capture.failed.done():
        capture.failed.result()


def _name(writer: asyncio.StreamWriter) -> str:
    address = writer.get_extra_info("peername") or ("unknown", 0)
    return f"{address[0]}:{address[1]}"
