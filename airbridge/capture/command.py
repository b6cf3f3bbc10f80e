"""The command line of `airbridge capture`."""

import asyncio
import errno
import signal
import threading
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from airbridge.capture import bus as bus_shell
from airbridge.capture import push as push_shell
from airbridge.capture.bus_records import BITS, character_time
from airbridge.capture.output import CaptureOutput, OutputExists, default_path, load_capture
from airbridge.capture.progress import Progress
from airbridge.capture.report import report
from airbridge.capture.serial_listener import PortError, SerialListener
from airbridge.capture.summary import CaptureSummary
from ksem_contract.errors import InvalidMessage

app = typer.Typer(
    help="Record what the KSEM writes (push) or what the inverter asks (bus), into a file you can share.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Seconds = Annotated[float | None, typer.Option(min=0.1, help="End by itself after so many seconds; else by Ctrl-C.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="The file to write; by default ksem-KIND-DATE-TIME.jsonl in this folder."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file if it is there already.")]
WithSerial = Annotated[
    bool,
    typer.Option("--with-serial-number", help="Leave the meter's serial number in; by default it is taken out."),
]


@app.command()
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
    with _opened(output or default_path("push"), "push", f"{listen}:{port}", force, with_serial_number) as file:
        capture = push_shell.PushCapture(file, serial_number=with_serial_number)
        console.print(f"Listening on {listen}:{port}, writing to {file.path}. Ctrl-C ends.", highlight=False)
        try:
            asyncio.run(_push(capture, console, file, listen, port, seconds))
        except OSError as error:
            remedy = "; is ksem-publisher running here? Take another --port" if error.errno == errno.EADDRINUSE else ""
            _fail(f"{listen}:{port}: {error.strerror or error}{remedy}")
    _end(console, "push", capture.summary, file)


async def _push(
    capture: push_shell.PushCapture, console: Console, file: CaptureOutput, host: str, port: int, seconds: float | None
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with Progress(console) as shown:
        await push_shell.record_pushes(capture, shown, file, stop, host=host, port=port, seconds=seconds)


@app.command()
def bus(
    port: Annotated[str, typer.Argument(help="The RS485 adapter's port, best its /dev/serial/by-id path.")],
    baudrate: Annotated[int, typer.Option(min=300, help="Bits a second.")] = 38400,
    parity: Annotated[str, typer.Option(help="N, E or O.")] = "N",
    stopbits: Annotated[int, typer.Option(min=1, max=2, help="Stop bits.")] = 2,
    idle_gap: Annotated[
        float, typer.Option(min=0.002, max=1.0, help="Silence in seconds that ends a broken frame.")
    ] = 0.025,
    seconds: Seconds = None,
    output: Output = None,
    force: Force = False,
    with_serial_number: WithSerial = False,
) -> None:
    """Listen to the RS485 line between a real meter and a real inverter, and never send a byte.

    **What to do**, where a KSEM is still joined to the inverter by its cable:

    1. Take a USB RS485 adapter, isolated if you can, without a terminating resistor: the line's ends have theirs.
    Clip its A to the line's A, its B to B and its ground to ground, at the inverter's or the meter's terminals, while
    both go on talking. Swapped A and B do no harm: only noise is heard then.

    2. Run `airbridge capture bus /dev/serial/by-id/... --seconds 300`. A Plenticore talks with 38400 baud
    and 2 stop bits, which is the default here.

    3. While it runs, switch the inverter's line off and on at its plug once, if you can: what it asks first, to find
    the meter, is what nobody has seen yet.

    This command never writes to the port. An adapter that switches its direction by itself needs no setting. The file
    holds your meter's values, not its serial number.
    """
    if parity not in BITS:
        _fail(f"--parity {parity}: N, E or O is allowed")
    console = Console()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        listener = SerialListener(port, baudrate=baudrate, parity=parity, stopbits=stopbits)
    except PortError as error:
        _fail(str(error))
    summary = CaptureSummary()
    failed = ""
    source = f"{baudrate} baud, parity {parity}, {stopbits} stop bits"
    with listener, _opened(output or default_path("bus"), "bus", source, force, with_serial_number) as file:
        console.print(f"Listening on {port}, {source}, writing to {file.path}. Ctrl-C ends.", highlight=False)
        with Progress(console) as shown:
            try:
                bus_shell.listen(
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
    _end(console, "bus", summary, file)
    if failed:
        _fail(failed)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="A file that `capture push` or `capture bus` has written.")],
) -> None:
    """Print the summary of a captured file."""
    try:
        header, records = load_capture(file)
    except (OSError, InvalidMessage, UnicodeDecodeError) as error:
        _fail(f"{file}: {error}")
    summary = CaptureSummary()
    for record in records:
        summary.add(record)
    summary.finish(summary.last)
    console = Console()
    console.print(f"{header.kind}, {header.source}, {header.started}, airbridge {header.tool}", highlight=False)
    console.print(report(header.kind, summary))


def _opened(path: Path, kind: str, source: str, force: bool, serial_number: bool) -> CaptureOutput:
    try:
        return CaptureOutput(path, kind, source, force=force, serial_number=serial_number)
    except OutputExists as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{path}: {error.strerror}")


def _end(console: Console, kind: str, summary: CaptureSummary, file: CaptureOutput) -> None:
    console.print(report(kind, summary))
    console.print(f"{file.records} records in {file.path}", highlight=False)


def _fail(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(2)
