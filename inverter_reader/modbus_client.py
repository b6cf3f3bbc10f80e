"""Reads an inverter [shell]: the only module here that uses pymodbus. It can't write.

This module opens the connection and passes it to pymodbus, which would hide why it can't be opened. After anything but
a good answer or an exception it closes the connection: some pymodbus versions return the last request's registers late.
"""

import contextlib
import errno
import inspect
import logging
import socket
from typing import Any, Final

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from inverter_reader.inverter import Failure
from ksem_contract.registers import RegisterRange
from service_runtime.clock import boottime

# pymodbus's faults leave this module as exceptions; its own log repeats each with every attempt.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL + 1)

_UNIT_ARGUMENT: Final = (
    "device_id" if "device_id" in inspect.signature(ModbusTcpClient.read_holding_registers).parameters else "slave"
)
_CONNECT_TIMEOUT: Final = 2.0


class ReadError(Exception):
    """No usable answer; the connection is closed."""

    def __init__(self, failure: Failure, text: str) -> None:
        super().__init__(text)
        self.failure = failure


class RefusedError(Exception):
    """The inverter answered with an exception; the connection is fine."""


class InverterClient:
    """One connection to an inverter, one request at a time; opened by the first read. For one thread."""

    def __init__(self, host: str, port: int, *, unit: int, timeout: float) -> None:
        self._host, self._port, self._unit, self._timeout = host, port, unit, timeout
        self._client: ModbusTcpClient | None = None
        self._answers = 0

    def read(self, span: RegisterRange) -> tuple[int, ...]:
        """The registers of `span` (function 3). RefusedError for an exception, else ReadError."""
        client, begun = self._connected(), boottime()
        arguments: dict[str, Any] = {"count": span.count, _UNIT_ARGUMENT: self._unit}
        try:
            reply = client.read_holding_registers(span.start, **arguments)
        except (ModbusException, OSError, ValueError, IndexError) as error:
            raise self._lost(boottime() - begun, str(error)) from None
        if code := getattr(reply, "exception_code", 0):
            self._answers += 1
            raise RefusedError(f"exception {code} for registers {span}")
        if reply.isError() or len(reply.registers) != span.count:
            raise self._lost(boottime() - begun, f"{reply}")
        self._answers += 1
        return tuple(reply.registers)

    def close(self) -> None:
        """Close the connection, if there is one."""
        client, self._client = self._client, None
        self._answers = 0
        if client is not None:
            with contextlib.suppress(Exception):  # the connection is given up anyway
                client.close()  # type: ignore[no-untyped-call]

    def _connected(self) -> ModbusTcpClient:
        if self._client is not None:
            return self._client
        sock = self._open()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = ModbusTcpClient(self._host, port=self._port, timeout=self._timeout, retries=0)
        self._client.socket = sock
        return self._client

    def _open(self) -> socket.socket:
        try:
            return socket.create_connection((self._host, self._port), timeout=_CONNECT_TIMEOUT)
        except OSError as error:
            failure: Failure = "modbus-off" if error.errno == errno.ECONNREFUSED else "not-reached"
            raise ReadError(failure, error.strerror or str(error)) from None

    def _lost(self, after: float, text: str) -> ReadError:
        """Why no answer came `after` seconds; closes the connection."""
        answered = self._answers
        self.close()
        if after >= 0.9 * self._timeout:
            return ReadError("no-answer", f"nothing in {self._timeout:g} s")
        if answered:
            return ReadError("not-reached", "the connection was closed")
        return ReadError("busy", text)
