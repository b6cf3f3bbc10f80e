"""Replays a recorded inverter [shell]: sends each request at its recorded time."""

import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final

from ksem_contract.capture_file import CaptureRecord
from ksem_contract.registers import RegisterRange
from ksem_simulators.plenticore.exchange import LineClient
from ksem_simulators.plenticore.inverter import Inverter, OpenPort
from ksem_simulators.plenticore.plan import Plan
from ksem_simulators.plenticore.tally import Transaction
from ksem_simulators.recording import request_frame
from modbus_codec.pdu import FunctionCode
from service_runtime.clock import boottime

_LATE: Final = 1.0
"""Seconds after which a request is left out and not sent late: the line was away, or the process had no CPU."""
_READS: Final = (FunctionCode.READ_HOLDING_REGISTERS, FunctionCode.READ_INPUT_REGISTERS)


class ReplayInverter(Inverter):
    """Sends `requests` at `starts_at` plus their recorded times. The answer to what is no read is passed over."""

    def __init__(
        self,
        requests: list[CaptureRecord],
        plan: Plan,
        open_port: OpenPort,
        baudrate: int,
        truth: Path | None,
        wire_log: Path | None,
        log: IO[str] | None,
    ) -> None:
        super().__init__(replace(plan, detect=False), open_port, baudrate, truth, wire_log, log)
        self.starts_at: float | None = None
        """CLOCK_BOOTTIME; None: not yet."""
        self.left_out: Counter[str] = Counter()
        self._requests = requests
        self._next = 0
        self._requested_at = 0.0

    def begin(self, at: float) -> None:
        """The recording's time 0 is at this moment."""
        if self.starts_at is not None:
            raise ValueError("it has begun already")
        self.starts_at = at
        self._wake.set()

    @property
    def is_over(self) -> bool:
        """Whether everything was sent."""
        return self._next >= len(self._requests)

    def _talk(self, client: LineClient) -> None:
        while not self._stop.is_set():
            self._do_work(client)
            if self.paused or self.starts_at is None or self.is_over:
                self._rest(boottime() + 0.5)
                continue
            record = self._requests[self._next]
            frame = request_frame(record)
            # A recorded time is that of the request's last byte.
            due = self.starts_at + record.t - len(frame or b"") * client.character
            if boottime() < due:
                self._rest(due)
                continue
            self._next += 1
            if frame is None:
                self.left_out["not wholly recorded"] += 1
            elif boottime() - due > _LATE:
                self.left_out["too late"] += 1
            else:
                self._replay(client, record, frame)

    def _replay(self, client: LineClient, record: CaptureRecord, frame: bytes) -> None:
        if record.function not in _READS or record.start is None or not 0 < (record.count or 0) <= 125:
            client.send([(frame, 0.0)], self.plan.timeout)
            return
        unit, function = record.unit or 0, record.function or 0
        if (unit, function) != (self.plan.unit, self.plan.function):
            self.plan = replace(self.plan, unit=unit, function=function)
        self._requested_at = boottime()
        self._request(client, RegisterRange(record.start, record.count or 0))

    def _as_logged(self, transaction: Transaction) -> dict[str, Any]:
        """With the recording's times (of the request's first byte, and after the answer's last) and the registers."""
        assert self.starts_at is not None
        registers = None
        if transaction.outcome in ("good", "data"):
            body = transaction.received[3:-2]
            registers = struct.unpack(f">{len(body) // 2}H", body)
        t = {"t_asked": round(self._requested_at - self.starts_at, 6), "t": round(transaction.at - self.starts_at, 6)}
        return transaction.as_dict() | t | {"values": registers}
