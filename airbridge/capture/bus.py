"""`airbridge capture bus`: listen to the line between a real meter and a real inverter [shell]."""

import threading
from typing import Final

from airbridge.capture.output import CaptureOutput
from airbridge.capture.progress import Progress
from airbridge.capture.report import progress
from airbridge.capture.serial_listener import SerialListener
from airbridge.capture.summary import CaptureSummary
from modbus_codec.rtu_reader import RtuFrameReader
from service_runtime.clock import boottime
from service_runtime.recorder.bus_records import BusRecorder

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

    PortError when the port goes away, OSError when the disk is full; what was heard until then is kept.
    """
    reader = RtuFrameReader(idle_gap)
    recorder = BusRecorder(output.zero, character, serial_number=serial_number)
    try:
        while not stop.is_set() and (seconds is None or output.now < seconds):
            data = port.read(idle_gap if reader.pending else PATIENCE)
            now = boottime()
            # What is older than the gap is flushed before the new bytes are dated.
            heard = reader.flush(now)
            if data:
                recorder.arrived(data, now)
                heard = heard + reader.feed(data, now)
            for record in recorder.records(heard):
                output.write(record)
                summary.add(record)
            if shown.due:
                shown.show(progress("bus", summary, output.now))
    finally:
        for record in recorder.records(reader.flush(boottime() + 2 * idle_gap)):
            output.write(record)
            summary.add(record)
        summary.finish(output.now)
