"""`airbridge capture push`: accepts the KSEM's writes as the publisher does, and records them [shell]."""

import asyncio
import contextlib
import errno
import signal
import socket
from typing import Annotated, Final

import typer
from rich.console import Console

from airbridge.capture.output import (
    CaptureOutput,
    Force,
    Output,
    Progress,
    Seconds,
    WithSerial,
    default_path,
    fail,
    opened,
    print_end,
)
from airbridge.capture.push_records import WrittenRegisters, answer, broken
from airbridge.capture.report import progress
from airbridge.capture.summary import CaptureSummary
from ksem_contract.capture_file import CaptureRecord
from modbus_codec.pdu import BadFrame
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


def push(
    listen: Annotated[str, typer.Option(help="Address of this computer to listen on.")] = "0.0.0.0",  # noqa: S104  the meter is elsewhere
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port to listen on.")] = 5020,
    seconds: Seconds = None,
    output: Output = None,
    force: Force = False,
    with_serial_number: WithSerial = False,
) -> None:
    """Record what a KSEM in master mode writes: each write with its time, address, unit, registers and values.

    **What to do**

    1. Run `airbridge capture push --seconds 300` on a computer in the meter's network. The bridge itself
    need not run; where ksem-publisher runs on this computer, stop it first or take another --port.

    2. In the KSEM's web page open *Modbus settings*, advanced: switch the *TCP master*
    on and add a slave with this computer's IP address and port 5020. There is nothing else to set: unit and function
    are the KSEM's own choice.

    3. Switch all four register groups on: instantaneous values total and phases, energy total and phases. Leave the
    fixed transmit interval off, so that it writes after each measuring cycle.

    4. Wait for the counts to grow. Afterwards remove the slave again, or point it to the bridge.

    The file holds your meter's values and the addresses in your network, not its serial number.
    """
    console = Console()
    with opened(output or default_path("push"), "push", f"{listen}:{port}", force, with_serial_number) as file:
        capture = PushCapture(file, serial_number=with_serial_number)
        console.print(
            f"Listening on {listen}:{port}, writing to {file.path}. Ctrl-C ends.", highlight=False, markup=False
        )
        try:
            asyncio.run(_push(capture, console, file, listen, port, seconds))
        except OSError as error:
            remedy = "; is ksem-publisher running here? Take another --port" if error.errno == errno.EADDRINUSE else ""
            fail(f"{listen}:{port}: {error.strerror or error}{remedy}")
    print_end(console, "push", capture.summary, file)


async def _push(
    capture: PushCapture, console: Console, file: CaptureOutput, host: str, port: int, seconds: float | None
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with Progress(console) as shown:
        await record_pushes(capture, shown, file, stop, host=host, port=port, seconds=seconds)
