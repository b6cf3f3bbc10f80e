"""Reads one inverter again and again, in a thread of its own [shell]; one request after the other."""

import threading
from collections.abc import Callable

from inverter_reader.inverter import Inverter
from inverter_reader.modbus_client import InverterClient, ReadError, RefusedError
from inverter_reader.settings import InverterSettings
from ksem_contract.registers import RegisterRange
from service_runtime.clock import boottime
from service_runtime.threads import WatchedThread

_LONGEST_WAIT = 1.0
"""Seconds between two signs of life of the thread."""


class Poller:
    """`lock` guards `inverter`; `on_values` is called after each read of the meter's values, without the lock."""

    def __init__(
        self, settings: InverterSettings, inverter: Inverter, lock: threading.Lock, on_values: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._inverter = inverter
        self._lock = lock
        self._on_values = on_values
        self._stopping = threading.Event()
        self.thread = WatchedThread(f"inverter {settings.id}", self._run)

    def stop(self) -> None:
        """End the thread soon; it may wait for an answer."""
        self._stopping.set()

    def _run(self) -> None:
        settings = self._settings
        client = InverterClient(settings.host, settings.port, unit=settings.unit, timeout=settings.timeout)
        due = boottime()
        try:
            while self._wait_until(due):
                self._read_all(client)
                if settings.share:
                    client.close()
                due = max(due + settings.interval, boottime())
        finally:
            client.close()

    def _wait_until(self, due: float) -> bool:
        """False where the thread must end."""
        while self.thread.turned() and not self._stopping.is_set():
            left = due - boottime()
            if left <= 0:
                return True
            self._stopping.wait(min(left, _LONGEST_WAIT))
        return False

    def _read_all(self, client: InverterClient) -> None:
        """All that is due; the first failure ends it."""
        with self._lock:
            spans = self._inverter.reads_due(boottime())
        for span in spans:
            if not self.thread.turned() or not self._read(client, span):
                return
        self._on_values()

    def _read(self, client: InverterClient, span: RegisterRange) -> bool:
        sent = boottime()
        try:
            registers = client.read(span)
        except RefusedError as refused:
            with self._lock:
                self._inverter.on_refused(span, str(refused), boottime())
            return True
        except ReadError as error:
            with self._lock:
                self._inverter.on_failure(error.failure, str(error))
            return False
        with self._lock:
            self._inverter.on_read(span, registers, sent, boottime())
        return True
