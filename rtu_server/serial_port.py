"""The only module that uses pyserial: an RS485 port, opened for answering, read and written directly [shell].

It also holds the optional real-time help of Linux: timers without slack, priority, locked memory.
"""

import contextlib
import ctypes
import errno
import logging
import os
import select
import stat
import termios
from array import array
from fcntl import ioctl
from pathlib import Path
from typing import Final

import serial

from ksem_contract.reasons import Reason

WAKE_AT: Final = 8
"""Bytes that must be ready before a waiting reader wakes (termios VMIN): a read request, so one wake-up each."""
READ_SIZE: Final = 256
"""Bytes taken at a time: a frame of the largest size, in memory that Python keeps at hand."""


class PortGone(OSError):
    """The port can't be opened, or vanished while it was open."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class SerialPort:
    """An open port. All calls but `wait` return at once."""

    def __init__(
        self,
        path: str,
        *,
        baudrate: int,
        parity: str,
        stopbits: int,
        wake: int,
        rs485: bool = False,
        low_latency: bool = False,
    ) -> None:
        """Open the port for us alone; PortGone names why it failed. `wake`: a descriptor that ends `wait`."""
        try:
            self._serial = serial.Serial(
                path, baudrate=baudrate, parity=parity, stopbits=stopbits, timeout=0, write_timeout=0, exclusive=True
            )
        except (OSError, ValueError, termios.error) as error:
            raise PortGone(_why(path, error)) from error
        self._path = path
        try:
            # Kept while the port is open: select() costs four times as much, for it starts over each time.
            self._ready = select.epoll()
        except OSError as error:
            self._serial.close()
            raise PortGone(_why(path, error)) from error
        self._fd = self._serial.fileno()
        self._queue = array("i", (0,))
        self.refused: list[Reason] = []
        """Features that the settings require and the port lacks."""
        try:
            if rs485:
                self._rs485_mode()
            if low_latency:
                self._try("low-latency mode", lambda: self._serial.set_low_latency_mode(True))
            attributes = termios.tcgetattr(self._fd)
            attributes[6][termios.VMIN] = WAKE_AT
            attributes[6][termios.VTIME] = 0
            termios.tcsetattr(self._fd, termios.TCSANOW, attributes)
            self._attributes = termios.tcgetattr(self._fd)
            # Locks out other programs while this one has the port (except root's).
            ioctl(self._fd, termios.TIOCEXCL)
            self.refused += [Reason.of("port-shared", port=path, program=name) for name in _others(self._fd)]
            termios.tcflush(self._fd, termios.TCIOFLUSH)
            self._ready.register(self._fd, select.EPOLLIN)
            self._ready.register(wake, select.EPOLLIN)
        except (OSError, termios.error) as error:
            self.close()
            raise PortGone(_why(path, error)) from error

    def wait(self, seconds: float) -> bool:
        """Block until a request's worth of bytes is there, and return True; False where `wake` is readable first.

        False too when the time is over: fewer bytes may be there then.
        """
        ready = self._ready.poll(seconds, 2)
        return bool(ready) and self._fd in dict(ready)

    def read(self) -> bytes:
        """Return all bytes that are there, maybe none."""
        data = piece = self._read()
        while len(piece) == READ_SIZE:
            piece = self._read()
            data += piece
        return data

    def _read(self) -> bytes:
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise PortGone(_why(self._path, error)) from error
        if not data:
            raise PortGone(Reason.of("port-unplugged", port=self._path))
        return data

    def unread(self) -> int:
        """Return how many bytes have arrived and were not read."""
        try:
            ioctl(self._fd, termios.FIONREAD, self._queue)
        except OSError as error:
            raise PortGone(_why(self._path, error)) from error
        return self._queue[0]

    def unsent(self) -> int:
        """Return how many bytes of ours still wait in the port's output buffer."""
        try:
            ioctl(self._fd, termios.TIOCOUTQ, self._queue)
        except OSError as error:
            raise PortGone(_why(self._path, error)) from error
        return self._queue[0]

    def write(self, frame: bytes) -> bool:
        """Send a frame; False where the port took none or only part of it (the rest is dropped, never sent later)."""
        try:
            sent = os.write(self._fd, frame)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise PortGone(_why(self._path, error)) from error
        if sent < len(frame):
            self.drop_output()
        return sent == len(frame)

    def restore(self) -> bool:
        """Set the port's settings again where another program has changed them; return whether it had."""
        try:
            if termios.tcgetattr(self._fd) == self._attributes:
                return False
            termios.tcsetattr(self._fd, termios.TCSANOW, self._attributes)
        except (OSError, termios.error) as error:
            raise PortGone(_why(self._path, error)) from error
        return True

    def drop_output(self) -> None:
        """Throw away the bytes that wait to be sent."""
        self._flush(termios.TCOFLUSH)

    def drop_input(self) -> None:
        """Throw away the bytes that were not read."""
        self._flush(termios.TCIFLUSH)

    def close(self) -> None:
        """Close the port."""
        self._ready.close()
        try:
            # Else it outlives us where another program has the port open, and locks us out.
            with contextlib.suppress(OSError):
                ioctl(self._fd, termios.TIOCNXCL)
            self._serial.close()
        except (OSError, termios.error):
            # A port that vanished can't be restored to its old settings; the descriptor is closed all the same.
            logging.getLogger(__name__).debug("closing %s", self._path, exc_info=True)

    def _flush(self, queue: int) -> None:
        try:
            termios.tcflush(self._fd, queue)
        except (OSError, termios.error) as error:
            raise PortGone(_why(self._path, error)) from error

    def _rs485_mode(self) -> None:
        import serial.rs485  # noqa: PLC0415  # only where the settings require it

        try:
            self._serial.rs485_mode = serial.rs485.RS485Settings()
        except (OSError, ValueError, NotImplementedError) as error:
            # RTS is raised by now: a transmitter that it switches would hold the line.
            self.close()
            raise PortGone(Reason.of("port-no-rs485", port=self._path, error=error)) from error

    def _try(self, what: str, switch_on: "object") -> None:
        try:
            switch_on()  # type: ignore[operator]
        except (OSError, ValueError, NotImplementedError, termios.error) as error:
            self.refused.append(Reason.of("port-feature-missing", feature=what, port=self._path, error=error))


