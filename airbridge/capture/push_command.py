"""The command line of `airbridge capture push`."""

import asyncio
import errno
import signal
from typing import Annotated

import typer
from rich.console import Console

from airbridge.capture import push as push_shell
from airbridge.capture.common import Force, Output, Seconds, WithSerial, fail, opened, tell_end
from airbridge.capture.output import CaptureOutput, default_path
from airbridge.capture.progress import Progress


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
        capture = push_shell.PushCapture(file, serial_number=with_serial_number)
        console.print(
            f"Listening on {listen}:{port}, writing to {file.path}. Ctrl-C ends.", highlight=False, markup=False
        )
        try:
            asyncio.run(_push(capture, console, file, listen, port, seconds))
        except OSError as error:
            remedy = "; is ksem-publisher running here? Take another --port" if error.errno == errno.EADDRINUSE else ""
            fail(f"{listen}:{port}: {error.strerror or error}{remedy}")
    tell_end(console, "push", capture.summary, file)


async def _push(
    capture: push_shell.PushCapture, console: Console, file: CaptureOutput, host: str, port: int, seconds: float | None
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with Progress(console) as shown:
        await push_shell.record_pushes(capture, shown, file, stop, host=host, port=port, seconds=seconds)
