"""Opens one end of the line: a pty under a name of its own [shell]."""

import contextlib
import os
import tty
from pathlib import Path


class PtyEnd:
    """The line holds the master. It holds the slave open too, so that nothing is lost while nobody else has it open,
    and a service that closes its port does not make the master fail.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master = -1
        self._slave = -1

    @property
    def is_plugged(self) -> bool:
        """Whether the port is there."""
        return self.master >= 0

    def plug(self) -> None:
        """A new pty appears under the name."""
        if self.is_plugged:
            return
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.master, False)
        link = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._slave))
        link.replace(self.path)

    def unplug(self) -> None:
        """The name goes, and who has the port open gets EIO, as with a USB adapter pulled out."""
        if not self.is_plugged:
            return
        self.path.unlink(missing_ok=True)
        master, slave, self.master, self._slave = self.master, self._slave, -1, -1
        os.close(slave)
        os.close(master)

    def read(self) -> bytes:
        """What was written to the port; empty when there is nothing."""
        with contextlib.suppress(BlockingIOError, OSError):
            return os.read(self.master, 4096)
        return b""

    def write(self, data: bytes) -> int:
        """Hands bytes to who reads the port; returns how many fitted into its buffer."""
        if not self.is_plugged:
            return 0
        with contextlib.suppress(BlockingIOError, OSError):
            return os.write(self.master, data)
        return 0
