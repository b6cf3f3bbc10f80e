"""The inverter's serial port [shell]: the only place of this package that knows pyserial."""

import os
import select

import serial


class PortGone(Exception):
    """The port is not there, or no longer."""


class RtuPort:
    """A port that is read as bytes come."""

    def __init__(self, path: str, baudrate: int) -> None:
        try:
            self._serial = serial.Serial(path, baudrate or 38400, stopbits=serial.STOPBITS_TWO, timeout=0)
        except (OSError, serial.SerialException) as error:
            raise PortGone(str(error)) from None
        self._descriptor: int = self._serial.fileno()

    def write(self, data: bytes) -> None:
        """Sends bytes."""
        try:
            os.write(self._descriptor, data)
        except OSError as error:
            raise PortGone(str(error)) from None

    def read(self, wait: float = 0.0) -> bytes:
        """The bytes that are there, or the first that come within `wait` seconds; empty when none do."""
        try:
            ready = select.select((self._descriptor,), (), (), max(0.0, wait))[0]
            if not ready:
                return b""
            data = os.read(self._descriptor, 4096)
        except OSError as error:
            raise PortGone(str(error)) from None
        if not data:
            raise PortGone("hung up")
        return data

    def close(self) -> None:
        """Lets go of the port."""
        self._serial.close()
