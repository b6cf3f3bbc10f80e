"""The command line of `airbridge capture bridge`."""

import signal
import threading
from typing import Annotated

import typer
from rich.console import Console

from airbridge.broker_options import Broker, CaFile, PasswordFile, Prefix, broker_settings
from airbridge.capture.bridge import BridgeEar, NothingToRecord
from airbridge.capture.bridge_summary import BridgeSummary
from airbridge.capture.common import Force, Output, Seconds, WithSerial, fail, opened
from airbridge.capture.output import CaptureOutput, default_path
from airbridge.capture.progress import Progress
from airbridge.capture.report import bridge_progress, bridge_report
from ksem_contract.capture_record import CaptureRecord
from service_runtime import mqtt_reasons
from service_runtime.clock import boottime


def bridge(
    broker: Broker = "localhost",
    user: Annotated[
        str | None, typer.Option(help="Name to log in with: the role capture, or one with its rights.")
    ] = None,
    password_file: PasswordFile = None,
    ca_file: CaFile = None,
    prefix: Prefix = "ksem",
    meter: Annotated[list[str] | None, typer.Option(help="Record this meter's publisher; may be repeated.")] = None,
    node: Annotated[list[str] | None, typer.Option(help="Record this RTU server; may be repeated.")] = None,
    seconds: Seconds = None,
    output: Output = None,
    force: Force = False,
    with_serial_number: WithSerial = False,
) -> None:
    """Record what a running bridge hears and says: pushes, polls, the inverter's requests and their answers.

    The services go on as before. They are asked over MQTT to tell what goes over their wires, and stop telling a few
    seconds after this command has ended. It runs on any host that reaches the broker; all times are on one clock,
    wherever the services run. Without `--meter` and `--node` all of them are recorded.

    The simulators can replay the file: `airbridge demo --replay FILE`.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        mqtt = broker_settings(broker, user, password_file, ca_file, prefix)
    except (ValueError, OSError) as error:
        fail(str(error))
    where = mqtt_reasons.address(mqtt)
    console, summary = Console(), BridgeSummary()
    with BridgeEar(mqtt, meter or (), node or (), serial_number=with_serial_number) as ear:
        try:
            ear.find(stop.is_set)
        except NothingToRecord as error:
            fail(f"{where}: {error}")
        names = ", ".join(str(place) for place, source in ear.sources.items() if source.clock.is_known)
        with opened(
            output or default_path("bridge"), "bridge", f"{names} at {where}", force, with_serial_number
        ) as file:
            console.print(
                f"Recording {names} at {where}, writing to {file.path}. Ctrl-C ends.", highlight=False, markup=False
            )
            for place in ear.silent():
                console.print(
                    f"{place} does not answer, and is left out while it does not.", highlight=False, markup=False
                )
            try:
                with Progress(console) as shown:
                    _record(ear, file, summary, shown, stop, seconds)
            except OSError as error:
                fail(f"{file.path}: {error.strerror}")
    console.print(bridge_report(summary))
    if ear.lost:
        console.print(f"{ear.lost} events or messages were lost on the way.", highlight=False, markup=False)
    console.print(f"{file.records} records in {file.path}", highlight=False, markup=False)


def _record(
    ear: BridgeEar,
    file: CaptureOutput,
    summary: BridgeSummary,
    shown: Progress,
    stop: threading.Event,
    seconds: float | None,
) -> None:
    while not stop.is_set() and (seconds is None or file.now < seconds):
        _write(ear.turn(), file, summary)
        if shown.due:
            shown.show(bridge_progress(summary, file.now))
    end = boottime() if seconds is None or stop.is_set() else file.zero + seconds
    _write(ear.rest(end), file, summary)
    summary.finish(end - file.zero)


def _write(records: list[CaptureRecord], file: CaptureOutput, summary: BridgeSummary) -> None:
    for record in records:
        dated = record.after(file.zero)
        if dated is not None:
            file.write(dated)
            summary.add(dated)
