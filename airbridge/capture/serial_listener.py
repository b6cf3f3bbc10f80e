"""Receives from an RS485 port through pyserial [shell]. Nothing here can write to the port."""

import errno
import os
import select
import termios
from types import TracebackType
from typing import Self

import serial


class PortError(Exception):
    """The port can't be opened, or is gone; the text names it and what to check."""


class SerialListener:
    """A port, opened for listening. RTS and DTR stay low: an adapter that switches by them stays off the line."""

    def __init__(self, path: str, *, baudrate: int, parity: str, stopbits: int) -> None:
        self._path = path
        self._port = serial.Serial()
        self._port.port = path
        self._port.baudrate, self._port.parity, self._port.stopbits = baudrate, parity, stopbits
        self._port.timeout = 0
        self._port.exclusive = True
        self._port.rts = False
        self._port.dtr = False
        try:
            self._port.open()
        except (OSError, ValueError, termios.error) as error:
            raise PortError(f"{path}: {_remedy(error)}") from error
        try:
            self._port.set_low_latency_mode(True)
            self.low_latency = True
        except (OSError, ValueError, NotImplementedError):
            self.low_latency = False

    def read(self, patience: float) -> bytes:
        """The bytes that have come, after waiting at most `patience` seconds for the first one. PortError if gone."""
        try:
            ready, _, _ = select.select([self._port.fileno()], [], [], patience)
            if not ready:
                return b""
            data = os.read(self._port.fileno(), 4096)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise PortError(f"{self._path}: {_remedy(error)}") from error
        if not data:
            raise PortError(f"{self._path}: hung up (was the adapter unplugged?)")
        return data

    def close(self) -> None:
        """Give the port back."""
        try:
            self._port.close()
        except (OSError, termios.error):
            return  # it vanished: there is nothing to give back

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def _remedy(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.ENOENT:
        return "no such port. Is the adapter plugged in? `ls /dev/serial/by-id` lists the ports there are"
    if number == errno.EACCES:
        return "this user may not open it: `sudo usermod -aG dialout $USER`, then log in again"
    if number in (errno.EAGAIN, errno.EBUSY):
        return "another program holds it (stop rtu-server on this port first)"
    if number in (errno.EIO, errno.ENXIO, errno.ENODEV):
        return "the adapter was unplugged"
    return str(error)
