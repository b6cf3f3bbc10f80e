"""`airbridge capture bus`: records the line between a real meter and a real inverter [shell]."""

import signal
import threading
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
from airbridge.capture.report import progress
from airbridge.capture.serial_listener import PortError, SerialListener
from airbridge.capture.summary import CaptureSummary
from modbus_codec.rtu import RtuFrameReader
from service_runtime.clock import boottime
from service_runtime.recorder.bus_records import BITS, BusRecorder, character_time


def bus(
    port: Annotated[str, typer.Argument(help="The RS485 adapter's port, best its /dev/serial/by-id path.")],
    baudrate: Annotated[int, typer.Option(min=300, help="Bits a second.")] = 38400,
    parity: Annotated[str, typer.Option(help="N, E or O.")] = "N",
    stopbits: Annotated[int, typer.Option(min=1, max=2, help="Stop bits.")] = 2,
    idle_gap: Annotated[
        float, typer.Option(min=0.002, max=1.0, help="Silence in seconds that ends a broken frame.")
    ] = 0.1,  # longer than a server's: a pause of this host, while bytes wait for it, is no silence on the line
    seconds: Seconds = None,
    output: Output = None,
    force: Force = False,
    with_serial_number: WithSerial = False,
) -> None:
    """Listen to the RS485 line between a real meter and a real inverter, and never send a byte.

    **What to do**, where a KSEM is still joined to the inverter by its cable:

    1. Take a USB RS485 adapter, isolated if you can, without a terminating resistor: the line's ends have theirs.
    Clip its A to the line's A, its B to B and its ground to ground, at the inverter's or the meter's terminals, while
    both keep communicating. Swapped A and B do no harm: the capture shows only noise then.

    2. Run `airbridge capture bus /dev/serial/by-id/... --seconds 300`. A Plenticore talks with 38400 baud
    and 2 stop bits, which is the default here.

    3. While it runs, switch the inverter's line off and on at its plug once, if you can: what it polls first, to find
    the meter, is what nobody has seen yet.

    This command never writes to the port. An adapter that switches its direction by itself needs no setting. The file
    holds your meter's values, not its serial number.
    """
    if parity not in BITS:
        fail(f"--parity {parity}: N, E or O is allowed")
    console = Console()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        listener = SerialListener(port, baudrate=baudrate, parity=parity, stopbits=stopbits)
    except PortError as error:
        fail(str(error))
    summary = CaptureSummary()
    failed = ""
    source = f"{baudrate} baud, parity {parity}, {stopbits} stop bits"
    with listener, opened(output or default_path("bus"), "bus", source, force, with_serial_number) as file:
        console.print(
            f"Listening on {port}, {source}, writing to {file.path}. Ctrl-C ends.", highlight=False, markup=False
        )
        with Progress(console) as shown:
            try:
                listen(
                    listener,
                    file,
                    summary,
                    shown,
                    stop,
                    character=character_time(baudrate, parity, stopbits),
                    idle_gap=idle_gap,
                    seconds=seconds,
                    serial_number=with_serial_number,
                )
            except (PortError, OSError) as error:
                failed = str(error)
    print_end(console, "bus", summary, file)
    if failed:
        fail(failed)


PATIENCE: Final = 0.1


def listen(
    port: SerialListener,
    output: CaptureOutput,
    summary: CaptureSummary,
    shown: Progress,
    stop: threading.Event,
    *,
    character: float,
    idle_gap: float,
    seconds: float | None,
    serial_number: bool,
) -> None:
    """Record every frame until `stop` is set or `seconds` are over.

    PortError when the port goes away, OSError when the disk is full; the file keeps what was received until then.
    """
    reader = RtuFrameReader(idle_gap)
    recorder = BusRecorder(output.zero, character, serial_number=serial_number)
    try:
        while not stop.is_set() and (seconds is None or output.now < seconds):
            data = port.read(idle_gap if reader.pending else PATIENCE)
            now = boottime()
            # What is older than the gap is flushed before the new bytes are dated.
            received = reader.flush(now)
            if data:
                recorder.arrived(data, now)
                received = received + reader.feed(data, now)
            for record in recorder.records(received):
                output.write(record)
                summary.add(record)
            if shown.due:
                shown.show(progress("bus", summary, output.now))
    finally:
        for record in recorder.records(reader.flush(boottime() + 2 * idle_gap)):
            output.write(record)
            summary.add(record)
        summary.finish(output.now)
