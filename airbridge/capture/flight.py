"""Has the services on this host write their last minutes to files, and puts two such files together [shell]."""

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final

import typer

from airbridge.capture.join import CannotJoin, Capture, join
from airbridge.capture.output import Force, Output, default_path, fail, load_capture
from airbridge.doctor.gather_host import find_processes, takes_signal
from ksem_contract.message_fields import InvalidMessage, UnknownVersion
from service_runtime.clock import boottime

WITHIN = 20.0
"""Seconds that a service may take to write: it gives way to the inverter after every few records."""
STATE = [Path("/var/lib/ksem-publisher"), Path("/var/lib/rtu-server")]


def flight(
    directory: Annotated[
        list[Path] | None,
        typer.Option(help="Where the services write (`[recorder] directory`); may be repeated."),
    ] = None,
) -> None:
    """Make the services on this host write the traffic of their last minutes to files.

    Each service keeps the newest 3 minutes or so in memory, and writes them to a file by itself 5 seconds after a
    fault. This command has it done now, by SIGUSR1. Run it as root, on both hosts if there are two, and put the files
    together with `airbridge capture join`.

    In containers: `docker compose kill --signal USR1 ksem-publisher rtu-server`.
    """
    folders = directory or STATE
    services = find_services()
    if not services:
        fail("no ksem-publisher and no rtu-server runs on this host, as far as this user may see: run it as root there")
    known = files_in(folders)
    try:
        request_files(services)
    except PermissionError:
        fail(f"this user may not signal {', '.join(services.values())}: run it as root")
    written = await_files(folders, known, len(services), WITHIN)
    for path in written:
        typer.echo(path)
    if len(written) < len(services):
        places = ", ".join(map(str, folders))
        fail(f"{len(written)} of {len(services)} services wrote a file to {places}: see their logs, and [recorder]")


def join_files(
    first: Annotated[Path, typer.Argument(help="A file that a service wrote.")],
    second: Annotated[Path, typer.Argument(help="One of the other end.")],
    output: Output = None,
    force: Force = False,
) -> None:
    """Put the files of a publisher and of an rtu-server on one clock, into one file.

    `airbridge capture show` prints its summary, `airbridge demo --replay` runs the chain with it.
    """
    try:
        merged, uncertainty = join(_loaded(first), _loaded(second))
    except CannotJoin as error:
        fail(f"{first} and {second}: {error}")
    path = output or default_path("bridge")
    try:
        with path.open("w" if force else "x", encoding="ascii") as file:
            file.write(merged.header.encode() + "\n")
            file.writelines(f"{record.encode()}\n" for record in merged.records)
    except FileExistsError:
        fail(f"{path} is there already: choose another --output, or --force to overwrite it")
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    typer.echo(f"{len(merged.records)} records in {path}, on one clock to {1000 * uncertainty:.1f} ms")


def _loaded(path: Path) -> Capture:
    try:
        header, records = load_capture(path)
    except (OSError, InvalidMessage, UnknownVersion, UnicodeDecodeError) as error:
        fail(f"{path}: {error}")
    if header.kind != "bridge":
        fail(f"{path}: a file of `capture {header.kind}`; join takes the files that the services write")
    return Capture(header, records)


SERVICES: Final = ("ksem-publisher", "rtu-server")
POLL_STEP: Final = 0.2


def find_services() -> dict[int, str]:
    """Return the running services by process id, as far as this user may see them.

    Those of an earlier build are left out: they would end by the signal. Ours block it, and wait for it.
    """
    found = find_processes(SERVICES)
    return {pid: name for pid, name in found.items() if takes_signal(pid, signal.SIGUSR1, "SigBlk", "SigCgt")}


def request_files(processes: Iterable[int]) -> None:
    """Send SIGUSR1 to each. PermissionError where this user may not."""
    for process in processes:
        os.kill(process, signal.SIGUSR1)


def files_in(folders: Iterable[Path]) -> set[Path]:
    """Return the flight files there are."""
    return {path for folder in folders for path in folder.glob("*.jsonl")}


def await_files(folders: Iterable[Path], known: set[Path], count: int, within: float) -> list[Path]:
    """Return the files that were written since `known` was looked at, once there are `count` or the time is over."""
    folders, until = list(folders), boottime() + within
    while True:
        new = sorted(files_in(folders) - known)
        if len(new) >= count or boottime() > until:
            return new
        time.sleep(POLL_STEP)
