"""Reads from the inverter itself during a drill [shell]. It has its own module, since pymodbus loads slowly."""

import threading
from types import TracebackType
from typing import Final, Self

from airbridge.drill.report import Belief
from airbridge.drill.watch import belief_of
from inverter_reader.inverter import Inverter
from inverter_reader.modbus_client import InverterClient, ReadError, RefusedError
from service_runtime.clock import boottime

_PAUSE: Final = 0.25
"""Seconds between two reads."""


class DirectWatch:
    """Reads the inverter itself, four times a second."""

    def __init__(self, host: str, port: int, unit: int) -> None:
        self.seen: list[Belief] = []
        self.why = ""
        self._client = InverterClient(host, port, unit=unit, timeout=2.0)
        self._inverter = Inverter("", "auto", f"{host}:{port}")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inverter", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(3.0)

    def _run(self) -> None:
        while not self._ended.wait(_PAUSE):
            for span in self._inverter.reads_due(boottime()):
                sent = boottime()
                try:
                    self._inverter.on_read(span, self._client.read(span), sent, boottime())
                except RefusedError as refused:
                    self._inverter.on_refused(span, str(refused), boottime())
                except ReadError as error:
                    self.why = str(error)
                    break
            else:
                if values := self._inverter.values():
                    self.seen.append(belief_of(values, sent))
        self._client.close()