def _others(fd: int) -> list[str]:
    """Name other programs that have this port open, as far as this user may see."""
    device, found = os.fstat(fd).st_rdev, set()
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        with contextlib.suppress(OSError):
            if any(_is_device(each, device) for each in (process / "fd").iterdir()):
                found.add(f"{(process / 'comm').read_text().strip()} (process {process.name})")
    return sorted(found)


def _is_device(link: Path, device: int) -> bool:
    with contextlib.suppress(OSError):
        status = link.stat()
        return stat.S_ISCHR(status.st_mode) and status.st_rdev == device
    return False


_BY_NUMBER: Final = {
    errno.EPERM: "port-unit-forbids",
    errno.ENOENT: "port-missing",
    errno.EIO: "port-unplugged",
    errno.ENXIO: "port-unplugged",
    errno.EAGAIN: "port-busy",
    errno.ENOMEM: "host-out-of-memory",
    errno.EACCES: "port-forbidden",
    errno.EBUSY: "port-busy",
    errno.ENODEV: "port-unplugged",
    errno.EINVAL: "port-settings-refused",
    errno.ENFILE: "host-out-of-files",
    errno.EMFILE: "process-out-of-files",
}
"""Reason by the error number of the system call that failed."""


def _why(path: str, error: Exception) -> Reason:
    number = getattr(error, "errno", None)
    if number is None and error.args and isinstance(error.args[0], int):
        number = error.args[0]
    code = _BY_NUMBER.get(number or 0)
    return Reason.of(code, port=path) if code else Reason.of("port-failed", port=path, error=error)


PR_SET_TIMERSLACK: Final = 29
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4


def sharpen_timers() -> None:
    """Let this thread's sleeps end when they should: Linux adds 50 us to each, to save wake-ups (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)


def be_real_time(priority: int) -> list[str]:
    """Put this thread under SCHED_FIFO and keep the memory out of swap; return refusals as text."""
    if not priority:
        return []
    refused = []
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        refused.append(
            f"realtime = {priority} refused ({error}): the unit needs LimitRTPRIO={priority} or CAP_SYS_NICE"
        )
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        reason = os.strerror(ctypes.get_errno())
        refused.append(f"memory can't be locked ({reason}): the unit needs LimitMEMLOCK=infinity or CAP_IPC_LOCK")
    return refused


def in_force() -> str:
    """The kernel's state of this thread, as text: it may differ from what was requested."""
    real_time = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
    schedule = f"SCHED_FIFO {os.sched_getparam(0).sched_priority}" if real_time else "ordinary scheduling"
    status = Path("/proc/self/status").read_text()
    locked = "memory not locked" if "\nVmLck:\t       0 kB" in status else "memory locked"
    return f"{schedule}, {locked}"
