"""Receives from an RS485 port at one speed after the other; sends nothing [shell]."""

import time
from typing import Final

from airbridge.capture.serial_listener import PortError, SerialListener
from airbridge.setup.line_scan import LineScan
from airbridge.setup.steps import LineAnswer, LineMode, ListenToLine
from modbus_codec.rtu import RtuFrameReader
from service_runtime.clock import boottime

_TURN: Final = 0.05


def listen_to_line(step: ListenToLine) -> LineAnswer:
    """Until requests come, or it has tried every speed; on a silent line it stays at the first one."""
    scan = LineScan(step.mode, step.seconds)
    while True:
        try:
            answer = _listen_at(step.path, scan)
        except PortError as error:
            return LineAnswer("failed", step.mode, why=str(error))
        answer = answer or scan.end_of_turn()
        if answer is not None:
            return answer


def _listen_at(path: str, scan: LineScan) -> LineAnswer | None:
    mode: LineMode = scan.mode
    reader = RtuFrameReader()
    with SerialListener(path, baudrate=mode.baudrate, parity=mode.parity, stopbits=mode.stopbits) as port:
        deadline = time.monotonic() + scan.seconds
        while time.monotonic() < deadline:
            data = port.read(reader.idle_gap if reader.pending else _TURN)
            now = boottime()
            frames = reader.flush(now)
            answer = scan.receive([*frames, *reader.feed(data, now)] if data else frames)
            if answer is not None:
                return answer
    return None
