"""`python -m airbridge.demo.with_parent PROGRAM ...`: becomes that program, which ends when its parent ends.

Whatever becomes of the demo, even SIGKILL, nothing of it goes on running. It is a program of its own, which imports
little, since each process of the demo starts through it.
"""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def main(arguments: list[str]) -> None:
    """Never returns."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:  # it ended before the call to prctl
        sys.exit(1)
    os.execvp(arguments[0], arguments)  # noqa: S606  no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
